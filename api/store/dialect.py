"""The two statements that SQLite and PostgreSQL spell alike and SQLAlchemy does not, and how long one may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

CHUNK: Final = 500
"""Rows per statement; SQLite takes at most 32,766 parameters."""

T = TypeVar("T")


def chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the rows in parts that fit into one statement each."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def insert_if_new(dialect: Connection | str, table: Table) -> Any:
    """Return an INSERT that leaves an existing row (by primary or unique key) as it is."""
    return _insert(dialect, table).on_conflict_do_nothing()


def insert_or_replace(connection: Connection, table: Table, values: Mapping[str, Any]) -> Any:
    """Return an INSERT of one row that replaces the row with the same primary key."""
    keys = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in keys}
    return _insert(connection, table).values(**values).on_conflict_do_update(index_elements=keys, set_=changed)


def _insert(dialect: Connection | str, table: Table) -> Any:
    name = dialect if isinstance(dialect, str) else dialect.dialect.name
    return (sqlite if name == "sqlite" else postgresql).insert(table)
