"""Lists of accounts in force, and changes that wait for their second person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from api.store.dialect import insert_if_new, insert_or_replace
from api.store.tables import list_changes, lists
from models.money.types import AccountId
from models.risk.assessment import ListLevel


def level_of(connection: Connection, account: AccountId) -> ListLevel:
    """Return the list level in force for an account."""
    level = connection.execute(select(lists.c.level).where(lists.c.account == account)).scalar_one_or_none()
    return ListLevel(level) if level else ListLevel.NONE


def entry(connection: Connection, account: AccountId) -> Row[Any] | None:
    """Return the list's row of an account, or ``None``."""
    return connection.execute(select(lists).where(lists.c.account == account)).one_or_none()


def listed(connection: Connection, after: str, limit: int) -> list[Row[Any]]:
    """Return list entries by account, those after ``after``."""
    return list(connection.execute(select(lists).where(lists.c.account > after).order_by(lists.c.account).limit(limit)))


def put_level(connection: Connection, values: dict[str, Any]) -> None:
    """Put a level in force."""
    connection.execute(insert_or_replace(connection, lists, values))


def pending_change(connection: Connection, account: AccountId) -> Row[Any] | None:
    """Return the change of an account that waits for its second person, or ``None``."""
    statement = select(list_changes).where(list_changes.c.account == account, list_changes.c.state == "pending")
    return connection.execute(statement).one_or_none()


def pending_changes(connection: Connection, limit: int) -> list[Row[Any]]:
    """Return the changes that wait, oldest first."""
    statement = select(list_changes).where(list_changes.c.state == "pending").order_by(list_changes.c.id).limit(limit)
    return list(connection.execute(statement))


def propose_change(connection: Connection, values: dict[str, Any]) -> bool:
    """Store a change to be approved; return whether none waited already."""
    statement = insert_if_new(connection, list_changes).values(**values, state="pending")
    return connection.execute(statement.returning(list_changes.c.id)).scalar_one_or_none() is not None


def decide_change(connection: Connection, change_id: int, state: str, checker: str, at_us: int) -> bool:
    """Settle a waiting change; return whether it was waiting."""
    statement = update(list_changes).where(list_changes.c.id == change_id, list_changes.c.state == "pending")
    return connection.execute(statement.values(state=state, checker=checker, decided_us=at_us)).rowcount == 1
