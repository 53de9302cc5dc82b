"""Sends records that were committed for topics (``controls``, ``verdicts``), in the order of their commits.

Both topics are compacted and hold whole states: a repetition changes nothing,
but the last record of a key stays. So one replica sends at a time, else one
that stood still between reading and sending would put an old state last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from api.producer import BrokerAway, Record, TopicProducer
from api.service.desk import Effects
from api.store import publications
from api.store.database import Database, StoreAway
from api.store.relaylock import RelayLock

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH: Final = 500
IDLE_S: Final = 1.0


class Turn(Protocol):
    """The right to send, which one relay of a database has at a time."""

    idle_s: float

    async def read(self, work: Callable[[Connection], T]) -> T | None:
        """Run ``work`` on the database if it is this relay's turn, else return ``None``; raise `StoreAway`."""

    def may_send(self) -> bool:
        """Return whether what was read last may be sent now."""

    async def leave(self, *, settled: bool) -> None:
        """Give the turn away; ``settled`` if the broker has confirmed all that was sent."""


class Alone:
    """The turn of the only process on its database (SQLite)."""

    idle_s = IDLE_S

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, work: Callable[[Connection], T]) -> T | None:
        """Run ``work``; raise `StoreAway`."""
        return await self._database.read(work)

    def may_send(self) -> bool:
        """Return true: nobody else sends."""
        return True

    async def leave(self, *, settled: bool) -> None:
        """Do nothing: nobody waits for the turn."""


def turn_of(database: Database, instance: str, delivery_s: float) -> Turn:
    """Return the turn of a replica whose producer gives a record up after ``delivery_s``."""
    if database.dialect == "sqlite":
        return Alone(database)
    return RelayLock(database.url, instance, delivery_s)


class Relay:
    """One task: read what waits, send it, remove it."""

    def __init__(self, database: Database, producer: TopicProducer, turn: Turn) -> None:
        self._database = database
        self._producer = producer
        self._turn = turn
        self._settled = True
        self._wake = asyncio.Event()

    def notice(self, effects: Effects) -> None:
        """Wake up if a transaction has left something to publish."""
        if effects.published:
            self._wake.set()

    async def run(self) -> None:
        """Work until cancelled, then leave the turn to others."""
        try:
            while True:
                if await self._try_to_send() < BATCH:
                    await self._doze()
        finally:
            await self._turn.leave(settled=self._settled)

    async def _try_to_send(self) -> int:
        try:
            return await self.send_some()
        except (BrokerAway, StoreAway) as error:
            log.warning("records wait for their topic", error=str(error))
            return 0

    async def send_some(self) -> int:
        """Send up to `BATCH` records if it is this relay's turn; return how many.

        Raise `BrokerAway` or `StoreAway`.
        """
        waiting = await self._turn.read(lambda connection: publications.unpublished(connection, BATCH))
        if not waiting:
            return 0
        if not self._turn.may_send():
            log.warning("records were read too long ago to be sent, and are read again", records=len(waiting))
            return 0
        self._settled = False
        await self._producer.send_all([Record(each.topic, each.key, each.value) for each in waiting])
        self._settled = True
        ids = [each.id for each in waiting]
        await self._database.write(lambda connection: publications.remove(connection, ids))
        return len(ids)

    async def _doze(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), self._turn.idle_s)
        except TimeoutError:
            return
        self._wake.clear()
