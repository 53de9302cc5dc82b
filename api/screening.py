"""What is checked of a posted transfer beyond its form, and the decision on one that is known."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from api.auth import Principal
from api.errors import ApiError, FieldProblem, Forbidden, Unprocessable
from api.feedsink import view_of
from api.store import transfers
from api.store.transfers import AssessedRow
from api.waiters import DecisionView
from models.control.policy import Action
from models.money.types import Transfer, iso_from_us, time_fault
from models.wire import decode_assessment


class Present(NamedTuple):
    """World time, and the latest event time that a transfer may have now."""

    now_us: int
    latest_us: int


def objection(transfer: Transfer, principal: Principal, banks: Collection[str], present: Present) -> ApiError | None:
    """Return why a transfer is refused, or ``None``: unknown bank, not a party, to itself, no possible time."""
    if transfer.payer_bank not in banks:
        return _field("unknown_bank", "/payer_bank", f"no bank {transfer.payer_bank!r} is known")
    if transfer.payee_bank not in banks:
        return _field("unknown_bank", "/payee_bank", f"no bank {transfer.payee_bank!r} is known")
    if not principal.is_party(transfer.payer_bank, transfer.payee_bank):
        return Forbidden("not_a_party", f"{principal.name} is no party to transfer {transfer.transfer_id}")
    if transfer.payer == transfer.payee:
        return _field("same_account", "/payee_account", "payer and payee are the same account")
    if transfer.occurred_us > present.latest_us:
        now, latest = _told(present.now_us), _told(present.latest_us)
        reason = f"lies in the future: it is {now} in the world; the latest time taken now is {latest}"
        return _field("future_time", "/occurred_us", reason)
    fault = time_fault(transfer)
    return _field("time_unit", f"/{fault.field}", fault.reason) if fault else None


def _field(code: str, pointer: str, reason: str) -> Unprocessable:
    problem = FieldProblem(pointer, reason)
    return Unprocessable(code, str(problem), (problem,))


def _told(us: int) -> str:
    return f"{iso_from_us(us)} ({us})"


def decision_of(connection: Connection, transfer_id: str) -> DecisionView | None:
    """Return the decision stored for a transfer, or ``None``."""
    row = transfers.find_assessment(connection, transfer_id)
    if row is None:
        return None
    assessment = decode_assessment(row.body)
    return view_of(AssessedRow(assessment=assessment, body=row.body, action=Action(row.action), order_id=row.order_id))
