"""Open loop: what is due is sent when it is due, and dated by that time, whatever the system does.

A load that waits for answers slows down with the system, and so leaves out the
very requests that would have waited longest (coordinated omission). Here the
schedule is fixed before the run; latency counts from the due time on, so a
loader that is late itself makes the figure worse, never better.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from bench.stats import NEVER, Latency, latency

TICK_S: Final = 0.0005
"""Pause between two looks at schedule and arrivals; the most that looking adds to a latency."""

LEAD_US: Final = 20_000
"""From the decision to start to the first due time."""

BURST: Final = 200
"""Most that is sent between two looks at arrivals, so that a late loader does not date arrivals late as well."""

HELD_BACKLOG_S: Final = 0.2
"""A rate is held if at its end no more than this much load is unanswered."""

Times = npt.NDArray[np.int64]


class Wire(Protocol):
    """The system under load: takes things by number, tells which numbers have come out."""

    def send(self, number: int, due_us: int) -> None:
        """Send the thing of this number (0, 1, ...), dated ``due_us``."""
        ...

    def arrived(self) -> Sequence[int]:
        """Return the numbers that have come out since the last call; must not wait."""
        ...


class Clock(Protocol):
    """Time and patience."""

    def now_us(self) -> int:
        """Return the time in microseconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class WallClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Return UTC microseconds."""
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


class Passage(msgspec.Struct, frozen=True):
    """What became of one scheduled load."""

    rate: float
    due_us: Times
    """When each thing was due (n)."""
    arrived_us: Times
    """When it came out, `NEVER` if it did not (n)."""
    repeated: int
    """Things that came out more than once (at-least-once systems may)."""
    worst_delay_us: int
    """How far the loader itself fell behind its schedule."""

    @property
    def missing(self) -> int:
        """How many things never came out."""
        return int((self.arrived_us == NEVER).sum())

    @property
    def backlog_s(self) -> float:
        """How many seconds of load were unanswered when the last thing was due."""
        end_us = self.due_us[-1]
        return float(((self.arrived_us == NEVER) | (self.arrived_us > end_us)).sum()) / self.rate

    @property
    def held(self) -> bool:
        """Whether the system kept up with the rate: everything came, and no backlog had grown."""
        return not self.missing and self.backlog_s <= HELD_BACKLOG_S

    def latency(self, warm_s: float = 0.0) -> Latency:
        """Return latency from due to arrival, of all that was due after the first ``warm_s`` seconds and arrived."""
        counted = (self.due_us >= self.due_us[0] + int(warm_s * 1_000_000)) & (self.arrived_us != NEVER)
        return latency(self.arrived_us[counted] - self.due_us[counted])

    @property
    def seconds(self) -> float:
        """From the first due time to the last arrival."""
        return float(max(self.arrived_us.max(), self.due_us[-1]) - self.due_us[0]) / 1_000_000


def due_times(start_us: int, rate: float, count: int) -> Times:
    """Return the due times of ``count`` things, evenly spaced at ``rate`` per second.

    >>> due_times(1_000_000, 4.0, 3).tolist()
    [1000000, 1250000, 1500000]
    """
    return start_us + (np.arange(count) * (1_000_000 / rate)).astype(np.int64)


def drive(wire: Wire, *, rate: float, count: int, drain_s: float, clock: Clock) -> Passage:
    """Send ``count`` things at ``rate`` per second, wait at most ``drain_s`` for the rest, return what was seen."""
    due_us = due_times(clock.now_us() + LEAD_US, rate, count)
    schedule, arrived_us = due_us.tolist(), np.full(count, NEVER, dtype=np.int64)
    sent = seen = repeated = worst_us = 0
    end_us = schedule[-1] + int(drain_s * 1_000_000)
    while seen < count:
        now_us = clock.now_us()
        if now_us > end_us:
            break
        burst_end = min(count, sent + BURST)
        while sent < burst_end and schedule[sent] <= now_us:
            wire.send(sent, schedule[sent])
            worst_us = max(worst_us, now_us - schedule[sent])
            sent += 1
        numbers = wire.arrived()
        now_us = clock.now_us()
        for number in numbers:
            if arrived_us[number] == NEVER:
                arrived_us[number] = now_us
                seen += 1
            else:
                repeated += 1
        if not numbers and (sent == count or schedule[sent] > now_us):
            clock.sleep(TICK_S)
    return Passage(rate, due_us, arrived_us, repeated, worst_us)
