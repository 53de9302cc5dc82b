"""Runs work at the desk as one transaction, and afterwards what must happen outside of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy import Connection

from api.service.desk import Desk, DeskRules, Effects
from api.store.database import Database, Priority
from models.control.brake import Brake
from telemetry.clock import Clock, wall_us

T = TypeVar("T")

EffectsHandler = Callable[[Effects], None]


class Transactor:
    """Commits first, then acts: commands leave, and metrics and the brake's counts move, only for what is written.

    The brake counts before the next transaction begins, in the thread that checks it.

    Whatever changes an order is alone at the desk from its first look on, among replicas too: what it has read of
    orders still holds when it acts on it, and nobody who waits for it has locked what it comes to. Bulk changes none,
    and a stop of another replica need not wait for it.
    """

    def __init__(self, database: Database, rules: DeskRules, clock: Clock, brake: Brake) -> None:
        self.database = database
        self.brake = brake
        self.rules = rules
        self.clock = clock
        self._handlers: list[EffectsHandler] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop in which effects are handled."""
        self._loop = loop

    def on_commit(self, handler: EffectsHandler) -> None:
        """Call ``handler`` in the loop with the effects of every committed transaction."""
        self._handlers.append(handler)

    async def run(self, work: Callable[[Desk], T], priority: Priority = Priority.REQUEST) -> T:
        """Run ``work`` as one transaction from the loop; raise its error or `StoreAway`."""
        result, effects = await asyncio.wrap_future(self._submit(work, priority))
        self._handle(effects)
        return result

    def run_now(self, work: Callable[[Desk], T], priority: Priority = Priority.STOP) -> T:
        """Run ``work`` as one transaction from another thread, and wait for it."""
        result, effects = self._submit(work, priority).result()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._handle, effects)
        return result

    def _submit(self, work: Callable[[Desk], T], priority: Priority) -> Future[tuple[T, Effects]]:
        def transaction(connection: Connection) -> tuple[T, Effects]:
            desk = Desk(connection, self.rules, now_us=self.clock.now_us(), wall_us=wall_us())
            if priority is not Priority.BULK:
                desk.exclude_others()
            return work(desk), desk.effects

        return self.database.submit(transaction, priority, committed=self._count)

    def _count(self, done: tuple[object, Effects]) -> None:
        _, effects = done
        self.brake.take(effects.tally)

    def _handle(self, effects: Effects) -> None:
        for handler in self._handlers:
            handler(effects)
