"""Desk, dispatcher and timers on a database, without broker and HTTP; the clock is moved by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, text

from api.bank import Gateway
from api.dispatcher import Dispatcher, Retry
from api.guarded import GuardedGateway
from api.service import braking
from api.service.desk import Desk, DeskRules
from api.service.observe import observe
from api.service.transactions import Transactor
from api.service.triage import Taken, triage
from api.store import orders
from api.store.database import Database, Priority
from api.store.migrate import upgrade
from api.timers import Timers
from models.control.brake import Brake, BrakeLimits
from models.control.deadlines import Clocks
from models.control.policy import PolicySettings
from models.control.records import Order
from models.risk.assessment import Assessment
from telemetry.clock import ManualClock
from tests.apikit import WAIT_S, FakeBank, until
from tests.controlkit import ANN, T0

T = TypeVar("T")

RULES = DeskRules(policy=PolicySettings(), clocks=Clocks(), feedback_us=60_000_000, instance="one")


class Station:
    """Everything between an assessment and a bank."""

    def __init__(self, database: Database, gateway: Gateway, clock: ManualClock, **limits: Any) -> None:
        self.clock = clock
        self.database = database
        self.brake = Brake(BrakeLimits(**limits))
        self.transactor = Transactor(database, RULES, clock, self.brake)
        self.transactor.on_commit(observe)
        self.guarded = GuardedGateway(gateway, concurrency=4, failures=50, open_s=0.05)
        self.dispatcher = Dispatcher(self.guarded, self.transactor, Retry(first_s=0.01, max_s=0.03, workers=2))
        self.timers = Timers(self.guarded, self.transactor, every_s=0.02)
        self.transactor.bind(asyncio.get_running_loop())

    async def run(self, work: Callable[[Desk], T]) -> T:
        return await self.transactor.run(work)

    async def triage(self, *found: Assessment) -> list[Taken]:
        return await self.run(lambda desk: triage(desk, self.brake, found))

    async def restart(self) -> None:
        """Give the desk a new brake, as a new process has, with what the database holds of it."""
        self.brake = self.transactor.brake = Brake(self.brake.limits)
        now_us = self.clock.now_us()
        await self.database.read(lambda c: braking.restore(c, self.brake, now_us=now_us, instance=RULES.instance))

    async def order(self, order_id: str) -> Order:
        found = await self.database.read(lambda connection: orders.get(connection, order_id))
        assert found is not None
        return found

    async def reach(self, order_id: str, state: str) -> Order:
        """Wait until an order is in a state."""

        async def look() -> Order | None:
            found = await self.order(order_id)
            return found if found.state.value == state else None

        try:
            reached: Order = await until(look)
        except AssertionError as error:
            raise AssertionError(f"wanted {state}, got {msgspec.to_builtins(await self.order(order_id))}") from error
        return reached


@asynccontextmanager
async def station(
    home: Path | str,
    gateway: Gateway | None = None,
    *,
    clock: ManualClock | None = None,
    dispatch: bool = True,
    **limits: Any,
) -> AsyncIterator[Station]:
    """Open the database (a folder's SQLite, or a URL) again and, with ``dispatch``, work on what its outbox holds."""
    clock = clock or ManualClock(T0)
    database = Database(home if isinstance(home, str) else f"sqlite:///{home}/desk.db")
    upgrade(database.engine)
    database.start()
    desk = Station(database, gateway or FakeBank(clock.now_us), clock, **limits)
    task = None
    if dispatch:
        desk.transactor.on_commit(lambda effects: desk.dispatcher.submit(effects.commands))
        task = asyncio.create_task(desk.dispatcher.run())
        await asyncio.sleep(0)
    try:
        yield desk
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        database.stop()


def somebody_waits(connection: Connection) -> bool:
    """Return whether a transaction on this database of PostgreSQL waits for what another one has locked."""
    blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return connection.execute(text(blocked)).first() is not None


def wait_for_a_blocked_session(database: Database) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not database.read_now(somebody_waits):
        assert time.monotonic() < deadline_s, "nobody waits"
        time.sleep(0.01)


async def take_at_once(
    one: Station, two: Station, first: Callable[[Desk], bool], second: Callable[[Desk], bool]
) -> list[bool]:
    """Let a replica begin a transaction and go on with it once the other one's has to wait; return what both said.

    Both are of the kind that is not alone from its beginning.
    """
    begun = threading.Event()

    def begin(at: Desk) -> bool:
        at.note("transfer.look", "t-1", ANN, {})
        begun.set()
        wait_for_a_blocked_session(one.database)
        return first(at)

    def follow(at: Desk) -> bool:
        assert begun.wait(WAIT_S)
        return second(at)

    both = one.transactor.run(begin, Priority.BULK), two.transactor.run(follow, Priority.BULK)
    return list(await asyncio.gather(*both))
