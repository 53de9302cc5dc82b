"""What single features say of small stories."""

from __future__ import annotations

from math import log, log1p

import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists
from models.risk.features import FEATURE_INDEX
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.scorer import Scorer
from tests.transfers import DAY_US, HOUR_US, MINUTE_US, NOON_US, pay


def last_features(*story: Transfer) -> dict[str, float]:
    """Return the features of the last transfer of a story, by name."""
    scorer, profiles, draft = Scorer(), dict[str, AccountProfile](), None
    for transfer in story:
        debited = scorer.debit(profiles.get(transfer.payer, EMPTY_PROFILE), transfer)
        profiles[transfer.payer] = debited.profile
        assert debited.view is not None
        credited = scorer.credit(profiles.get(transfer.payee, EMPTY_PROFILE), transfer, debited.view, AccountLists())
        profiles[transfer.payee] = credited.profile
        draft = credited.draft
    assert draft is not None
    (assessment,) = scorer.judge([draft])
    return {name: assessment.features[index] for name, index in FEATURE_INDEX.items()}


def test_money_passed_on_whole_after_two_minutes() -> None:
    f = last_features(pay("victim", "mule", 50_000), pay("mule", "next", 49_500, at_us=NOON_US + 2 * MINUTE_US))
    assert f["payer_match"] == pytest.approx(0.92, abs=0.01)
    assert f["payer_match_n"] == pytest.approx(log1p(1), abs=1e-4)
    assert f["payer_match_s"] == pytest.approx(log1p(120), abs=1e-4)
    assert f["payer_drain_10m"] == pytest.approx(log(0.99), abs=1e-4)
    assert f["payer_to_last_in"] == pytest.approx(log(0.99), abs=1e-4)
    assert f["pair_new"] == 1.0
    assert f["new_pass"] == f["payer_pass"] > 0.8


def test_three_credits_pooled_into_one_debit() -> None:
    credits = [pay(f"v{n}", "mule", 10_000, at_us=NOON_US + n * MINUTE_US) for n in range(3)]
    f = last_features(*credits, pay("mule", "next", 29_000, at_us=NOON_US + HOUR_US))
    assert f["payer_match_n"] == pytest.approx(log1p(3), abs=1e-4)
    assert f["payer_match"] > 0.7
    assert f["payer_new_payers_24h"] == pytest.approx(log1p(3), abs=1e-4)


def test_one_credit_split_into_three_debits() -> None:
    debits = [pay("mule", f"m{n}", 9_900, at_us=NOON_US + (5 + n) * MINUTE_US) for n in range(3)]
    f = last_features(pay("v", "mule", 30_000), *debits)
    assert f["payer_match"] > 0.9
    assert f["payer_match_n"] == pytest.approx(log1p(1), abs=1e-4)
    assert f["alike_out"] == pytest.approx(log1p(2), abs=1e-4)
    assert f["payer_new_payees_24h"] == pytest.approx(log1p(2), abs=1e-4)


def test_balances_told_and_carried_on() -> None:
    told = pay("me", "you", 100, payer_balance_after_fen=90_000)
    f = last_features(told, pay("me", "you", 450, at_us=NOON_US + HOUR_US))
    assert f["payer_emptied"] == pytest.approx(0.5, abs=1e-4)
    assert last_features(pay("me", "you", 100))["payer_emptied"] == 0.0


def test_what_a_bank_did_not_tell_is_neutral() -> None:
    f = last_features(pay("me", "you", 100))
    for name in ("in_call", "stranger_to_bank", "device_changed", "payer_emptied", "payee_bare", "payer_opening_told"):
        assert f[name] == 0.0, name


@pytest.mark.parametrize(("told", "value"), [(True, -1.0), (False, 1.0), (None, 0.0)])
def test_a_known_payee_is_no_stranger(told: bool | None, value: float) -> None:
    assert last_features(pay("me", "you", 100, payee_known=told))["stranger_to_bank"] == value


def test_another_device() -> None:
    first = pay("me", "you", 1, device_id="phone")
    assert last_features(first, pay("me", "you", 1, at_us=NOON_US + 1, device_id="tablet"))["device_changed"] == 1.0
    assert last_features(first, pay("me", "you", 1, at_us=NOON_US + 1, device_id="phone"))["device_changed"] == -1.0
    assert last_features(first, pay("me", "you", 1, at_us=NOON_US + 1))["device_changed"] == 0.0


def test_night_is_in_shanghai() -> None:
    assert last_features(pay("me", "you", 1, at_us=NOON_US + 14 * HOUR_US))["night"] == 1.0
    assert last_features(pay("me", "you", 1))["night"] == 0.0


def test_age_is_from_opening_if_told_else_from_first_sight() -> None:
    f = last_features(pay("a", "b", 1), pay("a", "b", 1, at_us=NOON_US + DAY_US))
    assert f["payee_age"] == f["payee_seen"] == pytest.approx(log1p(86_400), abs=1e-4)
    f = last_features(pay("a", "b", 1, payee_opened_us=NOON_US - 9 * DAY_US))
    assert f["payee_age"] == pytest.approx(log1p(9 * 86_400), abs=1e-4)
    assert f["payee_opening_told"] == 1.0
    assert f["payee_seen"] == 0.0


def test_suspicion_follows_the_money() -> None:
    story = [
        *(pay("v", "shop", 50, at_us=NOON_US - n * DAY_US, name=f"h{n}") for n in range(9, 1, -1)),
        pay("v", "m1", 80_000, in_call=True),
        pay("m1", "m2", 79_000, at_us=NOON_US + 3 * MINUTE_US),
        pay("m2", "m3", 78_500, at_us=NOON_US + 5 * MINUTE_US),
    ]
    taints = [last_features(*story[: 8 + hops])["payer_taint"] for hops in (1, 2, 3)]
    assert taints[0] == 0.0
    assert 0.0 < taints[1] < taints[2]


def test_a_payment_back_is_seen_from_both_memories() -> None:
    f = last_features(pay("a", "b", 100), pay("b", "a", 100, at_us=NOON_US + DAY_US))
    assert f["reverse_seen"] == 1.0
    assert f["reverse_recent"] == pytest.approx(0.5, abs=1e-4)
    assert last_features(pay("a", "b", 100), pay("b", "c", 100, at_us=NOON_US + DAY_US))["reverse_seen"] == 0.0
