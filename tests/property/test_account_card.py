"""Properties of the scorecard of whole accounts: what speaks for innocence never convicts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.risk.facts import FACT_INDEX, FACTS, Facts
from models.risk.rules.account import (
    for_hire,
    leaves,
    payee_float,
    payer_float,
    stop_score,
    takes_from_anybody,
)
from models.risk.rules.sections import ForHire, Leaves

HIRED, LEAVING = ForHire(), Leaves()
FEN = st.integers(0, 10**11).map(float)
DAY_FEN = st.integers(0, 10**9).map(float)
COUNT = st.integers(0, 60).map(float)
SHARE = st.floats(0.0, 1.0)
AGE = st.integers(-1, 10**8).map(float)
FLAG = st.sampled_from([0.0, 1.0])


FLAGS = {"payer_opening_told", "payee_opening_told", "cash_channel", "in_call", "device_changed", "same_bank"}
BY_END = {
    "_balance_fen": st.one_of(st.just(-1.0), FEN),
    "_fen": DAY_FEN,
    "taint": SHARE,
    "quick": SHARE,
    "match": SHARE,
    "age_s": AGE,
    "reverse_s": AGE,
    "since_in_s": AGE,
    "since_out_s": AGE,
    "match_s": AGE,
    "_s": st.integers(0, 10**8).map(float),
}
"""Kind of a fact by the end of its name; all others are counts."""


def _kind(name: str) -> st.SearchStrategy[float]:
    if name == "amount_fen":
        return st.integers(1, 10**10).map(float)
    if name in FLAGS:
        return FLAG
    return next((kind for end, kind in BY_END.items() if name.endswith(end)), DAY_FEN if "_fen_" in name else COUNT)


MULE = {
    "amount_fen": 2_000_000.0, "payer_taint": 0.5, "payer_quick": 0.3, "payer_since_in_s": 60.0, "payer_in_n_1h": 3.0,
    "payer_payers_1h": 1.0, "payer_payers_24h": 1.0, "payer_payers_ever": 1.0, "payer_new_payers_24h": 1.0,
    "payer_in_fen_24h": 2_500_000.0, "payer_balance_fen": 90_000.0, "payee_balance_fen": -1.0, "reverse_s": -1.0,
    "payee_in_n_1h": 1.0, "payee_payers_1h": 1.0, "payee_taint": 0.5, "payee_quick": 0.5, "payee_since_in_s": 60.0,
}  # fmt: skip
KINDS = {name: _kind(name) for name in FACTS}


def facts_of(told: dict[str, float]) -> Facts:
    return tuple((MULE | told).get(name, 0.0) for name in FACTS)


NEAR_MULES = st.lists(st.sampled_from(FACTS), max_size=6).flatmap(
    lambda some: st.fixed_dictionaries({"cash_channel": FLAG} | {name: KINDS[name] for name in some}).map(facts_of)
)
ANY = st.one_of(NEAR_MULES, st.tuples(*KINDS.values()))
"""Facts that are a mule's but for a few, on which the rules do fire, and any at all."""


def but(facts: Facts, **told: float) -> Facts:
    known = list(facts)
    for name, value in told.items():
        known[FACT_INDEX[name]] = value
    return tuple(known)


@given(ANY, FEN, FEN)
def test_more_money_of_its_own_never_convicts_a_payee(facts: Facts, one: float, other: float) -> None:
    poor, rich = (but(facts, payee_balance_fen=fen) for fen in sorted((one, other)))
    assert payee_float(poor) <= payee_float(rich)
    assert stop_score(rich, 0.3) <= stop_score(poor, 0.3) + 1e-9
    assert for_hire(rich, HIRED) <= for_hire(poor, HIRED)


@given(ANY, FEN, FEN)
def test_more_money_of_its_own_never_convicts_a_payer(facts: Facts, one: float, other: float) -> None:
    poor, rich = (but(facts, payer_balance_fen=fen) for fen in sorted((one, other)))
    assert payer_float(poor) <= payer_float(rich)
    assert stop_score(rich, 0.3) <= stop_score(poor, 0.3) + 1e-9
    assert leaves(rich, LEAVING) <= leaves(poor, LEAVING)


@given(ANY, AGE.filter(lambda age: age >= 0), AGE.filter(lambda age: age >= 0))
def test_an_older_account_is_never_likelier_for_hire(facts: Facts, one: float, other: float) -> None:
    younger, older = (but(facts, payee_age_s=age, payee_opening_told=1.0) for age in sorted((one, other)))
    assert for_hire(older, HIRED) <= for_hire(younger, HIRED)


@given(ANY)
def test_at_most_one_of_the_two_is_convicted(facts: Facts) -> None:
    assert not (for_hire(facts, HIRED) and leaves(facts, LEAVING))
    if takes_from_anybody(facts, HIRED.acceptor, HIRED.keeps):
        assert for_hire(facts, HIRED) == 0.0


@given(ANY, ANY)
def test_only_the_payers_life_convicts_the_payer(facts: Facts, other: Facts) -> None:
    """Another payee of the same kind gets the same answer about who pays it."""
    mixed = tuple(b if name.startswith("payee_") else a for name, a, b in zip(FACTS, facts, other, strict=True))
    kind, other_kind = (takes_from_anybody(each, LEAVING.acceptor, LEAVING.keeps) for each in (facts, mixed))
    if kind == other_kind:
        assert leaves(facts, LEAVING) == leaves(mixed, LEAVING)


@given(ANY)
def test_what_came_in_today_is_not_its_own(facts: Facts) -> None:
    """However much is there: if all of it came in within the day, it acquits nobody."""
    today = but(facts, payee_balance_fen=facts[FACT_INDEX["payee_in_fen_24h"]], payee_out_fen_24h=0.0)
    assert payee_float(today) == 0.0


@given(ANY)
def test_a_payer_without_suspected_income_of_the_day_is_never_held(facts: Facts) -> None:
    assert leaves(but(facts, payer_taint=0.0), LEAVING) == 0.0
    assert leaves(but(facts, payer_since_in_s=-1.0), LEAVING) == 0.0
