"""The scorecard of whole accounts: what convicts, what acquits, and whom it never touches."""

from __future__ import annotations

import pytest

from models.risk.facts import FACTS, Facts
from models.risk.rules.account import (
    for_hire,
    is_acceptor,
    leaves,
    payee_float,
    payee_part,
    payer_float,
    payer_part,
    stop_score,
    takes_from_anybody,
)
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


@pytest.mark.parametrize(
    "payee",
    [{"cash_channel": 1.0}, {"payee_payers_ever": 200.0, "payee_new_payers_24h": 30.0}, {"payee_balance_fen": 12e6}],
    ids=["machine", "shop", "dealer"],
)
def test_a_mule_that_pays_somebody_who_takes_from_anybody_convicts_itself(payee: dict[str, float]) -> None:
    """Also a dealer that few have paid so far: whoever paid it, most of what it has was there before today."""
    paid = facts(**MULE | payee)
    assert takes_from_anybody(paid, HIRED.acceptor, HIRED.keeps)
    assert (for_hire(paid, HIRED), leaves(paid, LEAVING)) == (0.0, LEAVING.weight)


def test_money_that_came_in_today_is_no_money_of_its_own() -> None:
    told = MULE | {"payee_balance_fen": 12_000_000.0, "payee_in_fen_24h": 12_000_000.0}
    assert payee_float(facts(**told)) == 0.0
    assert for_hire(facts(**told), HIRED) == HIRED.weight
    gone = told | {"payee_balance_fen": 1_000_000.0, "payee_out_fen_24h": 11_000_000.0}
    assert payee_float(facts(**gone)) == 0.0, "what was passed on came in today, too"


def test_some_money_of_its_own_speaks_for_innocence_before_it_acquits() -> None:
    poor, less, keeper = (facts(**MULE | {"payee_balance_fen": fen}) for fen in (0.0, 3_900_000.0, 4_000_000.0))
    assert payee_part(less) < payee_part(poor) - 0.8
    assert not takes_from_anybody(less, HIRED.acceptor, HIRED.keeps)
    assert takes_from_anybody(keeper, HIRED.acceptor, HIRED.keeps), "twice what comes in"


def test_a_balance_that_no_bank_told_acquits_nobody() -> None:
    assert payee_float(facts(**MULE, payee_out_fen_24h=50_000_000.0)) == 0.0
    assert payer_float(facts(**MULE, payer_out_fen_24h=50_000_000.0)) == 0.0


def test_a_payer_rich_of_its_own_does_not_pass_on_the_suspected_money_of_today() -> None:
    """A firm that got a doubtful sum: what it pays need not be that sum."""
    at_atm = MULE | {"cash_channel": 1.0}
    firm, mule = (facts(**at_atm | {"payer_balance_fen": fen}) for fen in (900_000_000.0, 90_000.0))
    assert payer_float(firm) > 5.0
    assert payer_float(mule) == 0.0, "no more than came in today"
    assert payer_part(firm) < payer_part(mule) - 1.0
    assert (leaves(firm, LEAVING), leaves(mule, LEAVING)) == (0.0, LEAVING.weight)
    clean = MULE | {"payer_taint": 0.0}
    assert payer_part(facts(**clean, payer_balance_fen=9e8)) == payer_part(facts(**clean)), "only suspicion weighs less"


def test_whom_a_mule_pays_tells_nothing_of_the_mule() -> None:
    shop = MULE | {"cash_channel": 1.0, "payee_payers_ever": 5_000.0, "payee_taint": 0.0, "pair_age_s": 9e6}
    assert leaves(facts(**shop), LEAVING) == LEAVING.weight
    hurried = {"cash_channel": 1.0, "payer_taint": 0.1, "payer_since_in_s": 9e3, "payee_taint": 1.0, "payee_quick": 1.0}
    assert leaves(facts(amount_fen=2e6, **hurried), LEAVING) == 0.0


def test_a_payee_opened_lately_is_likelier_for_hire_if_a_bank_told_so() -> None:
    def part(**told: float) -> float:
        return payee_part(facts(**MULE | told))

    week, year = (part(payee_opening_told=1.0, payee_age_s=days * 86_400.0) for days in (7, 365))
    assert week > year + 1.5
    assert part(payee_age_s=7 * 86_400.0) == pytest.approx(year, abs=0.001), "a short memory is no short life"


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
