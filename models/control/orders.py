"""What may happen to an order, and what it becomes. `step` is the only way an order changes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import msgspec

from models.control.messages import BankFeedback
from models.control.records import Act, ChangeRequest, GuardFailed, Order, Signature, WrongState
from models.control.states import (
    AWAITING_BANK,
    IN_FORCE,
    ActorKind,
    OrderEvent,
    OrderKind,
    OrderState,
    Purpose,
    RequestKind,
)
from models.control.table import INITIAL, RETURNING, ROWS, Transition

COMMANDS_PER_ORDER: Final = 90
"""Highest sequence number of an order's commands; the application id has two digits for it."""

BEIJING: Final = timezone(timedelta(hours=8))
"""Legal terms in months run in the calendar of Asia/Shanghai, which has no summer time."""

_PREFIX: Final = {OrderKind.PROTECTIVE_STOP: "PS", OrderKind.STOP: "SP", OrderKind.FREEZE: "FR"}
_SIGNED: Final = frozenset(
    {
        OrderEvent.SUBMIT, OrderEvent.APPROVE, OrderEvent.RELEASE,
        OrderEvent.REQUEST_LIFT, OrderEvent.APPROVE_LIFT, OrderEvent.REQUEST_EXTENSION, OrderEvent.APPROVE_EXTENSION,
    }
)  # fmt: skip
"""Acts for which a person answers; the last two signers are operator and investigator of the next command."""

_REQUESTS: Final = {
    OrderEvent.REQUEST_LIFT: RequestKind.LIFT,
    OrderEvent.REQUEST_EXTENSION: RequestKind.EXTENSION,
}
_ANSWERED: Final = (OrderEvent.APPROVE_LIFT, OrderEvent.APPROVE_EXTENSION, OrderEvent.REJECT_REQUEST)


def order_id_of(kind: OrderKind, transfer_id: str, target: str, round_: int = 1) -> str:
    """Return the order id of a cause: the same cause makes the same order.

    ``round_`` counts deliberate repetitions for one cause. 64 bits of SHA-256
    leave room for the command number in the platform's 36 characters.

    >>> order_id_of(OrderKind.PROTECTIVE_STOP, "t1", "icbc/62")
    'PS-15447a8f541a252e'
    """
    cause = f"sluice order 1|{kind}|{transfer_id}|{target}|{round_}"
    return f"{_PREFIX[kind]}-{hashlib.sha256(cause.encode()).hexdigest()[:16]}"


def add_months(start_us: int, months: int) -> int:
    """Return the same day and time ``months`` later in Beijing's calendar; a missing day is the month's last.

    >>> from models.money.types import iso_from_us, us_from_iso
    >>> iso_from_us(add_months(us_from_iso("2024-08-31T12:00:00+08:00"), 6))
    '2025-02-28T04:00:00Z'
    """
    seconds, rest = divmod(start_us, 1_000_000)
    start = datetime.fromtimestamp(seconds, BEIJING)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=BEIJING)
    last_day = (following - timedelta(days=1)).day
    end = start.replace(year=year, month=month + 1, day=min(start.day, last_day)).astimezone(UTC)
    return int(end.timestamp()) * 1_000_000 + rest


def check_new(order: Order) -> Order:
    """Return a new order unchanged if it may begin so; raise `GuardFailed` otherwise."""
    if order.state not in INITIAL[order.kind]:
        raise GuardFailed("wrong_initial_state", f"an order of kind {order.kind} does not begin as {order.state}")
    _check_in_force(order)
    if order.amount_fen == 0 and not order.whole_reason:
        raise GuardFailed("whole_reason_required", "a control of the whole account needs a stated reason")
    return order


def transition_of(order: Order, event: OrderEvent) -> Transition:
    """Return the table's row for ``event``; raise `WrongState` if there is none."""
    row = ROWS.get((order.kind, order.state, event))
    if row is None:
        raise WrongState(order.state, event)
    return row


def takes(order: Order, event: OrderEvent) -> bool:
    """Return whether ``event`` can happen in the state an order is in, its guards aside."""
    return (order.kind, order.state, event) in ROWS


def step(order: Order, event: OrderEvent, act: Act) -> Order:
    """Return the order after ``event``; raise `WrongState` or `GuardFailed` and leave it as it is.

    A transition with a purpose opens a new command: its number is
    ``command_seq`` of the result.
    """
    row = transition_of(order, event)
    for guard in row.guards:
        guard(order, act)
    target = _target(order, row)
    changes: dict[str, Any] = {"state": target, "version": order.version + 1}
    if target is not order.state:
        changes["state_since_us"] = act.at_us
        changes["reminders"] = 0
    changes |= _from_people(order, event, act)
    if act.feedback is not None:
        changes |= _from_bank(order, event, act.feedback)
    if event is OrderEvent.EXPIRE or event is OrderEvent.CONTROL_ABSENT:
        changes |= {"purpose": None, "end_reason": order.end_reason or event.value}
    if row.purpose is not None:
        changes |= _command(order, event, row.purpose, act)
    if event is OrderEvent.FEEDBACK_OVERDUE:
        changes["feedback_due_us"] = 0
    if target in RETURNING and target is not order.state:
        changes["came_from"] = order.state
    return _check_in_force(msgspec.structs.replace(order, **changes))


def _target(order: Order, row: Transition) -> OrderState:
    """Return where a row leads an order; why a control is on its way out outlives a release that failed."""
    if row.target is not None:
        return row.target
    before = order.came_from or _left_as(order)
    return (ROWS[order.kind, before, row.event].target if row.as_before else None) or before


def _left_as(order: Order) -> OrderState:
    """Return the state before of an order that was stored without it: a person's release is signed."""
    released = any(signature.act == OrderEvent.RELEASE for signature in order.signatures)
    return OrderState.RELEASING if released else OrderState.EXPIRING


def _check_in_force(order: Order) -> Order:
    """Last defence of the rule that nothing is in force without the bank's stop point."""
    if order.state in IN_FORCE and order.stop_point_us <= 0:
        raise GuardFailed("no_stop_point", "without the bank's stop point nothing is in force")
    return order


def _from_people(order: Order, event: OrderEvent, act: Act) -> dict[str, Any]:
    """Changes that persons and the machine bring: signatures, requests, papers, causes."""
    changes: dict[str, Any] = {}
    if act.document is not None:
        changes["document"] = act.document
    if event in _SIGNED and act.actor.kind is ActorKind.PERSON:
        text = f"{event}:{act.level}" if act.level else event.value
        changes["signatures"] = (*order.signatures, Signature(act.actor.name, text, act.at_us))
    if event in _REQUESTS:
        changes["request"] = ChangeRequest(
            kind=_REQUESTS[event], maker=act.actor.name, at_us=act.at_us, reason=act.reason
        )
    if event in _ANSWERED:
        changes["request"] = None
    if event is OrderEvent.APPROVE_LIFT:
        changes["end_reason"] = order.request.reason if order.request else ""
    if event in (OrderEvent.REJECT, OrderEvent.CANCEL, OrderEvent.RELEASE, OrderEvent.CONVERT, OrderEvent.SUPERSEDE):
        changes["end_reason"] = act.reason or event.value
    if event is OrderEvent.AMEND:
        new = tuple(each for each in act.transfer_ids if each not in order.transfer_ids)
        changes["transfer_ids"] = (*order.transfer_ids, *new)
        changes["amount_fen"] = order.amount_fen + act.amount_fen if order.amount_fen else 0
        changes["reporters"] = tuple(dict.fromkeys((*order.reporters, *act.reporters)))
    if event is OrderEvent.REMIND:
        changes["reminders"] = order.reminders + 1
    return changes


def _command(order: Order, event: OrderEvent, purpose: Purpose, act: Act) -> dict[str, Any]:
    if order.command_seq >= COMMANDS_PER_ORDER:
        raise GuardFailed("too_many_commands", "the order has used up its commands; a person must talk to the bank")
    again = event in (OrderEvent.BANK_FAULT, OrderEvent.RETRY)
    return {
        "command_seq": order.command_seq + 1,
        "feedback_due_us": act.at_us + act.feedback_us,
        "purpose": purpose,
        "attempts": order.attempts + 1 if again else 1,
    }


def _from_bank(order: Order, event: OrderEvent, feedback: BankFeedback) -> dict[str, Any]:
    """Changes that a bank's answer brings, its code and words always among them."""
    changes: dict[str, Any] = {
        "result": feedback.result,
        "cause": feedback.failure_cause or feedback.feedback_remark,
    }
    if event is not OrderEvent.BANK_UNCLEAR and event is not OrderEvent.BANK_QUEUED:
        changes["purpose"] = None
    if event is OrderEvent.BANK_UNCLEAR and order.purpose is not Purpose.APPLY:
        changes["purpose"] = None
    if event is OrderEvent.BANK_QUEUED:
        changes["applied_application_id"] = order.application_id
    success = event in (OrderEvent.BANK_OK, OrderEvent.BANK_FULL, OrderEvent.BANK_DEFICIENT)
    if success and (order.state in AWAITING_BANK or order.state is OrderState.QUEUED):
        changes |= _taking_effect(order, event, feedback)
    if success and order.state is OrderState.EXTENDING:
        changes |= {"extended": order.extended + 1, "expire_us": _extended_expiry(order)}
    return changes


def _taking_effect(order: Order, event: OrderEvent, feedback: BankFeedback) -> dict[str, Any]:
    """The bank's own stop point starts the clocks; a bank's shorter term of a hold or freeze counts."""
    expire_us = _expiry(order, feedback.start_us)
    if order.kind is not OrderKind.STOP and feedback.expire_us:
        expire_us = min(expire_us, feedback.expire_us)
    return {
        "control": feedback.control,
        "stop_point_us": feedback.start_us,
        "expire_us": expire_us,
        "executed_fen": feedback.executed_fen or 0,
        "deficient": event is OrderEvent.BANK_DEFICIENT,
        "applied_application_id": order.application_id,
    }


def _expiry(order: Order, stop_point_us: int) -> int:
    if order.kind is OrderKind.FREEZE:
        return add_months(stop_point_us, order.months)
    return stop_point_us + order.hold_us


def _extended_expiry(order: Order) -> int:
    if order.kind is OrderKind.FREEZE:
        return add_months(order.expire_us, order.months)
    return order.expire_us + order.hold_us
