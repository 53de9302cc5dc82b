"""The scorecard of whole accounts: what convicts, what acquits, and whom it never touches."""

from __future__ import annotations

import pytest

from models.risk.facts import FACTS, Facts
from models.risk.rules.account import for_hire, is_acceptor, leaves, stop_score
from models.risk.rules.sections import ForHire, Leaves

NEVER = dict.fromkeys(
    ("pair_age_s", "reverse_s", "payer_since_in_s", "payer_since_out_s", "payee_since_in_s", "payee_since_out_s",
     "match_s", "payer_balance_fen", "payee_balance_fen"), -1.0,
)  # fmt: skip
MULE = {
    "amount_fen": 2_000_000.0, "payer_taint": 0.4, "payer_quick": 0.2, "payer_since_in_s": 300.0,
    "payer_in_n_1h": 2.0, "payer_payers_1h": 1.0, "payer_payers_24h": 1.0, "payer_payers_ever": 1.0,
    "payer_new_payers_24h": 1.0, "payer_in_fen_24h": 2_100_000.0, "last_in_fen": 2_050_000.0,
}  # fmt: skip
"""A payer that a victim has paid twice within the hour, and that pays a stranger now."""

HIRED, LEAVING = ForHire(), Leaves()


def facts(**told: float) -> Facts:
    known = NEVER | told
    assert known.keys() <= set(FACTS)
    return tuple(known.get(name, 0.0) for name in FACTS)


def test_a_mule_that_pays_a_stranger_convicts_the_stranger() -> None:
    assert for_hire(facts(**MULE), HIRED) == HIRED.weight
    assert leaves(facts(**MULE), LEAVING) == 0.0


def test_a_mule_that_pays_a_shop_convicts_itself() -> None:
    shop = facts(**MULE, payee_payers_ever=200.0, payee_new_payers_24h=30.0)
    assert (for_hire(shop, HIRED), leaves(shop, LEAVING)) == (0.0, 0.0), "many payers make even this payment ordinary"
    atm = facts(**MULE, cash_channel=1.0)
    assert (for_hire(atm, HIRED), leaves(atm, LEAVING)) == (0.0, LEAVING.weight)


def test_a_large_first_payment_to_a_stranger_convicts_nobody() -> None:
    assert for_hire(facts(amount_fen=8_000_000.0, payer_max_fen=300_000.0), HIRED) == 0.0


def test_a_victims_payer_is_never_taken_for_a_mule() -> None:
    """Whatever the payment looks like, without suspected income of its own a payer is not held."""
    told = MULE | {"payer_taint": 0.04, "cash_channel": 1.0, "in_call": 1.0, "device_changed": 1.0}
    assert leaves(facts(**told), LEAVING) == 0.0
    assert leaves(facts(**MULE | {"cash_channel": 1.0, "payer_since_in_s": -1.0}), LEAVING) == 0.0


def test_money_that_goes_back_convicts_nobody() -> None:
    assert for_hire(facts(**MULE, reverse_s=7_200.0), HIRED) == 0.0


def test_small_sums_are_not_worth_a_stop_and_need_more_certainty() -> None:
    assert for_hire(facts(**MULE | {"amount_fen": 29_999.0}), HIRED) == 0.0
    small, large = (
        stop_score(facts(**MULE | {"amount_fen": fen, "last_in_fen": 0.0}), 0.3) for fen in (100_000.0, 10_000_000.0)
    )
    assert large - small == pytest.approx(0.3 * 4.605, abs=0.01)


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_old_acquaintances_acquit_and_repeated_credits_of_few_convict(side: str) -> None:
    def score(**told: float) -> float:
        return stop_score(facts(amount_fen=1_000_000.0, **{f"{side}_{name}": value for name, value in told.items()}), 0)

    alone = score()
    assert score(payers_ever=9.0) < score(payers_ever=2.0) < alone
    assert score(in_n_1h=3.0, payers_1h=1.0) > score(in_n_1h=3.0, payers_1h=3.0) > alone
    assert score(quick=0.5) > alone
    assert score(taint=0.9) > score(taint=0.1) > alone


def test_an_acceptor_had_many_payers_before_today() -> None:
    assert is_acceptor(facts(payee_payers_ever=12.0, payee_new_payers_24h=2.0), 10)
    assert not is_acceptor(facts(payee_payers_ever=30.0, payee_new_payers_24h=25.0), 10), (
        "a collecting account of today"
    )
    assert is_acceptor(facts(cash_channel=1.0), 10)
