"""The pulse: a stand-still ends the worker, whoever notices it first."""

from __future__ import annotations

from typing import NoReturn

import pytest

from stream.exitcodes import ExitCode
from stream.pulse import Pulse


class Ended(Exception):
    pass


def end(code: ExitCode, reason: str) -> NoReturn:
    raise Ended(code, reason)


def beats(*times_s: float) -> Pulse:
    clock = iter(times_s)
    return Pulse(limit_s=4.0, end=end, now_s=lambda: next(clock))


def test_a_steady_pulse_goes_on() -> None:
    pulse = beats(100.0, 100.25, 104.25, 104.3)
    for _ in range(4):
        pulse.check()


def test_the_first_to_look_after_a_stand_still_ends_the_worker() -> None:
    pulse = beats(100.0, 104.1)
    pulse.check()
    with pytest.raises(Ended, match=r"stood still for 4\.1 s"):
        pulse.check()


def test_before_the_first_beat_nothing_is_known() -> None:
    beats(1_000_000.0).check()
