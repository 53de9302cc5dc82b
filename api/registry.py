"""Group commit for the registry: requests that come while one transaction runs share the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from api.store import transfers
from api.store.database import Database
from api.store.transfers import Registered, Registration
from telemetry.clock import wall_us

MAX_ROWS: Final = 5_000
"""Registrations in one transaction."""

CONFIRM_LINGER_S: Final = 0.05
"""How long confirmations wait for a registration to share a transaction with."""


FAILURE_PAUSE_S: Final = 1.0


class _Waiting(msgspec.Struct):
    rows: Sequence[Registration]
    future: asyncio.Future[dict[str, Registered]]


class Registry:
    """Registers posted transfers and notes their confirmation, many requests per transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._confirmed: list[str] = []
        self._noting: list[str] = []
        self._busy = False
        self._task: asyncio.Task[None] | None = None

    async def register(self, rows: Sequence[Registration]) -> dict[str, Registered]:
        """Register transfers; ids must differ within the call. Raises `StoreAway`."""
        future: asyncio.Future[dict[str, Registered]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(rows, future))
        self._start()
        return await future

    def confirm(self, transfer_ids: Iterable[str]) -> None:
        """Note soon that the broker has confirmed transfers; a later registration already sees it."""
        self._confirmed.extend(transfer_ids)
        if not self._busy:
            asyncio.get_running_loop().call_later(CONFIRM_LINGER_S, self._start)

    def will_note(self, transfer_id: str) -> bool:
        """Return whether the broker has confirmed a transfer and the database is yet to hear of it."""
        return transfer_id in self._confirmed or transfer_id in self._noting

    async def drain(self) -> None:
        """Write what waits, and wait for it."""
        while self._busy or self._waiting or self._confirmed:
            self._start()
            if self._task is not None:
                await asyncio.wait([self._task])

    def _start(self) -> None:
        if not self._busy and (self._waiting or self._confirmed):
            self._busy = True
            self._task = asyncio.create_task(self._commit())

    async def _commit(self) -> None:
        group = self._take()
        confirmed, self._confirmed = self._confirmed, []
        self._noting = confirmed
        rows = [row for waiting in group for row in waiting.rows]

        def work(connection: Connection) -> dict[str, Registered]:
            transfers.confirm(connection, confirmed, wall_us())
            return transfers.register(connection, rows)

        pause_s = CONFIRM_LINGER_S
        try:
            answer = await self._database.write(work)
        except Exception as error:  # noqa: BLE001 - handed to every request that shared the transaction
            self._confirmed = confirmed + self._confirmed
            pause_s = FAILURE_PAUSE_S
            for waiting in group:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
        else:
            for waiting in group:
                if not waiting.future.done():
                    waiting.future.set_result(answer)
        finally:
            self._busy, self._noting = False, []
            if self._waiting:
                self._start()
            elif self._confirmed:
                asyncio.get_running_loop().call_later(pause_s, self._start)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0].rows) <= MAX_ROWS):
            waiting = self._waiting.pop(0)
            taken.append(waiting)
            size += len(waiting.rows)
        return taken
