"""Shares the brake between replicas: what is tripped or re-armed in the database holds for this process as well."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import structlog
from sqlalchemy import Connection

from api.store import brake as brake_store
from api.store.database import Database, Priority, StoreAway
from models.control.brake import EVERYTHING, Brake, Trip
from telemetry import metrics

log = structlog.get_logger(__name__)

EVERY_S: Final = 2.0


class _Told(NamedTuple):
    standing: tuple[Trip, ...]
    everything_us: int = 0
    """When all scopes were last re-armed, if any was; UTC microseconds of the world."""


class BrakeSharing:
    """One task that looks every two seconds which trips stand."""

    def __init__(self, database: Database, brake: Brake) -> None:
        self._database = database
        self._brake = brake

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.look()
            except StoreAway as error:
                log.warning("it cannot be read what is tripped", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Read which trips stand and go by them; raise `StoreAway`.

        Both in the writer's thread, which trips and re-arms for this process: what it does comes before the reading
        or after both, never between, where it would be undone.
        """
        await asyncio.wrap_future(self._database.submit(self._read, Priority.STOP, committed=self._heed))

    def _read(self, connection: Connection) -> _Told:
        standing = brake_store.trips(connection)
        if not self._brake.rearmed(standing):
            return _Told(standing)
        return _Told(standing, brake_store.rearmed_us(connection, [EVERYTHING]).get(EVERYTHING, 0))

    def _heed(self, told: _Told) -> None:
        self._brake.heed(told.standing, told.everything_us)
        metrics.BRAKE_TRIPPED.set(1 if told.standing else 0)
