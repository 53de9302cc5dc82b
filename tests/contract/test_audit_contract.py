"""The audit chain on SQLite and on PostgreSQL: only appended to, and whatever is changed below it is found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from api.store import audit
from api.store.database import Database, StoreAway
from tests.controlkit import T0


def write(connection: Connection, number: int = 0) -> None:
    audit.append(connection, at_us=T0, actor="ann", action="a", subject=f"s{number % 2}", detail={"n": number})


async def test_chain_holds_and_can_be_read(database: Database) -> None:
    for number in range(5):
        await database.write(lambda c, number=number: write(c, number))
    report = await database.read(audit.verify)
    assert (report.breach, report.entries) == ("", 5)
    assert [each.seq for each in await database.read(lambda c: audit.read(c, subject="s1"))] == [2, 4]
    assert [each.seq for each in await database.read(lambda c: audit.read(c, after=3))] == [4, 5]


async def test_a_rolled_back_transaction_leaves_no_entry(database: Database) -> None:
    def fail(connection: Connection) -> None:
        write(connection)
        raise ValueError("no")

    await database.write(write)
    with pytest.raises(ValueError, match="no"):
        await database.write(fail)
    await database.write(write)
    report = await database.read(audit.verify)
    assert (report.breach, report.entries) == ("", 2)


async def test_many_threads_make_one_chain(database: Database) -> None:
    def append() -> None:
        with database.engine.begin() as connection:
            write(connection)

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(append) for _ in range(40)]:
            future.result()
    report = await database.read(audit.verify)
    assert (report.breach, report.entries) == ("", 40)


async def test_the_table_refuses_changes(database: Database) -> None:
    await database.write(write)
    for statement in ("UPDATE audit SET actor = 'eve'", "DELETE FROM audit"):
        with pytest.raises((DBAPIError, StoreAway), match="append-only"):
            await database.write(lambda c, statement=statement: c.execute(text(statement)))


@pytest.mark.parametrize("last", [False, True])
async def test_tampering_below_the_database_is_found(database: Database, last: bool) -> None:
    for number in range(3):
        await database.write(lambda c, number=number: write(c, number))

    def tamper(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_no_update"))
            connection.execute(text("DROP TRIGGER audit_no_delete"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_no_change"))
        change = "DELETE FROM audit WHERE seq = 3" if last else "UPDATE audit SET actor = 'eve' WHERE seq = 2"
        connection.execute(text(change))

    await database.write(tamper)
    report = await database.read(audit.verify)
    assert report.breach == ("the chain ends at entry 2, its head says 3" if last else "entry 2 was changed")
