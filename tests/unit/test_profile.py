"""What one account's profile keeps: recent events, habits, balance, taint, and what lateness changes."""

from __future__ import annotations

import pytest

from models.risk.profile import (
    EMPTY_PROFILE,
    LATE_TOLERANCE_S,
    TAINT_HALF_LIFE_S,
    AccountProfile,
    decode_profile,
    encode_profile,
)
from models.risk.recent import RECENT_KEPT, Recent, remember
from models.risk.windows import SUM_LIMIT_FEN
from tests.transfers import DAY_US, HOUR_US, MINUTE_US, NOON_US, pay

LATE_US = NOON_US - LATE_TOLERANCE_S * 1_000_000 - 1


def received(*yuan: float, gap_us: int = MINUTE_US) -> AccountProfile:
    profile = EMPTY_PROFILE
    for place, amount in enumerate(yuan):
        profile = profile.observe_credit(pay(f"p{place}", "me", amount, at_us=NOON_US + place * gap_us))
    return profile


def test_the_ring_keeps_the_latest_in_order_of_time() -> None:
    ring = Recent()
    for at_s in (50, 10, 30, 20, 40):
        ring = remember(ring, at_s, at_s * 2, at_s * 3)
    assert ring.columns() == ((10, 20, 30, 40, 50), (20, 40, 60, 80, 100), (30, 60, 90, 120, 150))
    assert (ring.latest_s(), ring.latest_fen()) == (50, 150)
    for at_s in range(100, 100 + RECENT_KEPT):
        ring = remember(ring, at_s, 0, 0)
    assert ring.columns()[0] == tuple(range(100, 100 + RECENT_KEPT))
    assert remember(ring, 99, 7, 7) == ring, "older than everything kept"


def test_balance_is_told_or_carried_on_or_unknown() -> None:
    profile = received(100)
    assert profile.balance_fen is None
    profile = profile.observe_credit(pay("p", "me", 5, at_us=NOON_US + 1, payee_balance_after_fen=10_500))
    assert profile.balance_fen == 10_500
    profile = profile.observe_debit(pay("me", "q", 50, at_us=NOON_US + 2))
    assert profile.balance_fen == 5_500
    profile = profile.observe_debit(pay("me", "q", 50, at_us=NOON_US + 3, payer_balance_after_fen=-7))
    assert profile.balance_fen == -7


def test_a_carried_balance_saturates() -> None:
    profile = received(1).observe_credit(pay("p", "me", 1, at_us=NOON_US + 1, payee_balance_after_fen=10**13))
    for place in range(900):
        profile = profile.observe_credit(pay("p", "me", 10**11, at_us=NOON_US + 2 + place))
    assert profile.balance_fen == SUM_LIMIT_FEN
    assert decode_profile(encode_profile(profile)) == profile


@pytest.mark.parametrize(
    ("yuan", "after_us", "quick"),
    [
        (98, 5 * MINUTE_US, 0.2), (20, 5 * MINUTE_US, 0.2), (500, MINUTE_US, 0.2),
        (98, 11 * MINUTE_US, 0.0), (10, MINUTE_US, 0.0), (700, MINUTE_US, 0.0),
    ],
)  # fmt: skip
def test_passing_on_is_soon_and_of_like_size(yuan: float, after_us: int, quick: float) -> None:
    assert received(100).observe_debit(pay("me", "x", yuan, at_us=NOON_US + after_us)).quick == quick


def test_taint_is_the_suspected_share_of_what_came_in_lately() -> None:
    profile = EMPTY_PROFILE.observe_credit(pay("v", "me", 300), suspicion=0.8)
    assert profile.taint == pytest.approx(0.8)
    profile = profile.observe_credit(pay("shop", "me", 100, at_us=NOON_US + 1), suspicion=0.0)
    assert profile.taint == pytest.approx(0.6)
    after_us = NOON_US + TAINT_HALF_LIFE_S * 1_000_000
    profile = profile.observe_credit(pay("shop", "me", 200, at_us=after_us), suspicion=0.0)
    assert profile.taint == pytest.approx(120 / 400, rel=1e-3)


def test_opening_is_remembered_once_told() -> None:
    profile = EMPTY_PROFILE.observe_credit(pay("p", "me", 1, payee_opened_us=NOON_US - DAY_US))
    profile = profile.observe_debit(pay("me", "q", 1, at_us=NOON_US + 1))
    assert profile.opened_us == NOON_US - DAY_US
    assert profile.first_us == NOON_US


def test_a_late_transfer_changes_only_what_has_no_window() -> None:
    before = received(100)
    after = before.observe_credit(pay("late", "me", 900, at_us=LATE_US, payee_balance_after_fen=5))
    assert after.inflow.count == before.inflow.count + 1
    assert after.payers.ever == before.payers.ever + 1
    unchanged = ("latest_us", "credits", "received", "balance_fen", "fresh_fen", "taint_fen", "quick", "outflow")
    assert all(getattr(after, name) == getattr(before, name) for name in unchanged)
    assert after.inflow.fen == before.inflow.fen


def test_a_transfer_within_the_tolerance_is_placed_where_it_belongs() -> None:
    profile = received(100).observe_credit(pay("q", "me", 7, at_us=NOON_US - HOUR_US))
    assert profile.latest_us == NOON_US
    assert profile.credits.columns()[2] == (700, 10_000)
    assert profile.inflow.fen == 10_700


def test_habit_is_a_mean_and_the_largest() -> None:
    profile = EMPTY_PROFILE
    for place, yuan in enumerate((10, 10, 10, 1_000)):
        profile = profile.observe_debit(pay("me", "x", yuan, at_us=NOON_US + place))
    assert profile.paid.max_fen == 100_000
    assert 6.9 < profile.paid.mean < 11.6
    assert profile.paid.variance > 1.0
