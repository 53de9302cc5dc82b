"""Connections and threads: one writer per process, any number of readers.

SQLite allows one writer at a time, and a hash chain has one end, so every
change of this process goes through one thread, urgent work first. Readers
never wait for it (WAL; MVCC in PostgreSQL).
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from prometheus_client import Gauge
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from telemetry.metrics import DATABASE_AWAY

T = TypeVar("T")

READERS: Final = 4
MAX_QUEUED_WRITES: Final = 10_000
BUSY_TIMEOUT_MS: Final = 10_000
STOP_TIMEOUT_S: Final = 5.0

SQLITE_AWAY: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
    }
)  # fmt: skip
"""Result codes of SQLite that are trouble of the machine; its other "operational errors" are bugs of ours."""

PRIMARY_CODE: Final = 0xFF
"""The low byte of an extended result code."""


class StoreAway(Exception):
    """The database cannot be reached or is locked; nothing was changed."""


class Priority(IntEnum):
    """Which write goes first when several wait."""

    STOP = 0
    REQUEST = 1
    BULK = 2
    END = 3


_Job = tuple[int, int, Callable[[Connection], Any] | None, Callable[[Any], object], "Future[Any]"]


def _nothing_more(_result: object) -> None:
    """Follow a commit with nothing."""


class Database:
    """Engines for one database and the thread that writes to it."""

    def __init__(self, url: str) -> None:
        self.url = _normal(url)
        self._writer_engine = _engine(self.url, writer=True)
        self._reader_engine = _engine(self.url, writer=False)
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue(MAX_QUEUED_WRITES)
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._write_for_ever, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._read_away, self._write_away = (DATABASE_AWAY.labels(work) for work in ("read", "write"))

    @property
    def engine(self) -> Engine:
        """Engine for migrations and tests."""
        return self._writer_engine

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._writer_engine.dialect.name

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, then close all connections."""
        if self._thread.is_alive():
            self._jobs.put((Priority.END, next(self._numbers), None, _nothing_more, Future()))
            self._thread.join(STOP_TIMEOUT_S)
        self._readers.shutdown(wait=True)
        self._writer_engine.dispose()
        self._reader_engine.dispose()

    def submit(
        self,
        work: Callable[[Connection], T],
        priority: Priority = Priority.REQUEST,
        *,
        committed: Callable[[T], object] = _nothing_more,
    ) -> Future[T]:
        """Queue ``work`` as one transaction of the writer thread; its future raises `StoreAway` or the work's error.

        ``committed`` gets the result in that thread, after the commit and before anything else is written.
        """
        future: Future[T] = Future()
        try:
            self._jobs.put_nowait((priority, next(self._numbers), work, committed, future))
        except queue.Full:
            future.set_exception(StoreAway(f"{MAX_QUEUED_WRITES} writes are waiting"))
        return future

    async def write(self, work: Callable[[Connection], T], priority: Priority = Priority.REQUEST) -> T:
        """Run ``work`` as one transaction; raise `StoreAway` if the database is away."""
        return await asyncio.wrap_future(self.submit(work, priority))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on a reading connection; raise `StoreAway` if the database is away."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on a reading connection in this thread."""
        try:
            with self._reader_engine.connect() as connection:
                result = work(connection)
        except DBAPIError as error:
            raise _told(as_away(error), self._read_away) from error
        self._read_away.set(0)
        return result

    def _write_for_ever(self) -> None:
        while True:
            _, _, work, committed, future = self._jobs.get()
            if work is None:
                return
            if future.set_running_or_notify_cancel():
                self._run(work, committed, future)

    def _run(self, work: Callable[[Connection], Any], committed: Callable[[Any], object], future: Future[Any]) -> None:
        try:
            with self._writer_engine.begin() as connection:
                result = work(connection)
            self._write_away.set(0)
            committed(result)
        except DBAPIError as error:
            future.set_exception(_told(as_away(error), self._write_away))
        except BaseException as error:  # noqa: BLE001 - the caller's error is the caller's to handle
            future.set_exception(error)
        else:
            future.set_result(result)


def as_away(error: DBAPIError) -> Exception:
    """Return `StoreAway` for a database that is away, else the error itself: a bug must stay a bug."""
    if isinstance(error.orig, sqlite3.Error):
        away = getattr(error.orig, "sqlite_errorcode", 0) & PRIMARY_CODE in SQLITE_AWAY
    else:
        away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return StoreAway(str(error.orig)) if away else error


def _told(error: Exception, away: Gauge) -> Exception:
    if isinstance(error, StoreAway):
        away.set(1)
    return error


def _normal(url: str) -> str:
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            return "postgresql+psycopg://" + url.removeprefix(plain)
    return url


def _engine(url: str, *, writer: bool) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=1 if writer else READERS, max_overflow=0, pool_pre_ping=True)
    folder = make_url(url).database
    if folder:
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=1 if writer else READERS,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    begin = "BEGIN IMMEDIATE" if writer else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Take transactions into our own hands and choose WAL; NORMAL survives a killed process, not a power cut."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
