"""One scoring worker's life: from settings to exit code."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import structlog
import uvloop
from faust.exceptions import ConsistencyError

from models.risk.assessment import Band
from models.risk.scorer import Scorer
from models.wire import Topic
from stream.controls import Controls, read_control
from stream.crash import CrashOnly
from stream.deadletter import Fault, RecordFault
from stream.driver import tune_threads
from stream.engine import ScoringEngine
from stream.exitcodes import ExitCode
from stream.follower import Follower, Record
from stream.inspector import Check, Inspector, inspectors_group
from stream.panels import CurrentScorer, Panels, read_panel
from stream.quiet import quiet_engine
from stream.reader import Reader
from stream.ready import announce_ready
from stream.rulebook import RulesUnreadable, read_rules
from stream.settings import WorkerSettings
from stream.startup import prepare_broker
from telemetry.compiled import why_plain
from telemetry.exits import ExitTally
from telemetry.garbage import collect_rarely
from telemetry.logging import configure_logging
from telemetry.metrics import DEAD_LETTERS, OFFSET_GAPS, TRANSFERS_ASSESSED, identify, serve_metrics

log = structlog.get_logger(__name__)

EMBEDDED_WAIT_MS: Final = 5
FOLLOW_TIMEOUT_S: Final = 60.0
WATCH_S: Final = 0.5


def run_worker(settings: WorkerSettings) -> int:
    """Run one scoring worker until SIGTERM or SIGINT; return an exit code of `stream.exitcodes`.

    Where going on could lose or double a transfer the process ends at once with its code.
    """
    configure_logging(settings.worker_id, settings.log_level)
    quiet_engine()
    try:
        scorer = Scorer(rules=read_rules(settings.rules_file))
    except RulesUnreadable as error:
        log.error("the rules cannot be read", reason=str(error))
        return ExitCode.MISCONFIGURED
    code, embedded = prepare_broker(settings)
    if code is not ExitCode.OK:
        return code
    if embedded:  # it would hold its answer although records have come
        settings = settings.model_copy(update={"fetch_wait_ms": min(settings.fetch_wait_ms, EMBEDDED_WAIT_MS)})
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    identify("worker")
    reason = why_plain()
    if reason:
        log.warning("scoring runs as plain Python, which is slower", reason=reason)
    serve_metrics(settings.metrics_host, settings.metrics_port)
    show_zeros(settings)
    tune_threads()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return asyncio.run(_Life(settings, scorer).run())


def show_zeros(settings: WorkerSettings) -> None:
    """Let counters with labels exist from the start, so that an alert on their growth is not blind to the first."""
    for topic in (Topic.TRANSFERS, Topic.CREDITS):
        OFFSET_GAPS.labels(settings.on_broker(topic))
    for topic in (Topic.TRANSFERS, Topic.CREDITS, Topic.CONTROLS, Topic.MODELS):
        for fault in Fault:
            DEAD_LETTERS.labels(settings.on_broker(topic), fault.value)
    for band in Band:
        TRANSFERS_ASSESSED.labels(band.value)


class _Life:
    """Start, work, stop."""

    def __init__(self, settings: WorkerSettings, scorer: Scorer) -> None:
        self._settings = settings
        self._end = CrashOnly()
        self._tally_exits()
        self._stopping = asyncio.Event()
        self._controls = Controls()
        self._scorer = CurrentScorer(scorer)
        key = settings.snapshot_key.get_secret_value().encode()
        self._panels = Panels(self._scorer, key=key)
        self._followers = [
            Follower(settings.broker, settings.on_broker(Topic.CONTROLS), self._controls.follow),
            Follower(settings.broker, settings.on_broker(Topic.MODELS), self._panels.follow),
        ]
        self._inspector = Inspector(
            settings.broker,
            inspectors_group(settings.group),
            checks=followed_checks(key, settings.topic_prefix),
            set_aside=self._set_aside,
        )
        self._readers: tuple[Reader, ...] = (*self._followers, self._inspector)
        self._tasks: list[asyncio.Task[Any]] = []
        self._ready = False

    def _tally_exits(self) -> None:
        """Tell in the metrics why earlier runs ended, and note it when this one does."""
        path = self._settings.data_dir / f"{self._settings.worker_id}.exits"
        tally = ExitTally(path, (code.name.lower() for code in ExitCode if code))
        tally.load()
        self._end.rites.append(lambda code: tally.note(code.name.lower()))

    async def run(self) -> int:
        """Live until asked to stop; a failure of the engine ends the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop)
        self._loop = loop
        self._engine = ScoringEngine(self._settings, controls=self._controls, scorer=self._scorer, end=self._end)
        self._end.rites.append(lambda _code: self._engine.last_rites())
        try:
            await self._start()
            await self._stopping.wait()
        except Exception as error:
            log.error("engine failed", exc_info=error)
            self._end(ExitCode.ENGINE_FAILED, repr(error))
        return await self._stop()

    async def _start(self) -> None:
        for follower in self._followers:
            await asyncio.to_thread(follower.start, FOLLOW_TIMEOUT_S)
        await asyncio.to_thread(self._panels.go_live)
        engine = self._engine
        self._watch(engine.sender.pump(), engine.committer.run(), engine.pulse.run(), self._check_engine())
        starting = asyncio.ensure_future(self._engine.app.start())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._stopping.is_set():
            starting.cancel()
            return
        await starting
        self._end_if_crashed()
        self._ready = True
        self._inspector.start()
        collect_rarely()
        log.info("scoring", profiles=len(self._engine.profiles), controls=len(self._controls))
        announce_ready(self._settings.ready_file, self._settings.worker_id)

    def _watch(self, *works: Coroutine[Any, Any, None]) -> None:
        """Run endless work beside the app; if any of it ends, so does the process."""
        for work in works:
            task = asyncio.ensure_future(work)
            task.add_done_callback(self._work_ended)
            self._tasks.append(task)

    def _work_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work beside the engine failed", exc_info=error)
            self._end(ExitCode.ENGINE_FAILED, repr(error))

    async def _check_engine(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            self._end_if_crashed()
            for reader in self._readers:
                reader.check()

    def _end_if_crashed(self) -> None:
        app = self._engine.app
        if not app.crashed:
            return
        if isinstance(app.crash_reason, ConsistencyError):
            log.error(
                "local state is ahead of its changelog and is dropped, to be built anew", reason=str(app.crash_reason)
            )
            self._engine.drop_local_state()
        self._end(ExitCode.ENGINE_FAILED, f"the engine crashed: {app.crash_reason!r}")

    def _ask_to_stop(self) -> None:
        """Stop in order, but never longer than allowed, even if the broker is gone."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        timer = threading.Timer(
            self._settings.shutdown_timeout_s, self._end, (ExitCode.SHUTDOWN_TIMEOUT, "stopping took too long")
        )
        timer.daemon = True
        timer.start()

    async def _stop(self) -> int:
        """Commit what is in flight, leave the group, and go."""
        engine = self._engine
        if self._ready and not await engine.stop_taking():
            self._end(ExitCode.UNCONFIRMED, "work in flight was not confirmed before the stop")
        for reader in self._readers:
            reader.stop()
        for task in self._tasks:
            task.cancel()
        await engine.app.stop()
        log.info("stopped")
        return ExitCode.OK

    def _set_aside(self, record: Record, fault: RecordFault) -> threading.Event:
        """Send the dead letter of a followed record from the loop's thread; the event is set once it is confirmed."""
        confirmed = threading.Event()
        self._loop.call_soon_threadsafe(self._engine.quarantine, record, fault, confirmed.set)
        return confirmed


def followed_checks(key: bytes, topic_prefix: str = "") -> dict[str, Check]:
    """Return how each followed topic is read; without the key of snapshots nothing can be said of ``models``."""
    checks: dict[str, Check] = {topic_prefix + Topic.CONTROLS: read_control}
    return checks | {topic_prefix + Topic.MODELS: partial(read_panel, key=key)} if key else checks
