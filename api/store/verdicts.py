"""Verdicts on transfers, and the reports of victims."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from api.store.dialect import insert_if_new, insert_or_replace
from api.store.tables import reports, verdicts
from models.wire import Verdict


def record_verdict(connection: Connection, verdict: Verdict, decided_by: str) -> bool:
    """Store a verdict; return whether this source had said nothing, or something else, of the transfer."""
    key = (verdicts.c.transfer_id == verdict.transfer_id, verdicts.c.source == verdict.source)
    known = connection.execute(select(verdicts.c.label).where(*key)).scalar_one_or_none()
    if known == verdict.label.value:
        return False
    values = {
        "transfer_id": verdict.transfer_id,
        "source": verdict.source,
        "label": verdict.label.value,
        "decided_by": decided_by,
        "decided_us": verdict.decided_us,
    }
    connection.execute(insert_or_replace(connection, verdicts, values))
    return True


def of_transfer(connection: Connection, transfer_id: str) -> list[Row[Any]]:
    """Return the verdicts on a transfer."""
    return list(connection.execute(select(verdicts).where(verdicts.c.transfer_id == transfer_id)))


def record_report(connection: Connection, values: dict[str, Any]) -> bool:
    """Store a victim's report; return whether it was new."""
    statement = insert_if_new(connection, reports).values(**values).returning(reports.c.report_id)
    return connection.execute(statement).scalar_one_or_none() is not None
