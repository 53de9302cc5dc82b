"""What the machine does about an assessment, and what it leaves to people."""

from __future__ import annotations

import msgspec
import pytest

from models.control.messages import ControlKind
from models.control.policy import Action, PolicySettings, Standing, Why, decide, freeze_draft, standing_from
from models.control.records import Order
from models.control.states import OrderKind, OrderState
from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band, ListLevel, Reason
from tests.controlkit import HOUR, T0, order

HOUSE = PolicySettings()


def assessment(band: Band = Band.STOP, level: ListLevel = ListLevel.NONE) -> Assessment:
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
        risk=0.97,
        band=band,
        reasons=(Reason(code="3006", weight=1.0, zh="分散转入", en="scattered in"),),
        features=(),
        feature_set="f1",
        rule_book="r1",
        scores=(),
        lists=AccountLists(payee=level),
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
    assert made.order.method == "direct_credit"


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
    ("amount", "executed", "drafted"),
    [(500, 500, 500), (500, 200, 200), (500, 900, 500), (500, 0, 500), (0, 0, 500_000)],
)
def test_freeze_draft_asks_for_what_is_held_and_never_for_more(amount: int, executed: int, drafted: int) -> None:
    draft = freeze_draft(applied(amount_fen=amount, executed_fen=executed), HOUSE, T0)
    assert (draft.kind, draft.state, draft.amount_fen) == (OrderKind.FREEZE, OrderState.DRAFT, drafted)
    assert (draft.victim, draft.account, draft.months) == (applied().victim, "6217", 6)
    assert draft.maker == "sluice"
