"""Which clock of an order strikes next. All clocks run in world time, legal ones from the bank's stop point."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from models.control.records import HOUR_US, Order
from models.control.states import IN_FORCE, OrderKind, OrderState

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
STOP_US = 48 * HOUR_US
"""Length of a police stop from the bank's stop point (银发〔2016〕86号, ``docs/sources.md#notice-86``)."""


class DueKind(StrEnum):
    """What is to be done when a clock strikes."""

    FEEDBACK = "feedback"
    RECONCILE = "reconcile"
    REVIEW = "review"
    REMINDER = "reminder"
    EXPIRY = "expiry"
    RETRY = "retry"
    PAPER = "paper"


FROM_NOW: Final = frozenset({DueKind.RECONCILE, DueKind.RETRY})
"""Clocks that run from when they are wound; the others strike when the order says."""


class Due(msgspec.Struct, frozen=True, order=True):
    """A clock that strikes at ``at_us``."""

    at_us: int
    kind: DueKind

    def has_struck(self, now_us: int) -> bool:
        """Whether an order that was found due is due for this; asked of `next_due` at ``now_us``."""
        return self.kind in FROM_NOW or self.at_us <= now_us


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths of the clocks; all but the stop's 48 h are settings of the house."""

    feedback_us: int = 60 * SECOND_US
    review_us: int = 30 * MINUTE_US
    reconcile_us: int = 60 * SECOND_US
    retry_us: int = 5 * MINUTE_US
    paper_us: int = 24 * HOUR_US
    reminders_us: tuple[int, ...] = (24 * HOUR_US, 6 * HOUR_US, HOUR_US)
    """How long before expiry a person is reminded, longest first."""


def next_due(order: Order, clocks: Clocks, now_us: int) -> Due | None:
    """Return the clock that strikes next, or ``None`` if the order waits for nobody but people."""
    state = order.state
    if state in IN_FORCE and state is not OrderState.EXTENDING:
        return _next_in_force(order, clocks)
    if state in (OrderState.RELEASE_FAILED, OrderState.LIFT_FAILED):
        return Due(now_us + clocks.retry_us, DueKind.RETRY)
    if order.purpose is None:
        return None
    if order.feedback_due_us and state not in (OrderState.UNCONFIRMED, OrderState.QUEUED):
        return Due(order.feedback_due_us, DueKind.FEEDBACK)
    return Due(now_us + clocks.reconcile_us, DueKind.RECONCILE)


def _next_in_force(order: Order, clocks: Clocks) -> Due:
    expiry = Due(order.expire_us, DueKind.EXPIRY)
    if order.state is OrderState.BANK_FIRST_EFFECTIVE:
        return min(expiry, Due(order.state_since_us + clocks.paper_us, DueKind.PAPER))
    if order.kind is OrderKind.PROTECTIVE_STOP:
        unseen = order.state is OrderState.APPLIED and not order.reminders
        return min(expiry, Due(order.state_since_us + clocks.review_us, DueKind.REVIEW)) if unseen else expiry
    if order.reminders < len(clocks.reminders_us):
        return Due(order.expire_us - clocks.reminders_us[order.reminders], DueKind.REMINDER)
    return expiry
