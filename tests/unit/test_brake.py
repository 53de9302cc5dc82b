"""The brake: a broken rule may not stop everyone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.control.brake import BUCKETS, EVERYTHING, MINUTE_US, Brake, BrakeLimits, Cap, SlidingCount, Trip

LIMITS = BrakeLimits(per_minute=5, per_bank_minute=3, per_rule_minute=4, share=0.1, share_min_transfers=100)


def stop(brake: Brake, now_us: int, bank: str = "a", rule: str = "r") -> Cap | None:
    trip = brake.check(now_us, bank, rule)
    if trip is None:
        brake.ordered(now_us, bank, rule)
        return None
    return trip.cap


def test_cap_of_one_bank_trips_that_bank_only() -> None:
    brake = Brake(LIMITS)
    assert [stop(brake, 0) for _ in range(4)] == [None, None, None, Cap.PER_BANK]
    assert stop(brake, 0, "b", "other") is None
    assert set(brake.trips) == {"bank:a"}


def test_cap_of_one_rule_trips_that_rule_at_every_bank() -> None:
    brake = Brake(LIMITS)
    assert [stop(brake, 0, bank) for bank in "abcde"] == [None] * 4 + [Cap.PER_RULE]
    assert stop(brake, 0, "f", "other") is None
    assert stop(brake, 0, "f") is Cap.PER_RULE


def test_cap_of_all_trips_everything() -> None:
    brake = Brake(LIMITS)
    assert [stop(brake, 0, str(n), str(n)) for n in range(6)] == [None] * 5 + [Cap.PER_MINUTE]
    assert stop(brake, 0, "x", "y") is Cap.PER_MINUTE
    assert set(brake.trips) == {EVERYTHING}


def test_a_trip_lasts_until_a_person_rearms() -> None:
    brake = Brake(LIMITS)
    for _ in range(4):
        stop(brake, 0)
    assert stop(brake, 1000 * MINUTE_US) is Cap.PER_BANK
    assert [trip.scope for trip in brake.rearm("bank:a")] == ["bank:a"]
    assert stop(brake, 1000 * MINUTE_US) is None


def test_rearming_starts_the_counts_anew() -> None:
    brake = Brake(LIMITS)
    for number in range(6):
        stop(brake, 0, str(number), str(number))
    assert len(brake.rearm()) == 1
    assert stop(brake, 0) is None
    assert brake.rearm("bank:zzz") == ()


def test_spread_over_minutes_nothing_trips() -> None:
    brake = Brake(LIMITS)
    assert {stop(brake, minute * MINUTE_US) for minute in range(50)} == {None}


def test_share_trips_only_with_enough_transfers() -> None:
    brake = Brake(
        BrakeLimits(per_minute=10**6, per_bank_minute=10**6, per_rule_minute=10**6, share=0.1, share_min_transfers=100)
    )
    brake.saw_transfers(0, 99)
    assert {stop(brake, 0) for _ in range(50)} == {None}
    brake.saw_transfers(0, 1)
    assert stop(brake, 0) is Cap.SHARE
    brake.rearm()
    brake.saw_transfers(0, 100)
    assert [stop(brake, 0) for _ in range(11)] == [None] * 10 + [Cap.SHARE]


def test_trips_outlive_the_process() -> None:
    brake = Brake(LIMITS, (Trip(scope=EVERYTHING, cap=Cap.SHARE, at_us=1, count=9),))
    assert stop(brake, 10**15) is Cap.SHARE


def test_memory_is_bounded() -> None:
    brake = Brake(BrakeLimits(per_minute=10**9, share_min_transfers=10**9))
    for number in range(5_000):
        brake.ordered(number, f"bank{number}", f"rule{number}")
    assert len(brake._scopes) <= 2_000


@given(st.lists(st.tuples(st.integers(0, 10 * MINUTE_US), st.integers(1, 5)), max_size=60))
def test_sliding_count_equals_a_recount_by_buckets(events: list[tuple[int, int]]) -> None:
    events.sort()
    bucket_us = MINUTE_US // BUCKETS
    count = SlidingCount(MINUTE_US)
    for place, (at, number) in enumerate(events):
        count.add(at, number)
        recount = sum(n for t, n in events[: place + 1] if t // bucket_us > at // bucket_us - BUCKETS)
        assert count.total(at) == recount


def test_time_that_runs_back_counts_at_the_latest_time() -> None:
    count = SlidingCount(MINUTE_US)
    count.add(5 * MINUTE_US, 1)
    count.add(0, 1)
    assert count.total(5 * MINUTE_US) == 2


@pytest.mark.parametrize("window", [1, 59, MINUTE_US])
def test_any_window_forgets(window: int) -> None:
    count = SlidingCount(window)
    count.add(0, 3)
    assert count.total(10 * MINUTE_US) == 0
