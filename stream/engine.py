"""Puts one scoring worker together: Faust app, producer, epochs, stages. The only place that knows all of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from faust.types import TP

from models.risk.scorer import Scorer
from models.wire import Topic
from stream.agents import Engine, Runner, attach_agent
from stream.continuity import Continuity, LogReader
from stream.controls import Controls
from stream.crash import End
from stream.deadletter import Brake, Quarantine, RecordFault
from stream.driver import StreamApp, create_app
from stream.epoch import Committer
from stream.exitcodes import ExitCode
from stream.pulse import Pulse
from stream.sender import Sender
from stream.settings import WorkerSettings
from stream.stages import CreditStage, DebitStage, StageTools
from stream.tables import MemoryProfiles, Profiles, RocksProfiles
from stream.topics import changelog_topic
from telemetry.clock import ahead_us, parse_clock
from telemetry.metrics import CONSUMER_LAG
from telemetry.tracing import carried

log = structlog.get_logger(__name__)

LEAVE_TIMEOUT_S: Final = 1.0
SETTLE_TIMEOUT_S: Final = 0.3


class ScoringEngine:
    """All parts of one worker; make it inside the event loop it is to run in."""

    def __init__(self, settings: WorkerSettings, *, controls: Controls, scorer: Callable[[], Scorer], end: End) -> None:
        self._settings = settings
        self._end = end
        self.app = create_app(settings)
        self.sender = Sender(
            settings.broker,
            linger_ms=settings.linger_ms,
            confirm_timeout_s=settings.confirm_timeout_s,
            end=end,
            topic_prefix=settings.topic_prefix,
        )
        changelog = changelog_topic(settings.group)
        self.profiles = _profiles(self.app, settings, settings.on_broker(changelog))
        self.pulse = Pulse(limit_s=settings.confirm_timeout_s, end=end)
        self.committer = Committer(
            sender=self.sender,
            profiles=self.profiles,
            changelog=changelog,
            acknowledge=self._acknowledge,
            still_owner=self.pulse.check,
        )
        self._continuity = Continuity()
        self._quarantine = Quarantine(settings.worker_id)
        self._attach_stages(controls, scorer)
        self.app.on_positions = self._on_positions
        self.app.on_partitions_revoked.connect(self._on_revoked)

    def quarantine(self, record: Any, fault: RecordFault, done: Callable[[], None]) -> None:
        """Send the dead letter of a record that no stage has taken; call ``done`` once the broker has it."""
        ticket = self.sender.ticket(done)
        letter = self._quarantine.letter(record, fault.fault, str(fault))
        ticket.send(Topic.DEAD_LETTERS, *letter, headers=carried(record.headers))
        ticket.seal()

    def _attach_stages(self, controls: Controls, scorer: Callable[[], Scorer]) -> None:
        settings = self._settings
        engine = Engine(
            sender=self.sender,
            committer=self.committer,
            continuity=self._continuity,
            log_reader=LogReader(settings.broker),
            brake=Brake(window=settings.brake_window, share=settings.brake_share, end=self._end),
            end=self._end,
            is_current=self._is_current,
        )
        tools = StageTools(scorer, self.profiles, self._quarantine)
        clock = parse_clock(settings.clock)
        debit = DebitStage(tools, clock=clock, future_tolerance_us=ahead_us(clock, settings.future_tolerance_s))
        credit = CreditStage(tools, controls=controls)
        for topic, name, stage in ((Topic.TRANSFERS, "debited", debit), (Topic.CREDITS, "assessed", credit)):
            runner = Runner(name, stage, engine)
            attach_agent(self.app, settings.on_broker(topic), runner, limit=settings.batch_max, end=self._end)

    def _is_current(self, generation: int) -> bool:
        """Return whether records of this generation may be worked on; what waited over a rebalance may not."""
        return bool(self.app.flow_control.is_active() and generation == self.app.consumer_generation_id)

    def _on_positions(self, positions: Mapping[TP, int]) -> None:
        self._continuity.start(positions)
        log.info("positions", places={f"{place.topic}[{place.partition}]": at for place, at in positions.items()})

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        """Let go of partitions: nothing is in flight when the next owner starts, or this worker ends."""
        self._continuity.start({})
        CONSUMER_LAG.clear()  # what the next owner has yet to do is not told by this worker any more
        if self.committer.in_flight:
            if not self.app.stage_consumer.is_member:
                self._end(ExitCode.MEMBERSHIP_LOST, "the group gave this worker up while it had work in flight")
            if not await self.committer.drain(self._settings.drain_timeout_s):
                self._end(ExitCode.DRAIN_TIMEOUT, "work in flight was not confirmed before partitions were taken away")
        self.profiles.forget()

    async def _acknowledge(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets; end the worker if the group does not answer in time."""
        consumer = self.app.stage_consumer
        try:
            taken = await asyncio.wait_for(consumer.commit_offsets(offsets), self._settings.confirm_timeout_s)
        except TimeoutError:
            self._end(ExitCode.UNCONFIRMED, "an acknowledgement was not confirmed in time")
        for place, offset in offsets.items():
            end = consumer.highwater(place) if place in consumer.assignment() else None
            if end is not None:
                CONSUMER_LAG.labels(place.topic, str(place.partition)).set(max(end - offset, 0))
        return bool(taken)

    def drop_local_state(self) -> None:
        """Remove the store's files; the changelog has all that counts."""
        shutil.rmtree(self.app.conf.tabledir, ignore_errors=True)

    def last_rites(self) -> None:
        """Leave the group unless something could still land on the broker; withdraw what is not sent. For a crash."""
        if self.sender.settle(SETTLE_TIMEOUT_S) and self.app.started:
            self.app.stage_consumer.leave(LEAVE_TIMEOUT_S)
        self.sender.withdraw()

    async def stop_taking(self) -> bool:
        """Take nothing more and commit what is in flight; return whether all of it was confirmed."""
        self.app.stage_consumer.stop_flow()
        self.app.flow_control.suspend()
        return not self.committer.in_flight or await self.committer.drain(self._settings.confirm_timeout_s)


def _profiles(app: StreamApp, settings: WorkerSettings, changelog: str) -> Profiles:
    table = app.Table(
        "profiles",
        partitions=settings.partitions,
        key_type=bytes,
        value_type=bytes,
        changelog_topic=app.topic(
            changelog,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=settings.partitions,
            acks=False,
            internal=True,
            allow_empty=True,
        ),
    )
    if settings.store == "rocksdb":
        return RocksProfiles(table.data, changelog, settings.partitions)
    return MemoryProfiles(table.data, settings.partitions)
