"""Finds the highest rate that a system holds, by trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STEP: Final = 1.25
"""Factor between trials as long as only one side is known."""

CLOSE: Final = 1.06
"""Ends when the lowest rate that was not held is at most this factor above the highest that was."""

MAX_TRIALS: Final = 10


class NothingHeld(Exception):
    """No rate that was tried was held."""


def highest_held(holds: Callable[[float], bool], guess: float, *, step: float = STEP) -> float:
    """Return the highest rate tried that held, within the factor `CLOSE` of one that did not.

    ``holds`` tries one rate; ``step`` is `CLOSE` where the guess is an earlier
    result. Raise `NothingHeld` after `MAX_TRIALS` trials in vain.

    >>> round(highest_held(lambda rate: rate <= 1000, 400.0))
    977
    """
    good: float | None = None
    bad: float | None = None
    rate = guess
    for _ in range(MAX_TRIALS):
        if holds(rate):
            good = rate
        else:
            bad = rate
        if good is not None and bad is not None:
            if bad / good <= CLOSE:
                break
            rate = (good * bad) ** 0.5
        else:
            rate = rate * step if bad is None else rate / step
    if good is None:
        raise NothingHeld(f"no rate down to {bad:.0f} a second was held")
    return good
