"""The closed loop: simulated people and crooks pay through fake banks that obey Sluice's commands.

Phases: ``opening`` accounts, ``history`` (honest days posted quickly with past
times), ``live``, ``draining`` (nothing new happens, reports and posts go out),
``done``. ``GET /world`` tells where it stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

import aiohttp
import msgspec
import structlog
from fastapi import FastAPI, Response

from models.money.types import iso_from_us, us_from_iso
from simulators.clients import BankClient, SluiceClient
from simulators.engine import Engine, Pending, Report, days_between
from simulators.plan import DAY_US, SECOND_US, day_start_us, local_day
from simulators.population import build_population
from simulators.rehearsal import openings
from simulators.rings import rings_for
from simulators.serving import add_standard_routes, announce, end_if_it_fails, reply, serve, stop_serving
from simulators.settings import WorldSettings
from simulators.tempo import derive_clock, local_time, pace, transfers_per_day
from simulators.theft import MoneyCount
from simulators.watch import ControlWatch, StopCounts
from telemetry import metrics
from telemetry.clock import Clock, parse_clock, wall_us
from telemetry.logging import configure_logging

__all__ = ["create_world_app", "derive_clock", "run_world"]

log = structlog.get_logger(__name__)

BATCH: Final = 500
WATCH_S: Final = 0.5
"""Wall time between two looks at the banks' controls."""

OUTGOING_LIMIT: Final = 5_000
"""History pauses while the banks have more transfers than this to tell Sluice."""

PAUSE_S: Final = 0.05
HISTORY_TIMEOUT_S: Final = 300.0
DRAIN_TIMEOUT_S: Final = 20.0
SETTLE_TIMEOUT_S: Final = 30.0


class Phase(StrEnum):
    """Where a world is in its life."""

    OPENING = "opening"
    HISTORY = "history"
    LIVE = "live"
    DRAINING = "draining"
    DONE = "done"


class WorldStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What ``GET /world`` answers. Money in fen; ``stolen = stopped + cashed_out + in_flight``.

    ``false_stops`` counts the accounts that no crook controlled when a protective stop first became effective on
    them, in the whole run; ``false_stops_per_10k_day`` is of the live phase alone, whose days ``simulated_days`` are.
    """

    phase: Phase
    clock: str
    world_time: str
    local_time: str
    live_s: float
    rate_tps: float
    lag_ms: float
    simulated_days: float
    customers: int
    accounts: int
    transfers: dict[str, int]
    cases: int
    reports: int
    reports_failed: int
    money_fen: MoneyCount
    false_stops: int
    false_stops_per_10k_day: float
    stops: StopCounts
    untold: int


class World:
    """Drives an engine against the banks on the wall's time."""

    def __init__(self, settings: WorldSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.phase = Phase.OPENING
        self._begun_us = clock.now_us()
        self._live_us = 0
        self._ended_us = 0
        self._live_mono = self._ended_mono = 0.0
        self._lag_us = 0
        self._history = 0
        self._untold = 0
        self._final: WorldStatus | None = None
        self._pending_reports: set[asyncio.Task[None]] = set()
        self.engine = self._build_engine()
        self.watch = ControlWatch(self.engine)
        self._sluice: SluiceClient | None = None

    def _build_engine(self) -> Engine:
        settings = self.settings
        start_us = self._begun_us - int(settings.history_days * DAY_US if settings.history_transfers else 0)
        # Counted from a fixed day, so that a world begun again finds its accounts open on the same terms.
        born_us = day_start_us(local_day(us_from_iso(settings.start)) - 1)
        population = build_population(
            seed=settings.seed,
            customers=settings.customers,
            banks=settings.banks,
            start_us=min(born_us, self._begun_us),
        )
        return Engine(
            population,
            seed=settings.seed,
            start_us=start_us,
            cases_per_day=0.0,
            rings=rings_for(settings.customers),
            prefix=f"w{settings.seed}-{wall_us():x}-",
        )

    async def run(self, session: aiohttp.ClientSession, on_live: Callable[[], object]) -> None:
        """Live from the opening of accounts to the end; calls ``on_live`` in between.

        Raises `NoAnswer` if the banks are gone.
        """
        banks = BankClient(session, self.settings.bank_url)
        sluice = self._sluice = SluiceClient(session, self.settings.sluice_url, self.settings.report_key)
        self.engine.town.balances = await banks.open(openings(self.engine.population))
        self.phase = Phase.HISTORY
        began = time.monotonic()
        await self._post_history(banks)
        log.info("history posted", transfers=self._history, seconds=round(time.monotonic() - began, 1))
        await self._settle(banks, sluice)
        self._go_live()
        log.info("live", local_time=local_time(self._live_us), settled_s=round(time.monotonic() - began, 1))
        on_live()
        watching = asyncio.create_task(self._keep_watch(banks))
        try:
            await self._live(banks)
            self.phase = Phase.DRAINING
            await self._drain(banks)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._look(banks)
        self.phase = Phase.DONE
        self._final = self.status()
        log.info("world ended", status=msgspec.json.encode(self._final).decode())

    async def _post_history(self, banks: BankClient) -> None:
        settings = self.settings
        if not settings.history_transfers:
            return
        full = transfers_per_day(settings) * settings.history_days
        self.engine.set_pace(settings.history_transfers / full, calendar=False)
        while self.engine.next_us() <= self._begun_us:
            due = [item for item in self.engine.due(self._begun_us, BATCH) if self._existed(item)]
            self._history += await self._execute(banks, due)
            await self._told(banks, OUTGOING_LIMIT, HISTORY_TIMEOUT_S)
        await self._told(banks, 0, HISTORY_TIMEOUT_S)

    def _existed(self, item: Pending | Report) -> bool:
        """Return whether both accounts of a transfer had been opened by its time."""
        if isinstance(item, Report):
            return True
        accounts, intent = self.engine.population.accounts, item.intent
        return max(accounts[intent.payer].opened_us, accounts[intent.payee].opened_us) < intent.at_us

    async def _settle(self, banks: BankClient, sluice: SluiceClient) -> None:
        """Wait until Sluice is through with the history and no more stops come of it.

        Else the live phase would begin behind a queue, and answer for stops that are not its own.
        """
        deadline, seen, settled = time.monotonic() + SETTLE_TIMEOUT_S, -1, False
        while (self.watch.next != seen or not settled) and time.monotonic() < deadline:
            seen = self.watch.next
            await asyncio.sleep(self.settings.settle_s)
            settled = await sluice.settled()
            await self._look(banks)

    def _go_live(self) -> None:
        """Skip what fell due while the history was posted, and begin full life with its crimes."""
        settings = self.settings
        self._live_us = self.clock.now_us()
        self._live_mono = time.monotonic()
        self.watch.live_us = self._live_us
        speed = 1 / self.clock.wall_s(SECOND_US)
        self.engine.set_pace(pace(settings, self._live_us, speed), calendar=True)
        self.engine.skip_to(self._live_us)
        self.engine.set_cases(settings.cases_per_10k_day * settings.customers / 10_000)
        self.phase = Phase.LIVE
        metrics.WORLD_CUSTOMERS.set(settings.customers)

    async def _live(self, banks: BankClient) -> None:
        seconds, tick_s = self.settings.seconds, self.settings.tick_ms / 1000
        while seconds is None or time.monotonic() - self._live_mono < seconds:
            began = time.monotonic()
            due = self.engine.due(self.clock.now_us(), BATCH)
            if due:
                await self._execute(banks, due)
            if len(due) < BATCH:
                await asyncio.sleep(max(0.0, tick_s - (time.monotonic() - began)))

    async def _execute(self, banks: BankClient, due: list[Pending | Report]) -> int:
        pending = [item for item in due if isinstance(item, Pending)]
        for item in due:
            if isinstance(item, Report):
                self._send_report(item)
        if not pending:
            return 0
        outcomes = await banks.execute([item.transfer for item in pending])
        for item, outcome in zip(pending, outcomes, strict=True):
            self.engine.settle(item, outcome)
            if self.phase is Phase.HISTORY:
                kind = "history"
            else:
                kind = "fraud" if item.intent.label is not None and item.intent.label.fraud else "honest"
            metrics.WORLD_TRANSFERS.labels(kind if outcome.executed else "refused").inc()
        self._lag_us = self.clock.now_us() - pending[-1].intent.at_us
        return sum(outcome.executed for outcome in outcomes)

    def _send_report(self, report: Report) -> None:
        if self._sluice is None:
            return
        report.case.reported_us = report.at_us
        task = asyncio.create_task(self._sluice.report(list(report.case.paid), report.at_us))
        self._pending_reports.add(task)
        task.add_done_callback(self._pending_reports.discard)

    async def _keep_watch(self, banks: BankClient) -> None:
        while True:
            await self._look(banks)
            await asyncio.sleep(WATCH_S)

    async def _look(self, banks: BankClient) -> None:
        """Read the banks' controls and set the gauges."""
        journal = await banks.journal(self.watch.next)
        self.watch.read(journal.entries, journal.next)
        self._untold = (await banks.stats()).pending
        money = self.money()
        for state in ("stolen", "stopped", "cashed_out", "in_flight"):
            metrics.WORLD_MONEY.labels(state).set(getattr(money, state))
        metrics.WORLD_FALSE_STOPS.set(self.watch.stops.false)
        metrics.WORLD_DAYS.set(self.simulated_days())

    async def _drain(self, banks: BankClient) -> None:
        """Begin nothing new; give posts, reports and the stops they cause time to arrive."""
        self._ended_us, self._ended_mono = self.clock.now_us(), time.monotonic()
        await self._told(banks, 0, DRAIN_TIMEOUT_S)
        if self._pending_reports:
            await asyncio.wait(self._pending_reports, timeout=DRAIN_TIMEOUT_S)
        await asyncio.sleep(self.settings.drain_s)

    async def _told(self, banks: BankClient, at_most: int, timeout_s: float) -> None:
        """Wait until the banks have at most so many transfers left to tell Sluice, or ``timeout_s`` are over."""
        deadline = time.monotonic() + timeout_s
        while (await banks.stats()).pending > at_most and time.monotonic() < deadline:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(PAUSE_S)

    def money(self) -> MoneyCount:
        """Return where the victims' money is now."""
        return self.engine.money(self.watch.immobilised(self.clock.now_us()))

    def simulated_days(self) -> float:
        """Return the days the live phase has lasted."""
        return days_between(self._live_us, self._ended_us or self.clock.now_us()) if self._live_us else 0.0

    def status(self) -> WorldStatus:
        """Return where the world stands; once it is done, where it stood at its end."""
        if self._final is not None:
            return self._final
        counts, days = self.engine.counts, self.simulated_days()
        live_s = (self._ended_mono or time.monotonic()) - self._live_mono if self._live_mono else 0.0
        live = counts.honest + counts.fraud - self._history
        people_days = self.settings.customers / 10_000 * days
        return WorldStatus(
            phase=self.phase,
            clock=self.settings.clock,
            world_time=iso_from_us(self.clock.now_us()),
            local_time=local_time(self.clock.now_us()),
            live_s=round(live_s, 3),
            rate_tps=round(live / live_s, 1) if live_s else 0.0,
            lag_ms=round(self.clock.wall_s(self._lag_us) * 1000, 1),
            simulated_days=round(days, 4),
            customers=self.settings.customers,
            accounts=len(self.engine.population.accounts),
            transfers={
                "honest": counts.honest - self._history,
                "fraud": counts.fraud,
                "history": self._history,
                "refused_honest": counts.refused_honest,
                "refused_fraud": counts.refused_fraud,
            },
            cases=counts.cases,
            reports=self._sluice.accepted if self._sluice else 0,
            reports_failed=self._sluice.failed if self._sluice else 0,
            money_fen=self.money(),
            false_stops=self.watch.stops.false + self.watch.stops.in_history,
            false_stops_per_10k_day=round(self.watch.stops.false / people_days, 2) if people_days else 0.0,
            stops=self.watch.stops,
            untold=self._untold,
        )


def create_world_app(settings: WorldSettings, clock: Clock | None = None) -> FastAPI:
    """Build the app; the world begins when the app starts. ``app.state.world`` is the `World` behind it."""
    world = World(settings, clock or parse_clock(settings.clock))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:
            task = asyncio.create_task(_run_once(world, app, session), name="world")
            end_if_it_fails(app, task)
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    app = FastAPI(title="Sluice world", lifespan=lifespan)
    app.state.world = world
    add_standard_routes(app)

    @app.get("/world")
    async def status() -> Response:
        """Return where the world stands (`WorldStatus`)."""
        return reply(world.status())

    return app


async def _run_once(world: World, app: FastAPI, session: aiohttp.ClientSession) -> None:
    """Run the world; when it is over, write its status and end the process unless it is to stay."""
    ready, status_file = world.settings.ready_file, world.settings.status_file
    await world.run(session, lambda: announce(ready, app.state.address) if ready else None)
    if status_file is not None:
        announce(status_file, msgspec.json.encode(world.status()).decode())
    if not world.settings.stay:
        stop_serving(app, 0)


def run_world(settings: WorldSettings) -> int:
    """Run the world on loopback until ``settings.seconds`` have passed or SIGTERM; return the exit code."""
    configure_logging("world", settings.log_level)
    metrics.identify("world")
    app = create_world_app(settings)
    return serve(app, host=settings.host, port=settings.port, ready_file=None)
