"""The turn to send records to topics, which one replica at a time has (PostgreSQL)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection, NullPool, create_engine, select, text, update
from sqlalchemy.exc import DBAPIError

from api.store.database import as_away
from api.store.tables import relay_holder

log = structlog.get_logger(__name__)

T = TypeVar("T")

RELAY_KEY: Final = 0x51_1C_E1
"""Advisory lock of the replica whose turn it is; migrations have another (`api.store.migrate.LOCK_KEY`)."""

POLL_S: Final = 0.2
"""How long the replica whose turn it is leaves alone what others have committed."""

RETRY_S: Final = 2.0
FRESH_S: Final = 3.0
"""How long after it was asked for, what was read may still be sent."""

MARGIN_S: Final = 2.0
SILENCES: Final = 2
"""After how many handovers without a word the server ends the session, and the turn with it."""

WATCHED: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How libpq finds a server that has vanished, in seconds (the last one: milliseconds)."""


class Standing(Enum):
    """What a replica's connection is to the lock."""

    APART = "another replica has it, or nobody was asked yet"
    WAITING = "it has the lock and waits for what another may have under way"
    SENDING = "it has the lock and sends"


class RelayLock:
    """An advisory lock on a connection of its own, over which is read what is to be sent.

    A lock that is lost is lost with its connection, so a read that succeeds shows that the turn lasted until then.
    What was read more than `FRESH_S` ago may not be sent any more, and the producer gives a record up after
    ``delivery_s``. A replica that takes the lock over therefore waits ``handover_s``, which is longer than both
    together, before it reads: what the other one had under way has then arrived or never will.

    It waits only if another replica may have something under way. `relay_holder` names the last one that sent; the
    row is emptied by one that leaves with everything confirmed, and written only once the wait is over. So
    neither a first start, nor a restart (of a killed process nothing is under way but what the kernel still sends),
    nor a planned change waits. After a silence of ``silence_s``, longer than the wait, the server ends the session
    of a process that stands still or has vanished (`idle_session_timeout`, PostgreSQL 14).

    What remains: a process that stands still between `may_send` and its socket can send when it wakes up. Only
    the broker could refuse that, to a transactional producer.
    """

    idle_s = POLL_S

    def __init__(
        self, url: str, instance: str, delivery_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.handover_s = FRESH_S + delivery_s + MARGIN_S
        self.silence_s = SILENCES * self.handover_s
        self._instance = instance
        self._clock = clock
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=WATCHED)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay-lock")
        self._connection: Connection | None = None
        self._standing = Standing.APART
        self._told_apart = False
        self._pause_until_s = clock()
        self._asked_s = clock()

    async def read(self, work: Callable[[Connection], T]) -> T | None:
        """Run ``work`` if it is this replica's turn, else return ``None``; raise `StoreAway`."""
        if self._clock() < self._pause_until_s:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_now, work)

    def may_send(self) -> bool:
        """Return whether what was read last may be sent now."""
        return self._standing is Standing.SENDING and self._clock() - self._asked_s <= FRESH_S

    async def leave(self, *, settled: bool) -> None:
        """Give the turn away; ``settled`` if the broker has confirmed all that was sent."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._leave_now, settled)
        self._thread.shutdown(wait=False)

    def _read_now(self, work: Callable[[Connection], T]) -> T | None:
        self._asked_s = self._clock()
        try:
            connection = self._connection or self._connect()
            return work(connection) if self._has_turn(connection) else None
        except DBAPIError as error:
            self._drop()
            self._pause_until_s = self._clock() + RETRY_S
            raise as_away(error) from error

    def _connect(self) -> Connection:
        connection = self._connection = self._engine.connect()
        limit = select(text("set_config(name, :ms, false) FROM pg_settings WHERE name = 'idle_session_timeout'"))
        connection.execute(limit, {"ms": str(int(self.silence_s * 1000))})
        return connection

    def _has_turn(self, connection: Connection) -> bool:
        if self._standing is Standing.APART:
            self._try(connection)
        elif self._standing is Standing.WAITING:
            self._begin(connection)
        return self._standing is Standing.SENDING

    def _try(self, connection: Connection) -> None:
        if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": RELAY_KEY}).scalar_one():
            self._pause_until_s = self._clock() + RETRY_S
            self._tell_apart()
            return
        before = connection.execute(select(relay_holder.c.instance)).scalar_one()
        if before in ("", self._instance):
            self._begin(connection)
            return
        self._standing = Standing.WAITING
        self._pause_until_s = self._clock() + self.handover_s
        log.info("takes over the relay of records to topics", before=before, after_s=self.handover_s)

    def _begin(self, connection: Connection) -> None:
        connection.execute(update(relay_holder).values(instance=self._instance))
        self._standing = Standing.SENDING
        self._told_apart = False
        log.info("relays records to topics", instance=self._instance)

    def _tell_apart(self) -> None:
        if not self._told_apart:
            self._told_apart = True
            log.info("another replica relays records to topics")

    def _leave_now(self, settled: bool) -> None:
        try:
            if self._connection is not None and settled and self._standing is Standing.SENDING:
                self._connection.execute(update(relay_holder).values(instance=""))
        except DBAPIError as error:
            log.warning("the next replica to relay will wait", error=str(error.orig))
        self._drop()

    def _drop(self) -> None:
        """Let the connection go, whose lock goes with it: a reconnected one would have none."""
        connection, self._connection = self._connection, None
        if self._standing is not Standing.APART:
            log.info("relays records to topics no more", instance=self._instance)
        self._standing = Standing.APART
        if connection is not None:
            connection.close()
