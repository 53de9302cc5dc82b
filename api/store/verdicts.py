"""Verdicts on transfers, and the reports of victims."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select

from api.store.dialect import insert_if_new, insert_or_replace
from api.store.tables import assessments, reports, verdicts
from models.money.types import AccountId
from models.wire import Verdict, VerdictLabel

ANALYST = "analyst"
"""Source of verdicts that outweighs the others."""


def record_verdict(connection: Connection, verdict: Verdict, decided_by: str) -> bool:
    """Store a verdict; return whether this source had said nothing, or something else, of the transfer."""
    found = connection.execute(
        select(assessments.c.payer, assessments.c.payee).where(assessments.c.transfer_id == verdict.transfer_id)
    ).one_or_none()
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
        "payer": found.payer if found else "",
        "payee": found.payee if found else "",
    }
    connection.execute(insert_or_replace(connection, verdicts, values))
    return True


def proven(connection: Connection, account: AccountId) -> tuple[int, int]:
    """Return in how many transfers found to be fraud an account paid, and received.

    An analyst who says honest outweighs whoever said fraud.
    """
    other = verdicts.alias()
    cleared = select(other.c.transfer_id).where(
        other.c.transfer_id == verdicts.c.transfer_id, other.c.source == ANALYST, other.c.label == VerdictLabel.HONEST
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


def of_transfer(connection: Connection, transfer_id: str) -> list[Row[Any]]:
    """Return the verdicts on a transfer."""
    return list(connection.execute(select(verdicts).where(verdicts.c.transfer_id == transfer_id)))


def record_report(connection: Connection, values: dict[str, Any]) -> bool:
    """Store a victim's report; return whether it was new."""
    statement = insert_if_new(connection, reports).values(**values).returning(reports.c.report_id)
    return connection.execute(statement).scalar_one_or_none() is not None
