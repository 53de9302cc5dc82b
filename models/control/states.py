"""Names of orders, their states, and what can happen to them; the law behind them is in ``docs/sources.md#law``."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class OrderKind(StrEnum):
    """What kind of order: the bank's own protective measure, a police stop, or a freeze."""

    PROTECTIVE_STOP = "protective_stop"
    STOP = "stop"
    FREEZE = "freeze"


class OrderState(StrEnum):
    """Where an order stands; each kind uses some of these."""

    # before the bank is asked
    DRAFT = "draft"
    SUBMITTED = "submitted"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    # the bank is asked
    PROPOSED = "proposed"
    DISPATCHED = "dispatched"
    UNCONFIRMED = "unconfirmed"
    DECLINED = "declined"
    REFUSED = "refused"
    FAILED = "failed"
    # in force at the bank
    APPLIED = "applied"
    UNDER_REVIEW = "under_review"
    BANK_FIRST_EFFECTIVE = "bank_first_effective"
    EFFECTIVE = "effective"
    EFFECTIVE_FULL = "effective_full"
    EFFECTIVE_LIMITED = "effective_limited"
    EFFECTIVE_DEFICIENT = "effective_deficient"
    PARTLY_RETURNED = "partly_returned"
    EXTENDING = "extending"
    QUEUED = "queued"
    # on the way out, and out
    RELEASING = "releasing"
    EXPIRING = "expiring"
    CONVERTING = "converting"
    RELEASE_FAILED = "release_failed"
    LIFTING = "lifting"
    LIFT_FAILED = "lift_failed"
    RELEASED = "released"
    CONVERTED = "converted"
    SUPERSEDED = "superseded"
    LIFTED = "lifted"
    EXPIRED = "expired"


class OrderEvent(StrEnum):
    """What can happen to an order."""

    # people
    AMEND = "amend"
    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    TAKE_REVIEW = "take_review"
    RELEASE = "release"
    REQUEST_LIFT = "request_lift"
    APPROVE_LIFT = "approve_lift"
    REQUEST_EXTENSION = "request_extension"
    APPROVE_EXTENSION = "approve_extension"
    REJECT_REQUEST = "reject_request"
    LINK_PAPER = "link_paper"
    RETURN_PART = "return_part"
    # Sluice itself
    DISPATCH = "dispatch"
    CONVERT = "convert"
    SUPERSEDE = "supersede"
    RETRY = "retry"
    # clocks
    FEEDBACK_OVERDUE = "feedback_overdue"
    PAPER_OVERDUE = "paper_overdue"
    REMIND = "remind"
    EXPIRE = "expire"
    # the bank's answers
    BANK_OK = "bank_ok"
    BANK_FULL = "bank_full"
    BANK_DEFICIENT = "bank_deficient"
    BANK_QUEUED = "bank_queued"
    BANK_REFUSED = "bank_refused"
    BANK_FAULT = "bank_fault"
    BANK_FAILED = "bank_failed"
    BANK_GONE = "bank_gone"
    BANK_UNCLEAR = "bank_unclear"
    CONTROL_ABSENT = "control_absent"


class ActorKind(StrEnum):
    """Who may cause an event."""

    MACHINE = "machine"
    PERSON = "person"
    BANK = "bank"


class Purpose(StrEnum):
    """What the command of an order is for."""

    APPLY = "apply"
    EXTEND = "extend"
    RELEASE = "release"


class RequestKind(StrEnum):
    """A change that one person asks for and another must approve."""

    LIFT = "lift"
    EXTENSION = "extension"


IN_FORCE: Final = frozenset(
    {
        OrderState.APPLIED,
        OrderState.UNDER_REVIEW,
        OrderState.BANK_FIRST_EFFECTIVE,
        OrderState.EFFECTIVE,
        OrderState.EFFECTIVE_FULL,
        OrderState.EFFECTIVE_LIMITED,
        OrderState.EFFECTIVE_DEFICIENT,
        OrderState.PARTLY_RETURNED,
        OrderState.EXTENDING,
    }
)
"""States in which the bank has confirmed that its control is in force. None is reached without a stop point."""

LEAVING: Final = frozenset(
    {
        OrderState.RELEASING,
        OrderState.EXPIRING,
        OrderState.CONVERTING,
        OrderState.LIFTING,
        OrderState.RELEASE_FAILED,
        OrderState.LIFT_FAILED,
    }
)
"""States in which the control is to go, but the bank has not confirmed that it has gone."""

AWAITING_BANK: Final = frozenset({OrderState.PROPOSED, OrderState.DISPATCHED, OrderState.UNCONFIRMED})
"""States in which the bank has been asked for the control and has not conclusively answered."""
