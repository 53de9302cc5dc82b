"""Transfers drawn by lot for a look, and which of them still wait for an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, select, tuple_

from api.store.dialect import insert_if_new
from api.store.tables import assessments, samples, verdicts

MAX_PAGE: Final = 500


def keep(connection: Connection, transfer_ids: Iterable[str], *, rate: float, wall_us: int) -> None:
    """Note transfers that were drawn with a chance of ``rate``; one that is there already stays as it is."""
    rows = [{"transfer_id": each, "rate": rate, "drawn_wall_us": wall_us} for each in transfer_ids]
    if rows:
        connection.execute(insert_if_new(connection, samples), rows)


def rate_of(connection: Connection, transfer_id: str) -> float | None:
    """Return the chance with which a transfer was drawn, or ``None`` if it was not."""
    return connection.execute(select(samples.c.rate).where(samples.c.transfer_id == transfer_id)).scalar_one_or_none()


def waiting(connection: Connection, *, after: tuple[int, str] | None, limit: int) -> list[Row[Any]]:
    """Return drawn transfers of which nobody has said anything, the latest first, from a page's end on.

    Rows have ``transfer_id``, ``drawn_wall_us`` and the assessment's ``body``.
    """
    place = (samples.c.drawn_wall_us, samples.c.transfer_id)
    said = select(verdicts.c.transfer_id).where(verdicts.c.transfer_id == samples.c.transfer_id)
    statement = (
        select(*place, assessments.c.body)
        .join(assessments, assessments.c.transfer_id == samples.c.transfer_id)
        .where(~said.exists())
        .order_by(*(column.desc() for column in place))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(*place) < after)
    return list(connection.execute(statement))
