"""From an order to the command that is sent to its bank."""

from __future__ import annotations

from typing import Final

from models.control.messages import BankCommand, CommandKind
from models.control.orders import add_months
from models.control.records import Order
from models.control.states import OrderKind, Purpose
from models.money.types import yuan_from_fen
from models.risk.assessment import gravest_first

KINDS: Final = {
    (OrderKind.PROTECTIVE_STOP, Purpose.APPLY): CommandKind.PROTECTIVE_STOP,
    (OrderKind.PROTECTIVE_STOP, Purpose.RELEASE): CommandKind.PROTECTIVE_RELEASE,
    (OrderKind.STOP, Purpose.APPLY): CommandKind.STOP,
    (OrderKind.STOP, Purpose.RELEASE): CommandKind.STOP_LIFT,
    (OrderKind.STOP, Purpose.EXTEND): CommandKind.STOP_EXTENSION,
    (OrderKind.FREEZE, Purpose.APPLY): CommandKind.FREEZE,
    (OrderKind.FREEZE, Purpose.RELEASE): CommandKind.UNFREEZE,
    (OrderKind.FREEZE, Purpose.EXTEND): CommandKind.FREEZE_EXTENSION,
}

MAX_REASON_CHARS: Final = 500


def command_of(order: Order, *, now_us: int) -> BankCommand:
    """Return the order's open command (``order.purpose``), made at world time ``now_us``.

    Raises `ValueError` for an order without an open command.
    """
    if order.purpose is None or not order.command_seq:
        raise ValueError(f"order {order.order_id} has no open command")
    persons = [signature.name for signature in order.signatures]
    return BankCommand(
        application_id=order.application_id,
        kind=KINDS[order.kind, order.purpose],
        bank_id=order.bank,
        account_number=order.account,
        application_time_us=now_us,
        expire_us=_wanted_expiry(order, now_us),
        reason=reason_text(order),
        currency=order.currency,
        amount_fen=order.amount_fen,
        original_application_id="" if order.purpose is Purpose.APPLY else order.applied_application_id,
        case_number=order.case_number,
        transfer_out=order.victim,
        operator=persons[-2] if len(persons) > 1 else order.maker,
        investigator=persons[-1] if len(persons) > 1 else "",
        legal_document=order.document.number if order.document else "",
        feedback_deadline_us=order.feedback_due_us,
    )


def reason_text(order: Order) -> str:
    """Return the reasons as a bank's clerk reads them: Chinese texts, the gravest first, then the heaviest."""
    words = [order.end_reason] if order.purpose is Purpose.RELEASE and order.end_reason else []
    words += [reason.zh for reason in gravest_first(order.reasons)]
    if order.purpose is Purpose.APPLY and order.whole_reason:
        words.insert(0, order.whole_reason)
    if order.victim is not None:
        words.append(f"涉及转账 {order.victim.transfer_id}，金额 {yuan_from_fen(order.victim.amount_fen)} 元")
    return "；".join(words)[:MAX_REASON_CHARS]


def _wanted_expiry(order: Order, now_us: int) -> int:
    if order.purpose is Purpose.RELEASE:
        return order.expire_us or now_us
    start_us = order.expire_us if order.purpose is Purpose.EXTEND else now_us
    return add_months(start_us, order.months) if order.kind is OrderKind.FREEZE else start_us + order.hold_us
