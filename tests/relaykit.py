"""Relays of several replicas on one database, moved by hand, and what the topic then holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection, text

from api.producer import TopicProducer
from api.relay import Relay
from api.store import publications
from api.store.database import Database
from api.store.relaylock import RELAY_KEY, RelayLock
from models.money.types import AccountId
from models.wire import ControlEntry, Topic, decode_control
from tests.apikit import Topics

T = TypeVar("T")

ACCOUNT = AccountId("ccb/6217000000000002")
DELIVERY_S = 5.0


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class StallingLock(RelayLock):
    """A lock whose replica stands still after a read while ``go_on`` is not set."""

    def __init__(self, url: str, instance: str, clock: Callable[[], float]) -> None:
        super().__init__(url, instance, DELIVERY_S, clock=clock)
        self.has_read = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def read(self, work: Callable[[Connection], T]) -> T | None:
        found = await super().read(work)
        self.has_read.set()
        await self.go_on.wait()
        return found

    def stall(self) -> None:
        """Let the next read be the last for now."""
        self.has_read.clear()
        self.go_on.clear()


class Replica:
    """What of a replica relays."""

    def __init__(self, database: Database, producer: TopicProducer, lock: StallingLock) -> None:
        self.database = database
        self.lock = lock
        self.relay = Relay(database, producer, lock)
        self._left = False

    async def leave(self, *, settled: bool) -> None:
        """Give the turn away, once."""
        if not self._left:
            self._left = True
            await self.lock.leave(settled=settled)


@asynccontextmanager
async def replica(url: str, bootstrap: str, instance: str, clock: Hand) -> AsyncIterator[Replica]:
    """Start a replica on a migrated database; its relay does only what the test asks for."""
    database, producer = Database(url), TopicProducer(bootstrap, confirm_timeout_s=DELIVERY_S)
    lock = StallingLock(database.url, instance, clock)
    database.start()
    producer.start(asyncio.get_running_loop())
    made = Replica(database, producer, lock)
    try:
        yield made
    finally:
        await made.leave(settled=False)
        producer.stop()
        database.stop()


async def commit(database: Database, *states: int, at_us: int = 1) -> None:
    """Commit records of one account that tell its states, at a wall time."""
    for state in states:
        entry = ControlEntry(account=ACCOUNT, updated_us=state)
        await database.write(lambda c, entry=entry: publications.publish(c, Topic.CONTROLS, ACCOUNT, entry, at_us))


async def states_on(bootstrap: str) -> list[int]:
    """Return the states that the topic tells of the account; compaction keeps the last one."""
    return [decode_control(each.value()).updated_us for each in await Topics(bootstrap).read_all(Topic.CONTROLS)]


async def end_session(database: Database) -> None:
    """Let the server end the session that has the relay's lock, and wait until it has."""
    ended = text(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key"
        " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert await database.read(lambda c: c.execute(ended, {"key": RELAY_KEY}).scalar_one())
