"""Which clock of an order strikes next."""

from __future__ import annotations

import pytest

from models.control.deadlines import Clocks, Due, DueKind, next_due
from models.control.messages import ControlKind
from models.control.records import Order
from models.control.states import OrderKind, OrderState, Purpose
from tests.controlkit import HOUR, T0, order

CLOCKS = Clocks()
MINUTE = 60_000_000


def effective(**changes: object) -> Order:
    values = {
        "kind": OrderKind.STOP,
        "state": OrderState.EFFECTIVE,
        "stop_point_us": T0,
        "expire_us": T0 + 48 * HOUR,
        "control": ControlKind.DEBIT_BLOCK,
    }
    return order(**(values | changes))  # type: ignore[arg-type]


def test_a_proposed_order_waits_for_feedback() -> None:
    assert next_due(order(), CLOCKS, T0) == Due(T0 + MINUTE, DueKind.FEEDBACK)


def test_an_unconfirmed_order_is_asked_about_again_and_again() -> None:
    subject = order(state=OrderState.UNCONFIRMED, purpose=Purpose.APPLY, command_seq=1, feedback_due_us=T0)
    assert next_due(subject, CLOCKS, T0 + HOUR) == Due(T0 + HOUR + MINUTE, DueKind.RECONCILE)


def test_a_protective_stop_is_to_be_reviewed_once_then_expires() -> None:
    applied = order(state=OrderState.APPLIED, stop_point_us=T0, expire_us=T0 + 24 * HOUR)
    assert next_due(applied, CLOCKS, T0) == Due(T0 + 30 * MINUTE, DueKind.REVIEW)
    reminded = order(state=OrderState.APPLIED, stop_point_us=T0, expire_us=T0 + 24 * HOUR, reminders=1)
    assert next_due(reminded, CLOCKS, T0) == Due(T0 + 24 * HOUR, DueKind.EXPIRY)
    reviewed = order(state=OrderState.UNDER_REVIEW, stop_point_us=T0, expire_us=T0 + 24 * HOUR)
    assert next_due(reviewed, CLOCKS, T0) == Due(T0 + 24 * HOUR, DueKind.EXPIRY)


def test_a_short_hold_expires_before_its_review_is_due() -> None:
    applied = order(state=OrderState.APPLIED, stop_point_us=T0, expire_us=T0 + MINUTE)
    assert next_due(applied, CLOCKS, T0) == Due(T0 + MINUTE, DueKind.EXPIRY)


@pytest.mark.parametrize(("reminders", "left_h"), [(0, 24), (1, 6), (2, 1), (3, 0)])
def test_reminders_before_expiry(reminders: int, left_h: int) -> None:
    kind = DueKind.EXPIRY if left_h == 0 else DueKind.REMINDER
    assert next_due(effective(reminders=reminders), CLOCKS, T0) == Due(T0 + (48 - left_h) * HOUR, kind)


def test_release_waits_for_the_bank_then_is_reconciled_then_retried() -> None:
    releasing = order(state=OrderState.RELEASING, purpose=Purpose.RELEASE, command_seq=2, feedback_due_us=T0 + 9)
    assert next_due(releasing, CLOCKS, T0) == Due(T0 + 9, DueKind.FEEDBACK)
    overdue = order(state=OrderState.RELEASING, purpose=Purpose.RELEASE, command_seq=2)
    assert next_due(overdue, CLOCKS, T0) == Due(T0 + MINUTE, DueKind.RECONCILE)
    failed = order(state=OrderState.RELEASE_FAILED)
    assert next_due(failed, CLOCKS, T0) == Due(T0 + 5 * MINUTE, DueKind.RETRY)


@pytest.mark.parametrize(
    ("kind", "early"),
    [(kind, kind in (DueKind.RECONCILE, DueKind.RETRY)) for kind in DueKind],
)
def test_a_clock_of_the_order_has_not_struck_before_its_time(kind: DueKind, early: bool) -> None:
    assert Due(T0, kind).has_struck(T0)
    assert Due(T0 + 1, kind).has_struck(T0) is early


def test_bank_first_stop_waits_for_its_paper() -> None:
    first = effective(state=OrderState.BANK_FIRST_EFFECTIVE)
    assert next_due(first, CLOCKS, T0) == Due(T0 + 24 * HOUR, DueKind.PAPER)


@pytest.mark.parametrize("state", [OrderState.DRAFT, OrderState.SUBMITTED, OrderState.REJECTED, OrderState.LIFTED])
def test_drafts_and_ends_wait_for_no_clock(state: OrderState) -> None:
    assert next_due(order(OrderKind.STOP, state), CLOCKS, T0) is None
