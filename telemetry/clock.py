"""One clock for all programs: the wall's, or a world's that runs faster.

Latency is always wall time (``time.time_ns``). Event times, stop points and
legal deadlines are *world* time. In production both are the same.
"""

from __future__ import annotations

import time
from math import isinf
from typing import Final, Protocol

import msgspec

from telemetry.misconfigured import Misconfigured

LEAST_AHEAD_S: Final = 2.0
"""Wall seconds by which clocks of banks may run ahead, whatever the speed of the world."""


class Clock(Protocol):
    """Tells world time and how long a world span lasts on the wall."""

    def now_us(self) -> int:
        """Return world time in UTC microseconds."""
        ...

    def wall_s(self, world_us: int) -> float:
        """Return how many wall seconds pass in ``world_us`` microseconds of the world."""
        ...


def ahead_us(clock: Clock, world_s: float) -> int:
    """Return how far ahead of the clock a transfer may lie: ``world_s``, at least `LEAST_AHEAD_S` on the wall.

    >>> ahead_us(ScaledClock(), 300), ahead_us(ScaledClock(speed=1000.0), 300)
    (300000000, 2000000000)
    """
    least_us = LEAST_AHEAD_S * 1_000_000 / clock.wall_s(1_000_000)
    return int(max(world_s * 1_000_000, least_us))


def wall_us() -> int:
    """Return wall time in UTC microseconds."""
    return time.time_ns() // 1000


class ScaledClock(msgspec.Struct, frozen=True, kw_only=True):
    """World time that starts at ``world_origin_us`` and runs ``speed`` times the wall.

    The defaults are the wall clock itself.

    >>> ScaledClock(wall_origin_us=0, world_origin_us=0, speed=60.0).wall_s(60_000_000)
    1.0
    """

    wall_origin_us: int = 0
    world_origin_us: int = 0
    speed: float = 1.0

    def now_us(self) -> int:
        """Return world time in UTC microseconds."""
        return self.world_us(wall_us())

    def world_us(self, wall: int) -> int:
        """Return the world time of a wall time, both in UTC microseconds."""
        return self.world_origin_us + int((wall - self.wall_origin_us) * self.speed)

    def wall_s(self, world_us: int) -> float:
        """Return how many wall seconds pass in ``world_us`` microseconds of the world."""
        return world_us / self.speed / 1_000_000


class ManualClock:
    """A clock that tests move by hand."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Return the time set last, in UTC microseconds."""
        return self._now_us

    def wall_s(self, world_us: int) -> float:
        """Return the span in seconds: a manual clock runs at wall speed."""
        return world_us / 1_000_000

    def advance(self, span_us: int) -> None:
        """Move the clock ahead by ``span_us`` microseconds."""
        self._now_us += span_us


def parse_clock(text: str) -> ScaledClock:
    """Return the clock of a setting ``wall_origin_us:world_origin_us:speed``; empty is the wall.

    Raises `Misconfigured` for a text that is none.

    >>> parse_clock("0:0:60").speed
    60.0
    """
    if not text:
        return ScaledClock()
    try:
        wall, world, speed = text.split(":")
        clock = ScaledClock(wall_origin_us=int(wall), world_origin_us=int(world), speed=float(speed))
    except ValueError as error:
        raise Misconfigured(f"SLUICE_CLOCK: not wall_origin_us:world_origin_us:speed: {text!r}") from error
    if not clock.speed > 0 or isinf(clock.speed):
        raise Misconfigured(f"SLUICE_CLOCK: a clock's speed is above 0: {text!r}")
    return clock


def format_clock(clock: ScaledClock) -> str:
    """Return the setting that `parse_clock` reads back.

    >>> parse_clock(format_clock(ScaledClock(speed=2.5))).speed
    2.5
    """
    return f"{clock.wall_origin_us}:{clock.world_origin_us}:{clock.speed}"
