"""The composition root: builds the parts from settings, starts and stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from api.auth import Gatekeeper, KeyEntry, read_keys
from api.bank import Gateway, HttpGateway
from api.dispatcher import Dispatcher, Retry
from api.feed import Feed, FeedSettings
from api.feedsink import FeedSink
from api.gauges import Gauges
from api.guarded import GuardedGateway
from api.intake import Intake
from api.producer import TopicProducer
from api.registry import Registry
from api.relay import Relay, turn_of
from api.screening import Present, decision_of
from api.service import braking
from api.service.desk import DeskRules, Effects
from api.service.observe import observe
from api.service.transactions import Transactor
from api.settings import SECOND_US, ApiSettings
from api.sharing import BrakeSharing
from api.store import brake as brake_store
from api.store.database import Database, StoreAway
from api.store.migrate import upgrade
from api.timers import Timers
from api.traces import Traces
from api.waiters import DecisionView, Waiters
from models.control.brake import Brake
from telemetry import metrics
from telemetry.clock import Clock, ahead_us, parse_clock
from telemetry.misconfigured import Misconfigured
from telemetry.tracing import open_spans

log = structlog.get_logger(__name__)

BROKER_EVERY_S: Final = 2.0


class Runtime:
    """All parts of the running api."""

    def __init__(self, settings: ApiSettings, *, gateway: Gateway | None = None, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or parse_clock(settings.clock)
        self.gatekeeper = Gatekeeper(_keys(settings))
        self.banks = frozenset(settings.banks) | self.gatekeeper.banks()
        self.database = Database(settings.database_url)
        self._own_gateway = None if gateway else _http_gateway(settings, self.banks)
        inner = gateway or self._own_gateway
        if inner is None:
            raise Misconfigured("no gateway to the banks")
        self.gateway = GuardedGateway(
            inner,
            concurrency=settings.bank_concurrency,
            failures=settings.breaker_failures,
            open_s=settings.breaker_open_s,
        )
        self.brake = Brake(settings.brake_limits())
        self.transactor = Transactor(self.database, self._rules(), self.clock, self.brake)
        self.producer = TopicProducer(
            settings.broker,
            linger_ms=settings.linger_ms,
            confirm_timeout_s=settings.confirm_timeout_s,
            topic_prefix=settings.topic_prefix,
        )
        self.registry = Registry(self.database)
        self.traces = Traces(
            open_spans("api", settings.otlp_endpoint), sample=settings.trace_sample, seed=settings.seed
        )
        self.intake = Intake(self.registry, self.producer, self.traces)
        self.waiters = Waiters()
        retry = Retry(
            first_s=settings.retry_first_s,
            max_s=settings.retry_max_s,
            workers=settings.bank_concurrency,
            seed=settings.seed,
        )
        self.dispatcher = Dispatcher(self.gateway, self.transactor, retry)
        turn = turn_of(self.database, settings.instance, settings.confirm_timeout_s)
        self.relay = Relay(self.database, self.producer, turn)
        self.timers = Timers(self.gateway, self.transactor, every_s=settings.timer_ms / 1000)
        self.gauges = Gauges(self.database, self.transactor, self.banks)
        self.sharing = BrakeSharing(self.database, self.brake)
        self.feed: Feed | None = None
        self.exit_code = 0
        self.on_failure: Callable[[], None] = lambda: None
        self._tasks: list[asyncio.Task[None]] = []

    def _rules(self) -> DeskRules:
        settings = self.settings
        least_us = int(settings.feedback_min_wall_s * SECOND_US / self.clock.wall_s(SECOND_US))
        return DeskRules(
            policy=settings.policy(),
            clocks=settings.clocks(),
            feedback_us=max(int(settings.feedback_s * SECOND_US), least_us),
            instance=settings.instance,
        )

    def present(self) -> Present:
        """Return world time and how far ahead of it a transfer may lie."""
        now_us = self.clock.now_us()
        return Present(now_us, now_us + ahead_us(self.clock, self.settings.future_tolerance_s))

    async def start(self) -> None:
        """Bring the database up to date, then start everything that works by itself."""
        loop = asyncio.get_running_loop()
        if self.settings.migrate:
            await asyncio.to_thread(upgrade, self.database.engine)
        self.database.start()
        await self.database.read(
            partial(braking.restore, brake=self.brake, now_us=self.clock.now_us(), instance=self.settings.instance)
        )
        metrics.BRAKE_TRIPPED.set(1 if self.brake.trips else 0)
        self.gateway.introduce(sorted(self.banks))
        self.transactor.bind(loop)
        self.transactor.on_commit(observe)
        self.transactor.on_commit(self._dispatch)
        self.transactor.on_commit(self.relay.notice)
        self.producer.on_failure = partial(loop.call_soon_threadsafe, self.fail)
        self.producer.start(loop)
        self._start_feed(loop)
        for name, work in (
            ("dispatcher", self.dispatcher.run()),
            ("relay", self.relay.run()),
            ("timers", self.timers.run()),
            ("gauges", self.gauges.run()),
            ("brake", self.sharing.run()),
            ("broker", self._watch_broker()),
        ):
            self._watch(name, work)

    def _dispatch(self, effects: Effects) -> None:
        self.dispatcher.submit(effects.commands)

    def _start_feed(self, loop: asyncio.AbstractEventLoop) -> None:
        settings = self.settings
        sink = FeedSink(
            self.transactor,
            self.brake,
            self.waiters,
            self.producer,
            loop,
            traces=self.traces,
            lot=settings.lot(),
        )
        feed_settings = FeedSettings(
            broker=settings.broker,
            topic_prefix=settings.topic_prefix,
            group=settings.group,
            fetch_wait_ms=settings.fetch_wait_ms,
            persist_every_s=settings.persist_every_ms / 1000,
            persist_max=settings.persist_max,
        )
        self.feed = Feed(feed_settings, sink)
        self.feed.on_failure = partial(loop.call_soon_threadsafe, self.fail)
        self.feed.start()

    async def _watch_broker(self) -> None:
        """Show whether a broker answers: where nobody can post and nobody writes, nothing else would tell."""
        while True:
            metrics.BROKER_AWAY.set(0 if await asyncio.to_thread(self.producer.reachable) else 1)
            await asyncio.sleep(BROKER_EVERY_S)

    def _watch(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_task_end)
        self._tasks.append(task)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("a part of the api has failed", part=task.get_name(), exc_info=task.exception())
            self.fail()

    def fail(self) -> None:
        """End the process: a part that died must not be missed in silence."""
        self.exit_code = 1
        self.on_failure()

    async def stop(self) -> None:
        """Stop in the order in which nothing is lost: feed, tasks, registry, producer, database."""
        if self.feed is not None:
            await asyncio.to_thread(self.feed.stop)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self.registry.drain(), 2.0)
        except (TimeoutError, StoreAway) as error:
            log.warning("confirmations were not all noted", error=str(error))
        await asyncio.to_thread(self.producer.stop)
        if self._own_gateway is not None:
            await self._own_gateway.close()
        await asyncio.to_thread(self.traces.close)
        await asyncio.to_thread(self.database.stop)

    async def await_decision(
        self, transfer_id: str, waiting: asyncio.Future[DecisionView], wait_s: float
    ) -> DecisionView | None:
        """Return the decision if it comes within ``wait_s``; with several replicas look into the database too."""
        poll_s = self.settings.waiter_poll_ms / 1000 or wait_s
        deadline = asyncio.get_running_loop().time() + wait_s
        while (left_s := deadline - asyncio.get_running_loop().time()) > 0:
            done, _ = await asyncio.wait([waiting], timeout=min(poll_s, left_s))
            if done:
                return waiting.result()
            if self.settings.waiter_poll_ms:
                known = await self.database.read(lambda connection: decision_of(connection, transfer_id))
                if known is not None:
                    return known
        return None

    async def readiness(self) -> dict[str, bool]:
        """Return what the api needs, and whether it is there."""
        try:
            await self.database.read(brake_store.trips)
            stored = True
        except StoreAway:
            stored = False
        feed = self.feed
        return {
            "database": stored,
            "broker": await asyncio.to_thread(self.producer.reachable),
            "feed": feed is not None and feed.assigned.is_set() and not feed.stuck.is_set(),
        }


def _keys(settings: ApiSettings) -> list[KeyEntry]:
    """Return the keys of the settings; raise `Misconfigured` for others."""
    try:
        keys = read_keys(settings.api_keys.get_secret_value(), settings.api_keys_file)
    except (msgspec.MsgspecError, ValueError, OSError) as error:
        raise Misconfigured(f"SLUICE_API_KEYS, SLUICE_API_KEYS_FILE: {error}") from error
    if not keys:
        log.warning("no keys: every call under /v1 is refused", settings="SLUICE_API_KEYS, SLUICE_API_KEYS_FILE")
    return keys


def _http_gateway(settings: ApiSettings, banks: Collection[str]) -> HttpGateway:
    unreachable = [] if settings.bank_url else sorted(bank for bank in banks if not settings.banks.get(bank))
    if unreachable:
        log.warning("banks without an address: no order can reach them", banks=unreachable, settings="SLUICE_BANKS")
    return HttpGateway(
        settings.banks,
        settings.bank_url,
        timeout_s=settings.bank_timeout_s,
        token=settings.bank_token.get_secret_value(),
    )
