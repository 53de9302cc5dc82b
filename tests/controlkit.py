"""Orders, acts and feedback for tests of the pure core."""

from __future__ import annotations

from typing import Any

from models.control.messages import BankFeedback, ControlKind, VictimTransfer
from models.control.records import MACHINE, Act, Actor, LegalDocument, Order
from models.control.states import ActorKind, OrderEvent, OrderKind, OrderState, Purpose

T0 = 1_773_707_400_000_000
HOUR = 3_600_000_000

ANN, BOB, CYD = Actor("ann"), Actor("bob"), Actor("cyd")
BANK = Actor("ccb", ActorKind.BANK)
PAPER = LegalDocument(number="X-2026-1", kind="stop", sha256="0" * 64)
VICTIM = VictimTransfer(
    transfer_id="t1", payer_bank="icbc", payer_account="6222", amount_fen=500_000, occurred_us=T0 - HOUR
)


def order(kind: OrderKind = OrderKind.PROTECTIVE_STOP, state: OrderState | None = None, **changes: Any) -> Order:
    """Return an order as it begins, or with ``changes``."""
    begins = OrderState.PROPOSED if kind is OrderKind.PROTECTIVE_STOP else OrderState.DRAFT
    asked = {"command_seq": 1, "purpose": Purpose.APPLY, "attempts": 1, "feedback_due_us": T0 + 60_000_000}
    values: dict[str, Any] = {
        "order_id": "PS-15447a8f541a252e",
        "kind": kind,
        "state": state or begins,
        "bank": "ccb",
        "account": "6217",
        "amount_fen": 500_000,
        "maker": MACHINE.name,
        "created_us": T0,
        "state_since_us": T0,
        "transfer_ids": ("t1",),
        "victim": VICTIM,
        "hold_us": 24 * HOUR if kind is OrderKind.PROTECTIVE_STOP else 48 * HOUR,
        "months": 6 if kind is OrderKind.FREEZE else 0,
    }
    if kind is OrderKind.PROTECTIVE_STOP and state is None:
        values |= asked
    return Order(**(values | changes))


def act(actor: Actor = MACHINE, at_us: int = T0, **changes: Any) -> Act:
    return Act(actor=actor, at_us=at_us, **changes)


def feedback(subject: Order, result: str = "0000", **changes: Any) -> BankFeedback:
    """Return the bank's success (or another ``result``) to the order's open command."""
    values: dict[str, Any] = {
        "application_id": subject.application_id,
        "result": result,
        "feedback_time_us": T0 + 1,
        "account_number": subject.account,
    }
    if result in ("0000", "1200"):
        values |= {"control": ControlKind.AMOUNT_HOLD, "start_us": T0 + 5, "executed_fen": subject.amount_fen}
    return BankFeedback(**(values | changes))


SIGNED = (OrderEvent.SUBMIT, OrderEvent.APPROVE, OrderEvent.DISPATCH)
