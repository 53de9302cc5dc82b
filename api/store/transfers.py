"""Registry of posted transfers, and their assessments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, select, update

from api.store.dialect import chunks, insert_if_new
from api.store.tables import accepted, assessments
from models.control.policy import Action, Why
from models.risk.assessment import Assessment


class Standing(StrEnum):
    """What the registry says of a posted transfer."""

    NEW = "new"
    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"
    CONFLICT = "conflict"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer to register: its id, the digest of its content, wall time of acceptance, the parties' banks."""

    transfer_id: str
    digest: bytes
    accepted_wall_us: int
    payer_bank: str
    payee_bank: str


class Registered(msgspec.Struct, frozen=True):
    """Answer of the registry; the time is that of the first acceptance, the digest that of the registered content."""

    standing: Standing
    accepted_wall_us: int
    digest: bytes


class AssessedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An assessment with the record it came in and what the policy did about it."""

    assessment: Assessment
    body: bytes
    action: Action = Action.NONE
    why: Why | None = None
    order_id: str = ""


@cache
def _register_statement(dialect: str) -> Any:
    """One statement object for all time, so that SQLAlchemy compiles it once."""
    return insert_if_new(dialect, accepted).returning(accepted.c.transfer_id)


def register(connection: Connection, rows: Sequence[Registration]) -> dict[str, Registered]:
    """Register transfers whose ids differ from each other; return each id's standing."""
    answer: dict[str, Registered] = {}
    for chunk in chunks(rows):
        answer |= _register_chunk(connection, chunk)
    return answer


def _register_chunk(connection: Connection, rows: Sequence[Registration]) -> dict[str, Registered]:
    values = [msgspec.structs.asdict(row) for row in rows]
    new = set(connection.execute(_register_statement(connection.dialect.name), values).scalars())
    answer = {
        row.transfer_id: Registered(Standing.NEW, row.accepted_wall_us, row.digest)
        for row in rows
        if row.transfer_id in new
    }
    known = {row.transfer_id: row for row in rows if row.transfer_id not in new}
    if known:
        found = connection.execute(select(accepted).where(accepted.c.transfer_id.in_(known)))
        for each in found:
            standing = _standing(known[each.transfer_id], each)
            answer[each.transfer_id] = Registered(standing, each.accepted_wall_us, bytes(each.digest))
    return answer


def _standing(row: Registration, found: Any) -> Standing:
    if found.digest != row.digest:
        return Standing.CONFLICT
    return Standing.CONFIRMED if found.confirmed_wall_us else Standing.UNCONFIRMED


_CONFIRM = update(accepted).where(accepted.c.transfer_id == bindparam("id")).values(confirmed_wall_us=bindparam("at"))


def confirm(connection: Connection, transfer_ids: Iterable[str], wall_us: int) -> None:
    """Note that the broker has confirmed transfers."""
    rows = [{"id": each, "at": wall_us} for each in transfer_ids]
    if rows:
        connection.execute(_CONFIRM, rows)


def record_assessments(connection: Connection, rows: Sequence[AssessedRow], wall_us: int) -> None:
    """Store assessments; one that is there already stays as it is."""
    if rows:
        connection.execute(_record_statement(connection.dialect.name), [_values(row, wall_us) for row in rows])


@cache
def _record_statement(dialect: str) -> Any:
    return insert_if_new(dialect, assessments)


def _values(row: AssessedRow, wall_us: int) -> dict[str, Any]:
    assessment, transfer = row.assessment, row.assessment.transfer
    return {
        "transfer_id": transfer.transfer_id,
        "payer": transfer.payer,
        "payee": transfer.payee,
        "amount_fen": transfer.amount_fen,
        "occurred_us": transfer.occurred_us,
        "risk": assessment.risk,
        "band": assessment.band.value,
        "assessed_wall_us": assessment.stages.assessed_us,
        "recorded_wall_us": wall_us,
        "action": row.action.value,
        "why": row.why.value if row.why else "",
        "order_id": row.order_id,
        "body": row.body,
    }


def find_assessment(connection: Connection, transfer_id: str) -> Any | None:
    """Return the row of one assessment, or ``None``."""
    return connection.execute(select(assessments).where(assessments.c.transfer_id == transfer_id)).one_or_none()


def find_accepted(connection: Connection, transfer_id: str) -> Any | None:
    """Return the registry's row of one transfer, or ``None``."""
    return connection.execute(select(accepted).where(accepted.c.transfer_id == transfer_id)).one_or_none()


def count_transfers(connection: Connection) -> dict[str, int]:
    """Return how many transfers were posted, confirmed by the broker, and assessed."""

    posted = select(func.count()).select_from(accepted)
    statements = {
        "posted": posted,
        "accepted": posted.where(accepted.c.confirmed_wall_us > 0),
        "assessed": select(func.count()).select_from(assessments),
    }
    return {name: int(connection.execute(statement).scalar_one()) for name, statement in statements.items()}


def unassessed(connection: Connection, before_wall_us: int, limit: int) -> list[str]:
    """Return ids of transfers confirmed before a wall time that have no assessment."""
    missing = (
        select(accepted.c.transfer_id)
        .outerjoin(assessments, assessments.c.transfer_id == accepted.c.transfer_id)
        .where(accepted.c.confirmed_wall_us.between(1, before_wall_us), assessments.c.transfer_id.is_(None))
    )
    return list(connection.execute(missing.limit(limit)).scalars())
