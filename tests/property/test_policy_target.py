"""Whom a stop belongs on: for any grounds, lists and sums."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from models.control.orders import order_id_of
from models.control.policy import (
    NAMED,
    PAYEE_FOR_HIRE,
    PAYER_FOR_HIRE,
    PAYER_LISTED,
    Action,
    PolicySettings,
    Standing,
    Why,
    decide,
    target_of,
)
from models.control.records import Order
from models.control.states import OrderKind
from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band, DetectorScore, ListLevel, Reason

HOUSE, NOW_US, MINUTE_US = PolicySettings(), 1_773_707_400_000_000, 60_000_000
CODES = (
    "M01",
    "M19",
    "V01",
    "3002",
    "3006",
    "9999",
    "L002",
    PAYEE_FOR_HIRE,
    PAYER_FOR_HIRE,
    PAYER_LISTED,
    *sorted(NAMED),
)

yuan = st.integers(0, 10**11).map(lambda fen: fen / 100)
grounds = st.builds(
    lambda code, payer, payee: Reason(
        code=code, weight=0.5, zh="因", en="why", evidence={"payer_24h_yuan": payer, "payee_24h_yuan": payee}
    ),
    st.sampled_from(CODES),
    yuan,
    yuan,
)
transfers = st.builds(
    lambda fen: Transfer(
        transfer_id="t1",
        payer_bank="a",
        payer_account="1",
        payee_bank="b",
        payee_account="2",
        amount_fen=fen,
        occurred_us=NOW_US,
    ),
    st.integers(1, 10**11),
)
scores = st.lists(st.builds(DetectorScore, st.sampled_from(("forest", "linear")), st.just("v"), st.floats(0, 1)))
assessments = st.builds(
    lambda transfer, risk, band, reasons, said, payer, payee: Assessment(
        transfer=transfer,
        risk=risk,
        band=band,
        reasons=tuple(reasons),
        features=(),
        feature_set="f",
        rule_book="r",
        scores=tuple(said),
        lists=AccountLists(payer=payer, payee=payee),
    ),
    transfers,
    st.floats(0, 1),
    st.sampled_from(Band),
    st.lists(grounds, max_size=4),
    scores,
    st.sampled_from(ListLevel),
    st.sampled_from(ListLevel),
)


@given(assessments)
def test_a_stop_is_on_one_of_the_two_accounts_for_at_least_this_sum_or_on_all_of_it_with_a_reason(
    assessment: Assessment,
) -> None:
    target = target_of(assessment)
    transfer = assessment.transfer
    if target is not None:
        assert target.key in (transfer.payer, transfer.payee)
        assert (target.amount_fen == 0) == bool(target.whole_reason)
        assert target.amount_fen >= transfer.amount_fen or target.whole_reason


@given(assessments)
def test_the_payer_is_stopped_only_on_grounds_about_the_payer(assessment: Assessment) -> None:
    codes = {reason.code for reason in assessment.reasons}
    target = target_of(assessment)
    on_payer = target is not None and target.key == assessment.transfer.payer
    for_hire = PAYER_FOR_HIRE in codes and PAYEE_FOR_HIRE not in codes
    assert on_payer == ((PAYER_LISTED in codes or for_hire) and not NAMED & codes)


@given(assessments)
def test_an_order_names_its_target_in_its_id_and_needs_the_stop_band(assessment: Assessment) -> None:
    made, target = decide(assessment, Standing(), HOUSE, NOW_US), target_of(assessment)
    if made.action is Action.ORDER:
        assert assessment.band is Band.STOP
        assert target is not None
        assert made.order is not None
        assert made.order.target == target.key
        assert made.order.order_id == order_id_of(OrderKind.PROTECTIVE_STOP, "t1", target.key)
        assert target.level is not ListLevel.WHITE
    elif assessment.band is Band.STOP:
        assert target is None or target.level is ListLevel.WHITE


def move(number: int, fen: int, at_us: int, inflow_fen: int, *, credit: bool) -> Assessment:
    """Return a payment to or from ccb/6217 that convicts this account for all that came in."""
    ends = ("icbc", f"{number}", "ccb", "6217") if credit else ("ccb", "6217", "icbc", f"{number}")
    names = ("payer_bank", "payer_account", "payee_bank", "payee_account")
    evidence = {"payee_24h_yuan" if credit else "payer_24h_yuan": inflow_fen / 100}
    code = PAYEE_FOR_HIRE if credit else PAYER_FOR_HIRE
    return Assessment(
        transfer=Transfer(
            transfer_id=f"t{number}", amount_fen=fen, occurred_us=at_us, **dict(zip(names, ends, strict=True))
        ),
        risk=0.99,
        band=Band.STOP,
        reasons=(Reason(code=code, weight=1.0, zh="因", en="why", evidence=evidence),),
        features=(),
        feature_set="f",
        rule_book="r",
        scores=(),
    )


moves = st.lists(st.tuples(st.booleans(), st.integers(1, 10**11), st.integers(0, 55)), max_size=12)


def lived(said: list[tuple[bool, int, int]]) -> Iterator[tuple[bool, int, int, int]]:
    """Yield of each move whether it is a credit, its sum (none without money), all that came in by then, and when."""
    came_fen, now_us = 0, NOW_US
    for credit, fen, minutes in said:
        now_us += minutes * MINUTE_US
        came_fen += fen if credit else 0
        yield credit, fen if credit else min(fen, came_fen), came_fen, now_us


@given(moves)
def test_stops_of_a_day_hold_together_what_came_in_and_no_more(said: list[tuple[bool, int, int]]) -> None:
    """Credits to an account for hire and payments out of it within 12 hours, each of which convicts it."""
    house = PolicySettings(max_amount_holds=100)
    held = list[Order]()
    for number, (credit, paid_fen, came_fen, now_us) in enumerate(lived(said)):
        if paid_fen:
            found = move(number, paid_fen, now_us, came_fen, credit=credit)
            made = decide(found, Standing(open_orders=tuple(held)), house, now_us)
            assert made.order is not None
            if credit:
                assert (made.action, made.order.amount_fen) == (Action.ORDER, paid_fen)
                held.append(made.order)
            else:
                assert (made.action, made.why, made.order) == (Action.ATTACHED, Why.HELD_ALREADY, held[-1])
        assert sum(order.amount_fen for order in held) == came_fen


@given(moves, st.sets(st.integers(0, 11)))
def test_what_came_in_unnoticed_or_was_let_go_is_held_at_the_next_payment(
    said: list[tuple[bool, int, int]], unnoticed: set[int]
) -> None:
    """Of some credits and payments nothing is known but the sum that came in; nothing is held twice."""
    house = PolicySettings(max_amount_holds=100)
    held = list[Order]()
    for number, (credit, paid_fen, came_fen, now_us) in enumerate(lived(said)):
        if number in unnoticed or not paid_fen:
            continue
        found = move(number, paid_fen, now_us, came_fen, credit=credit)
        made = decide(found, Standing(open_orders=tuple(held)), house, now_us)
        assert made.order is not None
        if made.action is Action.ORDER:
            assert made.order.amount_fen > 0
            held.append(made.order)
        assert sum(order.amount_fen for order in held) == came_fen
