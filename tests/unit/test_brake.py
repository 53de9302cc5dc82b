"""The brake: a broken rule may not stop everyone."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.control.brake import (
    BUCKETS,
    EVERYTHING,
    MINUTE_US,
    Brake,
    BrakeLimits,
    Cap,
    SlidingCount,
    Stop,
    Tally,
    Trip,
)
from tests.deploy_files import ROOT

LIMITS = BrakeLimits(per_minute=5, per_bank_minute=3, per_rule_minute=4, share=0.1, share_min_transfers=100)


def stop(brake: Brake, now_us: int, bank: str = "a", rule: str = "r") -> Cap | None:
    """Order one stop in a transaction of its own unless the brake withholds it."""
    tally = Tally(now_us)
    trip = brake.check(tally, bank, rule)
    if trip is None:
        tally.ordered(bank, rule)
    brake.take(tally)
    return trip.cap if trip else None


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


def by_hand(page: str) -> dict[str, float]:
    """Return the caps that the runbook sets to trip the brake."""
    (share,) = re.findall(r"`SLUICE_BRAKE_SHARE=([\d.]+)`", page)
    (least,) = re.findall(r"`SLUICE_BRAKE_SHARE_MIN_TRANSFERS=(\d+)`", page)
    return {"share": float(share), "share_min_transfers": int(least)}


@pytest.mark.parametrize("transfers", [1, 100, 10_000_000])
def test_the_runbooks_way_to_trip_it_lets_no_stop_out(transfers: int) -> None:
    caps = by_hand((ROOT / "docs" / "runbook" / "rearm-brake.md").read_text())
    brake = Brake(msgspec.structs.replace(LIMITS, **caps))
    brake.take(Tally(0, transfers))
    assert [stop(brake, 0), stop(brake, MINUTE_US)] == [Cap.SHARE] * 2


def test_one_a_minute_is_no_way_to_trip_it() -> None:
    brake = Brake(msgspec.structs.replace(LIMITS, per_minute=1))
    assert [stop(brake, 0), stop(brake, 2 * MINUTE_US)] == [None, None]


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


@pytest.mark.parametrize(("everything_us", "left"), [(0, [None, Cap.PER_MINUTE]), (1, [None, None])])
def test_what_was_rearmed_elsewhere_counts_anew_here(everything_us: int, left: list[Cap | None]) -> None:
    brake = Brake(LIMITS)
    assert [stop(brake, 1, "a" if number < 4 else "b") for number in range(5)] == [None] * 3 + [Cap.PER_BANK, None]
    brake.heed((), everything_us)
    assert [stop(brake, 1, "a", str(number)) for number in range(2)] == left


def test_a_scope_that_tripped_anew_elsewhere_counts_anew_once_it_is_rearmed() -> None:
    brake, again = Brake(LIMITS), Trip(scope="bank:a", cap=Cap.PER_BANK, at_us=2, count=3)
    for _ in range(4):
        stop(brake, 1)
    brake.heed((again,))
    assert stop(brake, 2) is Cap.PER_BANK
    brake.heed(())
    assert stop(brake, 2) is None


@given(st.sets(st.sampled_from(["all", "bank:a", "rule:r"])), st.sets(st.sampled_from(["all", "bank:a", "rule:r"])))
def test_what_stands_is_what_is_told_to_stand(known: set[str], told: set[str]) -> None:
    trips = {scope: Trip(scope=scope, cap=Cap.BY_HAND, at_us=1, count=0) for scope in ("all", "bank:a", "rule:r")}
    brake = Brake(LIMITS, tuple(trips[scope] for scope in sorted(known)))
    brake.heed(trips[scope] for scope in sorted(told))
    assert brake.trips.keys() == told


def test_spread_over_minutes_nothing_trips() -> None:
    brake = Brake(LIMITS)
    assert {stop(brake, minute * MINUTE_US) for minute in range(50)} == {None}


def test_share_trips_only_with_enough_transfers() -> None:
    brake = Brake(
        BrakeLimits(per_minute=10**6, per_bank_minute=10**6, per_rule_minute=10**6, share=0.1, share_min_transfers=100)
    )
    brake.take(Tally(0, transfers=99))
    assert {stop(brake, 0) for _ in range(50)} == {None}
    brake.take(Tally(0, transfers=1))
    assert stop(brake, 0) is Cap.SHARE
    brake.rearm()
    brake.take(Tally(0, transfers=100))
    assert [stop(brake, 0) for _ in range(11)] == [None] * 10 + [Cap.SHARE]


def test_trips_outlive_the_process() -> None:
    brake = Brake(LIMITS, (Trip(scope=EVERYTHING, cap=Cap.SHARE, at_us=1, count=9),))
    assert stop(brake, 10**15) is Cap.SHARE


def test_a_tally_counts_for_its_own_checks_and_for_others_once_it_is_taken() -> None:
    brake, tally = Brake(LIMITS), Tally(0)
    for _ in range(3):
        assert brake.check(tally, "a", "r") is None
        tally.ordered("a", "r")
    trip = brake.check(tally, "a", "r")
    assert trip is not None
    assert (trip.cap, trip.count, brake.trips) == (Cap.PER_BANK, 3, {})
    assert brake.check(Tally(0), "a", "r") is None
    assert brake.check(tally, "a", "other") == trip
    brake.take(tally)
    assert brake.trips == {trip.scope: trip}
    assert stop(brake, 0, "b", "r") is None
    assert stop(brake, 0, "c", "r") is Cap.PER_RULE


def test_a_tally_counts_for_the_share_too() -> None:
    brake, tally = Brake(BrakeLimits(share=0.1, share_min_transfers=100)), Tally(0, transfers=100)
    for number in range(10):
        assert brake.check(tally, str(number), str(number)) is None
        tally.ordered(str(number), str(number))
    trip = brake.check(tally, "a", "r")
    assert trip is not None
    assert trip.cap is Cap.SHARE


def test_recalled_stops_count_where_nobody_rearmed_since() -> None:
    stops = [Stop(at_us, "a", "r") for at_us in (1, 2, 3)]
    brake = Brake(LIMITS)
    brake.recall(stops, {})
    assert stop(brake, 3) is Cap.PER_BANK
    for rearmed, left in (({"bank:a": 3}, [None]), ({EVERYTHING: 2}, [None, None, Cap.PER_BANK])):
        brake = Brake(LIMITS)
        brake.recall(stops, rearmed)
        assert [stop(brake, 3) for _ in left] == left


def test_recalled_stops_say_nothing_of_a_share_whose_transfers_are_not_known() -> None:
    brake = Brake(BrakeLimits(share=0.1, share_min_transfers=10))
    brake.recall([Stop(1, "a", "r")] * 100, {})
    brake.take(Tally(2, transfers=10))
    assert stop(brake, 2) is None


def test_memory_is_bounded() -> None:
    brake = Brake(BrakeLimits(per_minute=10**9, share_min_transfers=10**9))
    for number in range(5_000):
        stop(brake, number, f"bank{number}", f"rule{number}")
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
