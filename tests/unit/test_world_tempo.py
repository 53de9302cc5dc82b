from __future__ import annotations

import pytest

from models.money.types import us_from_iso
from simulators.plan import DAY_US, HOUR_US
from simulators.settings import WorldSettings
from simulators.tempo import MAX_PACE, derive_clock, local_time, pace, share_of_day, transfers_per_day

WALL = 1_800_000_000_000_000


@pytest.mark.parametrize("rate", [50.0, 150.0, 1_000.0])
@pytest.mark.parametrize("customers", [1_000, 10_000])
@pytest.mark.parametrize("seconds", [10.0, 60.0, 600.0])
def test_the_clock_makes_the_wanted_rate_over_the_live_phase(rate: float, customers: int, seconds: float) -> None:
    settings = WorldSettings(rate_tps=rate, customers=customers, seconds=seconds)
    clock = derive_clock(settings, WALL)
    span_us = seconds * clock.speed * 1_000_000
    made = transfers_per_day(settings) * share_of_day(us_from_iso(settings.start), span_us)
    assert made / seconds == pytest.approx(rate, rel=1e-3)


def test_without_an_end_a_mean_day_counts() -> None:
    settings = WorldSettings(rate_tps=150, customers=10_000, seconds=None)
    clock = derive_clock(settings, WALL)
    assert clock.speed == pytest.approx(86_400 * 150 / transfers_per_day(settings), rel=1e-3)


def test_the_world_starts_when_the_lead_is_over() -> None:
    settings = WorldSettings(seconds=60)
    clock = derive_clock(settings, WALL, lead_s=20.0)
    assert clock.world_us(WALL + 20_000_000) == pytest.approx(us_from_iso(settings.start), abs=2_000)


def test_more_customers_slow_the_clock() -> None:
    small, large = (derive_clock(WorldSettings(customers=n, seconds=60), WALL).speed for n in (5_000, 50_000))
    assert small > 5 * large


def test_the_pace_makes_up_for_a_start_at_another_hour() -> None:
    settings = WorldSettings(rate_tps=150, customers=10_000, seconds=60)
    speed = derive_clock(settings, WALL).speed
    start_us = us_from_iso(settings.start)
    assert pace(settings, start_us, speed) == pytest.approx(1.0, rel=1e-3)
    early_us = start_us - 3 * HOUR_US
    factor = pace(settings, early_us, speed)
    made = transfers_per_day(settings) * share_of_day(early_us, 60 * speed * 1_000_000)
    assert 1 < factor <= MAX_PACE
    assert factor * made / 60 == pytest.approx(150, rel=1e-3)


def test_people_live_at_their_own_pace_on_a_clock_not_made_for_the_rate() -> None:
    settings = WorldSettings(rate_tps=150, customers=10_000)
    assert pace(settings, us_from_iso(settings.start), speed=1.0) == 1.0
    made_for_it = derive_clock(settings, WALL).speed
    assert pace(settings, us_from_iso(settings.start), made_for_it) == pytest.approx(1.0, rel=1e-3)


def test_shares_of_a_day_add_up() -> None:
    start = us_from_iso("2026-03-17T00:07:00Z")
    halves = share_of_day(start, 5 * HOUR_US) + share_of_day(start + 5 * HOUR_US, 19 * HOUR_US)
    assert halves == pytest.approx(1.0)
    assert share_of_day(start, 3 * DAY_US + 1) == pytest.approx(3.0, abs=1e-6)


def test_local_time_is_shanghais() -> None:
    assert local_time(us_from_iso("2026-03-17T00:30:00Z")) == "08:30"
