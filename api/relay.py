"""Sends records that were committed for topics (``controls``, ``verdicts``), in the order they were made.

With several replicas two may send the same record; both topics are compacted
and hold whole states, so a repetition changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from api.producer import BrokerAway, Record, TopicProducer
from api.service.desk import Effects
from api.store import publications
from api.store.database import Database, StoreAway

log = structlog.get_logger(__name__)

BATCH: Final = 500
IDLE_S: Final = 1.0


class Relay:
    """One task: read what waits, send it, remove it."""

    def __init__(self, database: Database, producer: TopicProducer) -> None:
        self._database = database
        self._producer = producer
        self._wake = asyncio.Event()

    def notice(self, effects: Effects) -> None:
        """Wake up if a transaction has left something to publish."""
        if effects.published:
            self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                sent = await self.send_some()
            except (BrokerAway, StoreAway) as error:
                log.warning("records wait for their topic", error=str(error))
                sent = 0
            if sent < BATCH:
                await self._doze()

    async def send_some(self) -> int:
        """Send up to `BATCH` records and return how many; raise `BrokerAway` or `StoreAway`."""
        waiting = await self._database.read(lambda connection: publications.unpublished(connection, BATCH))
        await self._producer.send_all([Record(each.topic, each.key, each.value) for each in waiting])
        ids = [each.id for each in waiting]
        if ids:
            await self._database.write(lambda connection: publications.remove(connection, ids))
        return len(ids)

    async def _doze(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), IDLE_S)
        except TimeoutError:
            return
        self._wake.clear()
