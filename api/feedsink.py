"""What the feed does with records: orders, rows, dead letters. Called from the feed's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import structlog
from confluent_kafka import Message
from sqlalchemy.exc import DBAPIError

from api.producer import BrokerAway, Record, TopicProducer
from api.service.desk import Desk
from api.service.reports import place_verdicts, take_verdict
from api.service.transactions import Transactor
from api.service.triage import NOT_STOPPED, Taken, triage
from api.store import samples, snapshots, transfers
from api.store.database import Priority
from api.store.transfers import AssessedRow
from api.traces import Traces
from api.waiters import DecisionView, Waiters
from models.control.brake import Brake
from models.risk.assessment import Assessment, Band
from models.risk.lot import Lot
from models.wire import ModelSnapshot, Topic, Verdict, dead_letter, encode
from telemetry import metrics
from telemetry.clock import wall_us
from telemetry.tracing import Headers, logged, trace_of

log = structlog.get_logger(__name__)

QUARANTINE_TIMEOUT_S: Final = 15.0


class Poison(msgspec.Struct, frozen=True, kw_only=True):
    """A record that cannot be read or acted on, or that the database refuses; with its place at the broker."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str


Storable = AssessedRow | Verdict | ModelSnapshot


class Unstored(NamedTuple):
    """What is to be stored, and the message in which it came."""

    record: Storable
    message: Message


def poison_of(message: Message, reason: str, detail: str) -> Poison:
    """Return a polled record as poison."""
    return Poison(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        reason=reason,
        detail=detail,
    )


class FeedSink:
    """Connects the feed to policy, database, waiting requests and dead letters."""

    def __init__(
        self,
        transactor: Transactor,
        brake: Brake,
        waiters: Waiters,
        producer: TopicProducer,
        loop: asyncio.AbstractEventLoop,
        *,
        traces: Traces,
        lot: Lot,
    ) -> None:
        self._transactor = transactor
        self._brake = brake
        self._waiters = waiters
        self._producer = producer
        self._loop = loop
        self._traces = traces
        self._lot = lot

    def act(self, found: Sequence[tuple[Assessment, bytes]]) -> list[AssessedRow]:
        """Order stops for assessments in the stop band, tell who waits, return rows to store; raise `StoreAway`."""
        stops = [assessment for assessment, _ in found if assessment.band is Band.STOP]
        taken: dict[str, Taken] = {}
        if stops:
            done = self._transactor.run_now(lambda desk: triage(desk, self._brake, stops), Priority.STOP)
            taken = {stop.transfer.transfer_id: each for stop, each in zip(stops, done, strict=True)}
        rows = [_row(assessment, body, taken) for assessment, body in found]
        if self._waiters.waiting:
            self._loop.call_soon_threadsafe(self._waiters.decided, [view_of(row) for row in rows])
        return rows

    def trace(self, rows: Sequence[AssessedRow], headers: Sequence[Headers]) -> None:
        """Write the trace of every transfer in the stop band beside its order, and export the spans of sampled ones."""
        for row, each in zip(rows, headers, strict=True):
            if row.assessment.band is Band.STOP:
                with logged(trace_of(each)):
                    log.info(
                        "stop band",
                        transfer_id=row.assessment.transfer.transfer_id,
                        action=row.action,
                        why=row.why or "",
                        order_id=row.order_id,
                    )
        self._traces.assessed((row.assessment.stages, each) for row, each in zip(rows, headers, strict=True))

    def store(self, unstored: Sequence[Unstored]) -> list[Poison]:
        """Store records in one transaction; return what cannot be stored. Raise `StoreAway`."""
        try:
            self._commit([each.record for each in unstored])
        except DBAPIError as error:
            log.error("a group of records cannot be stored as a whole", error=str(error.orig))
            # A verdict finds the accounts it is about in the row of its transfer.
            assessments_first = sorted(unstored, key=lambda each: not isinstance(each.record, AssessedRow))
            singly = [self._store_one(each) for each in assessments_first]
            return [poison for poison in singly if poison is not None]
        return []

    def _commit(self, records: Sequence[Storable]) -> None:
        rows = [each for each in records if isinstance(each, AssessedRow)]
        labels = [each for each in records if isinstance(each, Verdict)]
        panels = [each for each in records if isinstance(each, ModelSnapshot)]

        def work(desk: Desk) -> list[Verdict]:
            desk.effects.tally.transfers += len(rows)
            transfers.record_assessments(desk.connection, rows, desk.wall_us)
            place_verdicts(desk, [row.assessment for row in rows])
            drawn = [row.assessment.transfer.transfer_id for row in rows if self._lot.draws(row.assessment)]
            samples.keep(desk.connection, drawn, rate=self._lot.rate, wall_us=desk.wall_us)
            for each in panels:
                snapshots.keep(desk.connection, each)
            return [each for each in labels if take_verdict(desk, each)]

        for each in self._transactor.run_now(work, Priority.BULK):
            metrics.VERDICTS.labels(each.label, each.source).inc()

    def _store_one(self, unstored: Unstored) -> Poison | None:
        """Store one record; return it as poison if the database refuses it for its content."""
        try:
            self._commit([unstored.record])
        except DBAPIError as error:
            return poison_of(unstored.message, "unstorable", str(error.orig))
        return None

    def quarantine(self, poison: Sequence[Poison]) -> None:
        """Put records on ``dead-letters`` and wait for the broker; raise `BrokerAway`."""
        records = [Record(Topic.DEAD_LETTERS.value, each.key or b"", _letter(each)) for each in poison]
        sending = asyncio.run_coroutine_threadsafe(self._producer.send_all(records), self._loop)
        try:
            sending.result(QUARANTINE_TIMEOUT_S)
        except TimeoutError as error:
            sending.cancel()
            raise BrokerAway("dead letters were not confirmed") from error
        for each in poison:
            metrics.DEAD_LETTERS.labels(each.topic, each.reason).inc()
            log.error(
                "record quarantined",
                topic=each.topic,
                partition=each.partition,
                offset=each.offset,
                reason=each.reason,
                detail=each.detail,
            )


def _row(assessment: Assessment, body: bytes, taken: dict[str, Taken]) -> AssessedRow:
    done = taken.get(assessment.transfer.transfer_id, NOT_STOPPED)
    return AssessedRow(assessment=assessment, body=body, action=done.action, why=done.why, order_id=done.order_id)


def view_of(row: AssessedRow) -> DecisionView:
    """Return the decision a bank is told."""
    assessment = row.assessment
    return DecisionView(
        transfer_id=assessment.transfer.transfer_id,
        risk=assessment.risk,
        band=assessment.band,
        reasons=assessment.reasons,
        action=row.action.value,
        order_id=row.order_id,
    )


def _letter(poison: Poison) -> bytes:
    return encode(
        dead_letter(
            topic=poison.topic,
            partition=poison.partition,
            offset=poison.offset,
            key=poison.key,
            value=poison.value,
            reason=poison.reason,
            detail=poison.detail,
            program="api",
            seen_us=wall_us(),
        )
    )
