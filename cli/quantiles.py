"""Latency quantiles, as the summary and the live view quote them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

ROUND = 2


class Quantiles(msgspec.Struct, frozen=True):
    """Latency quantiles in milliseconds; ``None`` where nothing was measured."""

    p50: float | None = None
    p99: float | None = None
    p999: float | None = None


def quantiles(samples_us: Sequence[float]) -> Quantiles:
    """Return quantiles in milliseconds of latencies in microseconds.

    >>> quantiles([2_000.0, 4_000.0, 6_000.0]).p50
    4.0
    """
    if not len(samples_us):
        return Quantiles()
    p50, p99, p999 = np.quantile(np.asarray(samples_us), (0.5, 0.99, 0.999)) / 1000
    return Quantiles(p50=round(float(p50), ROUND), p99=round(float(p99), ROUND), p999=round(float(p999), ROUND))
