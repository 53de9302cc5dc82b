"""What a bank's answer means for an order. Only what is known to be success is success."""

from __future__ import annotations

from typing import Final

from models.control.messages import BankFeedback, ControlKind, ResultCode
from models.control.records import Order
from models.control.states import OrderEvent, OrderKind, Purpose

REFUSALS: Final = frozenset(
    {
        "0100", "0199", "0200", "0299", "0300", "0301", "0302", "0303", "0304", "0399",
        "0400", "0499", "0500", "0501", "0599", "0600", "0699", "0700", "0701", "0799",
        "0800", "0801", "0802", "0899", "1000", "1099", "1301", "1302", "1303", "1304",
    }
)  # fmt: skip
"""Codes by which a bank says no, knowing what it was asked (``docs/sources.md#platform-results``)."""

FAULTS: Final = frozenset({"1100", "1101", "1199", "1300", "1399"})
"""Codes by which a bank says that it could not; asking again, as a new command, may help."""

GONE: Final = frozenset({ResultCode.EXTENSION_EXPIRED, ResultCode.LIFT_EXPIRED})
"""Codes by which a bank says that the control had ended before."""

MAX_COMMANDS: Final = 3
"""Commands for one purpose after which a bank's fault is final."""


def event_of(order: Order, feedback: BankFeedback) -> OrderEvent:
    """Return what ``feedback`` to the order's open command means.

    An unknown code, or success without a stop point, is `BANK_UNCLEAR`.
    """
    code = feedback.result
    if code in FAULTS:
        return OrderEvent.BANK_FAULT if order.attempts < MAX_COMMANDS else OrderEvent.BANK_FAILED
    if order.purpose is not Purpose.APPLY and code in GONE:
        return OrderEvent.BANK_GONE
    if code in REFUSALS:
        return OrderEvent.BANK_REFUSED
    if order.purpose is Purpose.APPLY:
        return _applied(order, feedback)
    return OrderEvent.BANK_OK if code == ResultCode.OK else OrderEvent.BANK_UNCLEAR


def _applied(order: Order, feedback: BankFeedback) -> OrderEvent:
    freeze = order.kind is OrderKind.FREEZE
    if feedback.result == ResultCode.OK and freeze and feedback.start_us <= 0 and feedback.prior_freeze_fen:
        return OrderEvent.BANK_QUEUED
    if feedback.start_us <= 0:
        return OrderEvent.BANK_UNCLEAR
    if feedback.result == ResultCode.DEFICIENT:
        return OrderEvent.BANK_DEFICIENT
    if feedback.result != ResultCode.OK:
        return OrderEvent.BANK_UNCLEAR
    whole = feedback.control in (ControlKind.FULL_BLOCK, ControlKind.DEBIT_BLOCK)
    return OrderEvent.BANK_FULL if freeze and whole else OrderEvent.BANK_OK
