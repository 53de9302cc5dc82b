"""Quantiles of one run, and the spread of several."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

NEVER: Final = 0
"""Arrival time of what has not arrived."""


class NothingMeasured(Exception):
    """Nothing arrived, so there is no latency."""


class Spread(msgspec.Struct, frozen=True):
    """Smallest, middle and largest figure of several runs."""

    min: float
    median: float
    max: float


def spread(figures: Sequence[float], digits: int = 2) -> Spread:
    """Return the spread of at least one figure, rounded.

    >>> spread([3.0, 1.0, 2.0])
    Spread(min=1.0, median=2.0, max=3.0)
    """
    ordered = min(figures), statistics.median(figures), max(figures)
    low, middle, high = (round(float(each), digits) for each in ordered)
    return Spread(low, middle, high)


class Latency(msgspec.Struct, frozen=True):
    """Latency quantiles of one run in milliseconds, and of how many it is."""

    p50: float
    p99: float
    p999: float
    worst: float
    count: int


class LatencySpread(msgspec.Struct, frozen=True, omit_defaults=True):
    """Latency quantiles in milliseconds over the runs; ``count`` is what one run rests on, at least."""

    p50: Spread
    p99: Spread
    p999: Spread
    worst: Spread
    count: int
    rate: float = 0.0
    """Arrivals per second of the open loop."""


def latency(spans_us: npt.NDArray[np.int64]) -> Latency:
    """Return the quantiles of spans in microseconds; raise `NothingMeasured` for none.

    A quantile is one of the spans, not a value between two (numpy's ``higher``),
    so a few samples cannot show a better tail than they have.

    >>> latency(np.array([1_000, 2_000, 9_000])).p50
    2.0
    """
    if not len(spans_us):
        raise NothingMeasured("nothing arrived, so there is no latency")
    p50, p99, p999, worst = np.quantile(spans_us, (0.5, 0.99, 0.999, 1.0), method="higher") / 1000
    return Latency(
        p50=round(float(p50), 3),
        p99=round(float(p99), 3),
        p999=round(float(p999), 3),
        worst=round(float(worst), 3),
        count=len(spans_us),
    )


def latency_spread(runs: Sequence[Latency], rate: float = 0.0) -> LatencySpread:
    """Return the spread of several runs of the same load."""
    return LatencySpread(
        p50=spread([run.p50 for run in runs]),
        p99=spread([run.p99 for run in runs]),
        p999=spread([run.p999 for run in runs]),
        worst=spread([run.worst for run in runs]),
        count=min(run.count for run in runs),
        rate=rate,
    )
