"""Spread, quantiles, and the search for the highest rate."""

from __future__ import annotations

import numpy as np
import pytest

from bench.search import CLOSE, MAX_TRIALS, NothingHeld, highest_held
from bench.stats import Latency, NothingMeasured, Spread, latency, latency_spread, spread


def test_spread_is_minimum_median_maximum() -> None:
    assert spread([30.0, 10.0, 20.0]) == Spread(10.0, 20.0, 30.0)
    assert spread([10.0, 20.0]) == Spread(10.0, 15.0, 20.0)
    assert spread([1.23456], 3) == Spread(1.235, 1.235, 1.235)


def test_quantiles_are_samples_and_never_flatter_the_tail() -> None:
    spans_us = np.arange(1, 1_001, dtype=np.int64) * 1_000
    found = latency(spans_us)
    assert (found.p50, found.p99, found.p999, found.worst) == (501.0, 991.0, 1_000.0, 1_000.0)
    few = latency(np.array([1_000] * 50 + [90_000], dtype=np.int64))
    assert few.p99 == few.p999 == 90.0
    assert few.p50 == 1.0


def test_no_sample_is_no_latency() -> None:
    with pytest.raises(NothingMeasured):
        latency(np.array([], dtype=np.int64))


def test_latency_spread_keeps_the_smallest_number_of_samples() -> None:
    runs = [Latency(p50=float(n), p99=2.0, p999=3.0, worst=4.0, count=100 * n) for n in (3, 1, 2)]
    found = latency_spread(runs, 1_000.0)
    assert found.p50 == Spread(1.0, 2.0, 3.0)
    assert (found.count, found.rate) == (100, 1_000.0)


@pytest.mark.parametrize("capacity", [120.0, 999.0, 1_000.0, 3_333.0, 25_000.0])
@pytest.mark.parametrize("miss", [0.3, 0.7, 1.0, 1.5, 3.0])
def test_search_ends_close_below_what_is_held(capacity: float, miss: float) -> None:
    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= capacity

    found = highest_held(holds, miss * capacity)
    assert len(tried) <= MAX_TRIALS
    assert found in tried
    assert found <= capacity
    assert min(rate for rate in tried if rate > capacity) / found <= CLOSE


def test_search_beside_an_earlier_result_needs_two_trials() -> None:
    tried: list[float] = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= 1_000.0

    assert highest_held(holds, 980.0, step=CLOSE) == 980.0
    assert len(tried) == 2


def test_search_gives_up_where_nothing_is_held() -> None:
    with pytest.raises(NothingHeld):
        highest_held(lambda _rate: False, 1_000.0)
