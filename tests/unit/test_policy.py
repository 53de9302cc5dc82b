"""What the machine does about an assessment, and what it leaves to people."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.control.handover import covers, freeze_draft
from models.control.messages import ControlKind
from models.control.policy import (
    Action,
    PolicySettings,
    Standing,
    Why,
    decide,
    doubted_until_us,
    standing_from,
)
from models.control.records import Order
from models.control.states import OrderKind, OrderState
from models.money.types import LATEST_US, Transfer
from models.risk.assessment import AccountLists, Assessment, Band, DetectorScore, ListLevel, Reason
from tests.controlkit import HOUR, T0, VICTIM, order

HOUSE = PolicySettings()


def ground(code: str, **evidence: float) -> Reason:
    return Reason(code=code, weight=1.0, zh="可疑", en="suspicious", evidence=dict(evidence))


def assessment(
    band: Band = Band.STOP, level: ListLevel = ListLevel.NONE, *grounds: Reason, **changes: object
) -> Assessment:
    whole: dict[str, object] = {"risk": 0.97, "scores": ()} | changes
    return Assessment(
        transfer=Transfer(
            transfer_id="t9",
            payer_bank="icbc",
            payer_account="6222",
            payee_bank="ccb",
            payee_account="6217",
            amount_fen=123_45,
            occurred_us=T0,
        ),
        band=band,
        reasons=grounds or (ground("C01", payee_24h_yuan=123.45),),
        features=(),
        feature_set="f1",
        rule_book="r1",
        lists=AccountLists(payee=level),
        **whole,  # type: ignore[arg-type]
    )


def applied(**changes: object) -> Order:
    values = {"state": OrderState.APPLIED, "control": ControlKind.AMOUNT_HOLD, "stop_point_us": T0}
    return order(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("band", [Band.ALLOW, Band.WATCH])
def test_only_the_stop_band_acts(band: Band) -> None:
    assert decide(assessment(band), Standing(), HOUSE, T0).action is Action.NONE


def test_a_stop_is_limited_to_the_amount_on_the_payees_account_at_the_payees_bank() -> None:
    made = decide(assessment(), Standing(), HOUSE, T0)
    assert made.action is Action.ORDER
    assert made.order is not None
    assert (made.order.bank, made.order.account, made.order.amount_fen) == ("ccb", "6217", 123_45)
    assert (made.order.kind, made.order.state) == (OrderKind.PROTECTIVE_STOP, OrderState.PROPOSED)
    assert made.order.victim is not None
    assert (made.order.victim.transfer_id, made.order.victim.amount_fen) == ("t9", 123_45)
    assert made.order.reasons == assessment().reasons
    assert made.order.method == "inflow_24h"


def test_risk_without_a_conclusive_ground_holds_nobodys_money() -> None:
    risky = assessment(Band.STOP, ListLevel.NONE, ground("M19"), ground("3006"), risk=0.999)
    made = decide(risky, Standing(), HOUSE, T0)
    assert (made.action, made.why, made.order) == (Action.WITHHELD, Why.INCONCLUSIVE, None)


def test_an_account_for_hire_is_held_for_all_that_came_in_today() -> None:
    made = decide(assessment(Band.STOP, ListLevel.NONE, ground("C01", payee_24h_yuan=9_000.07)), Standing(), HOUSE, T0)
    assert made.order is not None
    assert (made.order.account, made.order.amount_fen, made.order.method) == ("6217", 900_007, "inflow_24h")


def test_where_money_leaves_to_a_shop_the_mule_is_stopped_and_not_the_shop() -> None:
    leaving = assessment(Band.STOP, ListLevel.NONE, ground("M12"), ground("C02", payer_24h_yuan=5_000.0))
    made = decide(leaving, Standing(), HOUSE, T0)
    assert made.order is not None
    assert (made.order.bank, made.order.account, made.order.amount_fen) == ("icbc", "6222", 500_000)
    assert made.order.order_id != decide(assessment(), Standing(), HOUSE, T0).order.order_id  # type: ignore[union-attr]


def test_a_listed_payer_has_its_business_suspended_and_whom_it_paid_is_left_alone() -> None:
    paid = assessment(Band.STOP, ListLevel.NONE, ground("3005"), ground("C01", payee_24h_yuan=9_000.0))
    order_ = decide(paid, Standing(level=ListLevel.BLACK), HOUSE, T0).order
    assert order_ is not None
    assert (order_.bank, order_.account, order_.amount_fen) == ("icbc", "6222", 0)
    assert (order_.method, order_.whole_reason) == ("listed_account", "付款账户在涉案账户名单上，暂停该账户业务")


@pytest.mark.parametrize("code", ["3004", "victim_report"])
def test_what_people_have_named_holds_the_credit_itself(code: str) -> None:
    named = assessment(Band.STOP, ListLevel.NONE, ground(code), ground("C02", payer_24h_yuan=5_000.0))
    order_ = decide(named, Standing(), HOUSE, T0).order
    assert order_ is not None
    assert (order_.account, order_.amount_fen, order_.method) == ("6217", 123_45, "direct_credit")


@pytest.mark.parametrize(
    ("name", "score", "risk", "acts"),
    [
        ("forest", 0.96, 0.96, True),
        ("forest", 0.94, 0.99, False),
        ("forest", 0.99, 0.94, False),
        ("novelty", 0.99, 0.99, False),
    ],
)
def test_only_a_detector_that_learned_from_verdicts_is_taken_at_its_word(
    name: str, score: float, risk: float, acts: bool
) -> None:
    said = (DetectorScore(name, "v1", score),)
    made = decide(assessment(Band.STOP, ListLevel.NONE, ground("M19"), scores=said, risk=risk), Standing(), HOUSE, T0)
    assert (made.action is Action.ORDER) is acts


INFLOW_HOLD = {"method": "inflow_24h", "amount_fen": 10_000}


@pytest.mark.parametrize(
    "state", [OrderState.PROPOSED, OrderState.UNCONFIRMED, OrderState.APPLIED, OrderState.UNDER_REVIEW]
)
def test_what_an_open_stop_holds_of_the_same_day_is_not_held_again(state: OrderState) -> None:
    held = order(state=state, stop_point_us=T0, **INFLOW_HOLD)
    paid = assessment(Band.STOP, ListLevel.NONE, ground("C01", payee_24h_yuan=200.0))
    assert decide(paid, Standing(open_orders=(held,)), HOUSE, T0).order.amount_fen == 123_45  # type: ignore[union-attr]
    more = assessment(Band.STOP, ListLevel.NONE, ground("C01", payee_24h_yuan=300.0))
    assert decide(more, Standing(open_orders=(held,)), HOUSE, T0).order.amount_fen == 200_00  # type: ignore[union-attr]
    left = assessment(Band.STOP, ListLevel.NONE, ground("C02", payer_24h_yuan=150.0))
    assert decide(left, Standing(open_orders=(held,)), HOUSE, T0).order.amount_fen == 50_00  # type: ignore[union-attr]


def test_a_payment_out_of_an_account_that_is_held_for_all_that_came_in_is_recorded_on_one_of_the_stops() -> None:
    holds = tuple(applied(order_id=f"PS-{number:016x}", **INFLOW_HOLD) for number in range(2))
    left = assessment(Band.STOP, ListLevel.NONE, ground("C02", payer_24h_yuan=200.0))
    made = decide(left, Standing(open_orders=holds), HOUSE, T0)
    assert (made.action, made.why, made.order) == (Action.ATTACHED, Why.HELD_ALREADY, holds[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "direct_credit"},
        {"state": OrderState.RELEASING},
        {"kind": OrderKind.FREEZE, "state": OrderState.DRAFT},
        {"victim": msgspec.structs.replace(VICTIM, occurred_us=T0 - 13 * HOUR)},
    ],
)
def test_other_stops_take_nothing_off(changes: dict[str, object]) -> None:
    held = applied(**(INFLOW_HOLD | changes))
    left = assessment(Band.STOP, ListLevel.NONE, ground("C02", payer_24h_yuan=200.0))
    assert decide(left, Standing(open_orders=(held,)), HOUSE, T0).order.amount_fen == 200_00  # type: ignore[union-attr]


def test_same_transfer_same_order() -> None:
    first, second = (decide(assessment(), Standing(), HOUSE, at).order for at in (T0, T0 + HOUR))
    assert first is not None
    assert second is not None
    assert first.order_id == second.order_id


@pytest.mark.parametrize(
    ("scored", "now", "why"),
    [
        (ListLevel.NONE, ListLevel.WHITE, Why.WHITE_LISTED),
        (ListLevel.WHITE, ListLevel.NONE, Why.WHITE_LISTED),
        (ListLevel.WHITE, ListLevel.BLACK, None),
        (ListLevel.NONE, ListLevel.GREY, None),
    ],
)
def test_white_list_beats_the_score_unless_it_is_black_by_now(
    scored: ListLevel, now: ListLevel, why: Why | None
) -> None:
    made = decide(assessment(level=scored), Standing(level=now), HOUSE, T0)
    assert made.why is why
    assert made.action is (Action.WITHHELD if why else Action.ORDER)


@pytest.mark.parametrize("control", [ControlKind.FULL_BLOCK, ControlKind.DEBIT_BLOCK])
def test_blocked_account_gets_no_second_order(control: ControlKind) -> None:
    made = decide(assessment(), Standing(open_orders=(applied(control=control),)), HOUSE, T0)
    assert (made.action, made.why) == (Action.ATTACHED, Why.BLOCKED_ALREADY)
    assert made.order is not None
    assert made.order.order_id == applied().order_id


def test_whole_account_asked_for_counts_as_blocked_until_the_bank_says_no() -> None:
    asked = order(amount_fen=0, whole_reason="r")
    assert decide(assessment(), Standing(open_orders=(asked,)), HOUSE, T0).action is Action.ATTACHED


def test_amount_hold_does_not_stop_the_next_credit_so_it_gets_its_own() -> None:
    made = decide(assessment(), Standing(open_orders=(applied(),)), HOUSE, T0)
    assert made.action is Action.ORDER


def test_after_five_amount_holds_the_whole_account_with_the_reason() -> None:
    holds = tuple(applied(order_id=f"PS-{number:016x}") for number in range(5))
    fifth = decide(assessment(), Standing(open_orders=holds[:4]), HOUSE, T0).order
    sixth = decide(assessment(), Standing(open_orders=holds), HOUSE, T0).order
    assert fifth is not None
    assert sixth is not None
    assert (fifth.amount_fen, fifth.whole_reason) == (123_45, "")
    assert sixth.amount_fen == 0
    assert "5" in sixth.whole_reason


@pytest.mark.parametrize(("field", "why"), [("released_us", Why.COOLDOWN), ("exempted_us", Why.EXEMPT_AT_BANK)])
def test_cooldown(field: str, why: Why) -> None:
    known = msgspec.structs.replace(Standing(), **{field: T0})
    assert decide(assessment(), known, HOUSE, T0 + 23 * HOUR).why is why
    assert decide(assessment(), known, HOUSE, T0 + 24 * HOUR).action is Action.ORDER
    black = msgspec.structs.replace(known, level=ListLevel.BLACK)
    assert decide(assessment(), black, HOUSE, T0 + 1).action is Action.ORDER


def test_standing_is_read_from_the_orders_of_the_account() -> None:
    released = applied(state=OrderState.RELEASED, state_since_us=T0 + 7)
    exempt = order(state=OrderState.DECLINED, result="0302", state_since_us=T0 + 3)
    declined = order(state=OrderState.DECLINED, result="0300", state_since_us=T0 + 9)
    known = standing_from([released, exempt, declined, applied()], ListLevel.GREY)
    assert (known.released_us, known.exempted_us, known.level) == (T0 + 7, T0 + 3, ListLevel.GREY)
    assert [each.state for each in known.open_orders] == [OrderState.APPLIED]


@pytest.mark.parametrize(
    ("came_from", "released_us"),
    [(OrderState.RELEASING, T0 + 7), (OrderState.EXPIRING, 0), (OrderState.CONVERTING, 0), (None, 0)],
)
def test_an_account_rests_too_while_the_release_by_a_person_fails(
    came_from: OrderState | None, released_us: int
) -> None:
    failed = applied(state=OrderState.RELEASE_FAILED, state_since_us=T0 + 7, came_from=came_from)
    assert standing_from([failed], ListLevel.NONE).released_us == released_us


@pytest.mark.parametrize(
    ("amount", "executed", "drafted"),
    [(500, 500, 500), (500, 200, 200), (500, 900, 500), (500, 0, 500), (0, 0, 500_000)],
)
def test_freeze_draft_asks_for_what_is_held_and_never_for_more(amount: int, executed: int, drafted: int) -> None:
    draft = freeze_draft(applied(amount_fen=amount, executed_fen=executed), HOUSE, T0)
    assert draft is not None
    assert (draft.kind, draft.state, draft.amount_fen) == (OrderKind.FREEZE, OrderState.DRAFT, drafted)
    assert (draft.victim, draft.account, draft.months) == (applied().victim, "6217", 6)
    assert draft.maker == "sluice"


def police(executed_fen: int, *transfer_ids: str, **changes: Any) -> Order:
    ids = transfer_ids or ("t1",)
    return order(OrderKind.FREEZE, OrderState.EFFECTIVE_LIMITED, transfer_ids=ids, executed_fen=executed_fen, **changes)


@pytest.mark.parametrize(
    ("freeze", "covered"),
    [
        (police(30_000), True),
        (police(29_999), False),
        (police(1), False),
        (police(30_000, deficient=True), False),
        (police(30_000, "t9"), False),
        (police(0, "t9", control=ControlKind.FULL_BLOCK), True),
    ],
)
def test_a_police_order_takes_the_place_of_a_stop_if_it_holds_as_much_of_the_same_money(
    freeze: Order, covered: bool
) -> None:
    hold = applied(amount_fen=30_000, executed_fen=30_000, control=ControlKind.AMOUNT_HOLD)
    assert covers(freeze, hold) == covered
    assert covers(freeze, msgspec.structs.replace(hold, transfer_ids=("t1", "out"))) == covered, "recorded, not held"


def test_a_limited_freeze_takes_the_place_of_a_block_only_with_all_that_is_recorded_on_it() -> None:
    block = applied(transfer_ids=("t1", "t2"), amount_fen=0, whole_reason="r", control=ControlKind.DEBIT_BLOCK)
    assert not covers(police(500_300), block)
    assert covers(police(500_300, "t1", "t2"), block)


def test_a_freeze_takes_over_a_reported_credit_by_its_own_sum_and_none_twice() -> None:
    second = msgspec.structs.replace(VICTIM, transfer_id="t2", amount_fen=300)
    hold = applied(transfer_ids=("t1", "t2", "t3"), amount_fen=0, whole_reason="r")
    unasked, both = freeze_draft(hold, HOUSE, T0), freeze_draft(hold, HOUSE, T0, [second])
    rest = freeze_draft(hold, HOUSE, T0, [second], drafted={"t1"})
    assert unasked is not None
    assert both is not None
    assert rest is not None
    assert (unasked.transfer_ids, unasked.amount_fen, unasked.victim) == (("t1",), 500_000, VICTIM)
    assert (both.transfer_ids, both.amount_fen, both.victim) == (("t1", "t2"), 500_300, VICTIM)
    assert (rest.transfer_ids, rest.amount_fen, rest.victim) == (("t2",), 300, second)
    assert both.order_id != rest.order_id
    assert freeze_draft(hold, HOUSE, T0, [second], drafted={"t1", "t2"}) is None


def ended(state: OrderState, at_us: int = T0, kind: OrderKind = OrderKind.PROTECTIVE_STOP) -> Order:
    return order(kind, state, state_since_us=at_us)


@pytest.mark.parametrize(
    ("orders", "until_us"),
    [
        ((), 0),
        ((order(),), LATEST_US),
        ((ended(OrderState.APPLIED),), LATEST_US),
        ((ended(OrderState.RELEASED), order(OrderKind.FREEZE)), LATEST_US),
        ((ended(OrderState.RELEASED),), 0),
        ((ended(OrderState.LIFTED, kind=OrderKind.FREEZE),), 0),
        ((ended(OrderState.CANCELLED, kind=OrderKind.FREEZE),), 0),
        ((ended(OrderState.EXPIRED),), T0),
        ((ended(OrderState.DECLINED), ended(OrderState.FAILED, T0 + 1)), T0 + 1),
        ((ended(OrderState.EXPIRED), ended(OrderState.RELEASED, T0 + 1)), 0),
        ((ended(OrderState.RELEASED), ended(OrderState.EXPIRED, T0 + 1)), T0 + 1),
        ((ended(OrderState.CONVERTED), ended(OrderState.LIFTED, T0 + 1, OrderKind.STOP)), 0),
    ],
)
def test_an_account_is_in_doubt_while_an_order_is_open_and_after_one_that_nobody_answered(
    orders: tuple[Order, ...], until_us: int
) -> None:
    assert doubted_until_us(orders) == until_us
