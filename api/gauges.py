"""Refreshes the gauges that are read from the database, and checks the audit chain."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from itertools import product
from typing import Final

import structlog
from sqlalchemy import Connection

from api.guarded import CALLS
from api.service.transactions import Transactor
from api.store import audit, orders, outbox, publications
from api.store.database import Database, StoreAway
from models.control.audit import GENESIS
from models.control.brake import Cap
from models.control.policy import Action, Why
from models.control.records import HOUR_US
from models.control.states import IN_FORCE, OrderKind, OrderState
from models.control.table import states_of, terminal_states
from telemetry import metrics
from telemetry.clock import wall_us

log = structlog.get_logger(__name__)

EVERY_S: Final = 2.0
SPANS_US: Final = {"1h": HOUR_US, "6h": 6 * HOUR_US, "24h": 24 * HOUR_US}
NOT_WAITING: Final = IN_FORCE - {OrderState.UNDER_REVIEW, OrderState.EXTENDING, OrderState.APPLIED}


def waiting_states(kind: OrderKind) -> list[OrderState]:
    """Return the states in which an order waits for a bank or a person."""
    return sorted(states_of(kind) - terminal_states(kind) - NOT_WAITING)


class Gauges:
    """One task that looks every two seconds."""

    def __init__(self, database: Database, transactor: Transactor, banks: Collection[str]) -> None:
        self._database = database
        self._transactor = transactor
        self._banks = sorted(banks)
        self._checked = (0, GENESIS)
        self._shown: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        self._introduce()
        while True:
            try:
                await self._database.read(self.refresh)
            except StoreAway as error:
                log.warning("gauges cannot be refreshed", error=str(error))
            await asyncio.sleep(EVERY_S)

    def _introduce(self) -> None:
        """Touch known label values, so that alerts see a zero and not nothing."""
        for cap in Cap:
            metrics.BRAKE_WITHHELD.labels(cap)
        for outcome in (Action.ORDER, *Why):
            metrics.STOP_BAND.labels(outcome)
        for topic in ("assessments", "verdicts"):
            metrics.DEAD_LETTERS.labels(topic, "undecodable")
        for reason in ("unstorable", "unusable"):
            metrics.DEAD_LETTERS.labels("assessments", reason)
        for bank in self._banks:
            metrics.OUTBOX_PENDING.labels(bank).set(0)
            metrics.OUTBOX_OLDEST.labels(bank).set(0)
            for call, outcome in product(CALLS, ("ok", "refused", "timeout", "error", "open")):
                metrics.BANK_CALLS.labels(bank, call, outcome)
            metrics.FALSE_STOPS.labels(bank)
            metrics.MONEY_AT_RISK.labels(OrderKind.PROTECTIVE_STOP, bank)
            metrics.MONEY_HELD.labels(OrderKind.PROTECTIVE_STOP, bank)
            for state in (OrderState.RELEASED, OrderState.EXPIRED, OrderState.CONVERTED):
                metrics.MONEY_RELEASED.labels(OrderKind.PROTECTIVE_STOP, bank, state)

    def refresh(self, connection: Connection) -> None:
        """Read everything once and set the gauges."""
        self._orders(connection)
        self._outbox(connection)
        self._unpublished(connection)
        self._audit(connection)

    def _orders(self, connection: Connection) -> None:
        now_us = self._transactor.clock.now_us()
        counts = orders.counts(connection)
        shown = {(kind, state, bank) for kind, state, bank, _, _ in counts}
        for kind, state, bank in self._shown - shown:
            metrics.ORDERS.labels(kind, state, bank).set(0)
        self._shown |= shown
        oldest: dict[tuple[str, str, str], int] = {}
        for kind, state, bank, number, since_us in counts:
            metrics.ORDERS.labels(kind, state, bank).set(number)
            oldest[kind, state, bank] = since_us
        for kind in OrderKind:
            self._waiting(kind, oldest, now_us)
            self._lapsing(connection, kind, now_us)

    def _waiting(self, kind: OrderKind, oldest: dict[tuple[str, str, str], int], now_us: int) -> None:
        for state in waiting_states(kind):
            for bank in self._banks:
                since_us = oldest.get((kind.value, state.value, bank), now_us)
                metrics.ORDER_OLDEST.labels(kind, state, bank).set(_age_s(since_us, now_us))

    def _lapsing(self, connection: Connection, kind: OrderKind, now_us: int) -> None:
        in_force = self._values(IN_FORCE)
        for name, span_us in SPANS_US.items():
            found = orders.lapsing(connection, in_force, now_us + span_us)
            for bank in self._banks:
                metrics.ORDERS_LAPSING.labels(kind, bank, name).set(found.get((kind.value, bank), 0))

    @staticmethod
    def _values(states: Iterable[OrderState]) -> list[str]:
        return sorted(state.value for state in states)

    def _outbox(self, connection: Connection) -> None:
        ages = {bank: (number, oldest) for bank, number, oldest in outbox.ages(connection)}
        now = wall_us()
        for bank in {*self._banks, *ages}:
            number, oldest = ages.get(bank, (0, now))
            metrics.OUTBOX_PENDING.labels(bank).set(number)
            metrics.OUTBOX_OLDEST.labels(bank).set(_age_s(oldest, now))

    @staticmethod
    def _unpublished(connection: Connection) -> None:
        oldest = publications.oldest_wall_us(connection)
        metrics.UNPUBLISHED_OLDEST.set(0 if oldest is None else _age_s(oldest, wall_us()))

    def _audit(self, connection: Connection) -> None:
        """Check what was appended since the last look; a full check is `api.verify.verify`'s."""
        seq, digest = self._checked
        report = audit.verify(connection, seq=seq, previous=digest)
        metrics.AUDIT_INTACT.set(0 if report.breach else 1)
        metrics.AUDIT_CHECKED.set(wall_us() / 1e6)
        if report.breach:
            log.critical("ALARM: the audit chain is broken", breach=report.breach)
        else:
            self._checked = (report.last_seq, report.last_digest)


def _age_s(since_us: int, now_us: int) -> float:
    """Return the seconds since then; 0 for what another machine's clock places ahead."""
    return max(0, now_us - since_us) / 1e6
