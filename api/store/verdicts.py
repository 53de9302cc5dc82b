"""Verdicts on transfers, and the reports of victims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, case, func, select, update

from api.store.dialect import chunks, insert_if_new, insert_or_replace
from api.store.tables import assessments, reports, verdicts
from models.money.types import AccountId, Transfer
from models.wire import SOURCE_RANK, Verdict, VerdictLabel, VerdictSource


def record_verdict(connection: Connection, verdict: Verdict, decided_by: str) -> bool:
    """Store a verdict; return whether its source had said nothing, or something else, and nothing later."""
    found = connection.execute(
        select(assessments.c.payer, assessments.c.payee).where(assessments.c.transfer_id == verdict.transfer_id)
    ).one_or_none()
    key = (verdicts.c.transfer_id == verdict.transfer_id, verdicts.c.source == verdict.source)
    known = connection.execute(select(verdicts.c.label, verdicts.c.decided_us).where(*key)).one_or_none()
    if known is not None and (known.label == verdict.label.value or known.decided_us > verdict.decided_us):
        return False
    values = {
        "transfer_id": verdict.transfer_id,
        "source": verdict.source,
        "label": verdict.label.value,
        "decided_by": decided_by,
        "decided_us": verdict.decided_us,
        "payer": found.payer if found else "",
        "payee": found.payee if found else "",
    }
    connection.execute(insert_or_replace(connection, verdicts, values))
    return True


def reported_among(connection: Connection, transfer_ids: Sequence[str]) -> set[str]:
    """Return which of these transfers a victim has reported."""
    found: set[str] = set()
    for chunk in chunks(transfer_ids):
        statement = select(verdicts.c.transfer_id).where(
            verdicts.c.transfer_id.in_(chunk), verdicts.c.source == VerdictSource.VICTIM_REPORT.value
        )
        found.update(connection.execute(statement).scalars())
    return found


def unplaced(connection: Connection, transfer_ids: Sequence[str]) -> set[str]:
    """Return which of these transfers a verdict calls a fraud that came before their assessment."""
    found: set[str] = set()
    for chunk in chunks(transfer_ids):
        statement = select(verdicts.c.transfer_id, verdicts.c.label, verdicts.c.payer).where(
            verdicts.c.transfer_id.in_(chunk)
        )
        rows = connection.execute(statement)
        found.update(row.transfer_id for row in rows if row.label == VerdictLabel.FRAUD and not row.payer)
    return found


def place(connection: Connection, transfer: Transfer) -> None:
    """Give the verdicts on a transfer the accounts that it names."""
    parties = {"payer": transfer.payer, "payee": transfer.payee}
    connection.execute(update(verdicts).where(verdicts.c.transfer_id == transfer.transfer_id).values(**parties))


def proven(connection: Connection, account: AccountId) -> tuple[int, int]:
    """Return in how many transfers found to be fraud an account paid, and received.

    Whoever counts more (`models.wire.SOURCE_RANK`) and says honest clears what others call a fraud.
    """
    other = verdicts.alias()
    cleared = select(other.c.transfer_id).where(
        other.c.transfer_id == verdicts.c.transfer_id,
        other.c.label == VerdictLabel.HONEST,
        _rank(other) > _rank(verdicts),
    )
    counts = [
        connection.execute(
            select(func.count(verdicts.c.transfer_id.distinct())).where(
                side == account, verdicts.c.label == VerdictLabel.FRAUD.value, ~cleared.exists()
            )
        ).scalar_one()
        for side in (verdicts.c.payer, verdicts.c.payee)
    ]
    return counts[0], counts[1]


def _rank(table: FromClause) -> ColumnElement[int]:
    return case(SOURCE_RANK, value=table.c.source, else_=0)


def counting(connection: Connection, transfer_id: str) -> Row[Any] | None:
    """Return the verdict that counts: of the sources that spoke, that of the highest rank."""
    statement = select(verdicts).where(verdicts.c.transfer_id == transfer_id).order_by(_rank(verdicts).desc())
    return connection.execute(statement.limit(1)).one_or_none()


def of_transfer(connection: Connection, transfer_id: str) -> list[Row[Any]]:
    """Return the verdicts on a transfer."""
    return list(connection.execute(select(verdicts).where(verdicts.c.transfer_id == transfer_id)))


def record_report(connection: Connection, values: dict[str, Any]) -> bool:
    """Store a victim's report; return whether it was new."""
    statement = insert_if_new(connection, reports).values(**values).returning(reports.c.report_id)
    return connection.execute(statement).scalar_one_or_none() is not None
