"""Reads ``assessments``, ``verdicts`` and ``snapshots``: stops first, then the record of everything.

A thread of its own. Per poll, assessments in the stop band become orders in
one transaction at once; all are stored in groups a little later. Offsets are
committed after the database, so a record may come again and must then change
nothing. Trouble of the database is waited out, never skipped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from sqlalchemy.exc import DBAPIError

from api.feedsink import FeedSink, Poison, Unstored, poison_of
from api.producer import BrokerAway
from api.store.database import StoreAway
from models import wire
from models.risk.archive import cut
from models.risk.assessment import Assessment
from models.signing import check_content
from models.wire import UNREADABLE, ModelSnapshot, Topic, Verdict
from telemetry import metrics

log = structlog.get_logger(__name__)

T = TypeVar("T")

POLL_S: Final = 0.1
MAX_POLLED: Final = 500
"""Records taken at once before stops are looked for."""

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
MAX_POLL_INTERVAL_MS: Final = 1_800_000
"""How long the database may be away before the group gives our partitions to others."""

SESSION_TIMEOUT_MS: Final = 6_000
METADATA_REFRESH_MS: Final = 2_000
"""How soon a topic that is made later is found."""

JOIN_TIMEOUT_S: Final = 10.0
LAG_EVERY_S: Final = 1.0


def decode_sound(raw: bytes) -> ModelSnapshot:
    """Return a snapshot that holds what its version names and can be archived.

    Raise one of `models.wire.UNREADABLE` for another. Its signature is checked by
    whoever uses it, with the trainer's key, which the api does not know.
    """
    record = wire.decode_snapshot(raw)
    check_content(record)
    cut(record.payload)
    return record


UNUSABLE: Final = (ValueError, ArithmeticError, DBAPIError)
"""What acting on an assessment raises that can be read and says nonsense, as an evidence that is no number."""

Fed = Assessment | Verdict | ModelSnapshot
DECODERS: Final[dict[str, Callable[[bytes], Fed]]] = {
    Topic.ASSESSMENTS.value: wire.decode_assessment,
    Topic.VERDICTS.value: wire.decode_verdict,
    Topic.SNAPSHOTS.value: decode_sound,
}


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the feed reads."""

    broker: str
    topic_prefix: str = ""
    group: str
    fetch_wait_ms: int
    persist_every_s: float
    persist_max: int


class _Buffer:
    """What was read and is not stored yet, with the offsets that storing it allows to commit."""

    def __init__(self) -> None:
        self.unstored: list[Unstored] = []
        self.poison: list[Poison] = []
        self.offsets: dict[tuple[str, int], int] = {}
        self.since_s = 0.0

    def __len__(self) -> int:
        return len(self.unstored) + len(self.poison)


class Feed:
    """The consumer thread."""

    def __init__(self, settings: FeedSettings, sink: FeedSink) -> None:
        self._settings = settings
        self._sink = sink
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._buffer = _Buffer()
        self._lag_s = 0.0
        self.assigned = threading.Event()
        self.stuck = threading.Event()
        """Set while the database or the broker refuses what was read."""
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], object] = lambda: None
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.broker,
                "group.id": settings.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": settings.fetch_wait_ms,
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 3,
                "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
                "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
                "log_level": 2,
            }
        )

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Store what was read, commit it and leave the group."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            topics = [self._settings.topic_prefix + name for name in DECODERS]
            self._consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke)
            while not self._stopping.is_set():
                self._turn()
            self._store()
        except (StoreAway, BrokerAway) as error:
            log.warning("stopped with records unstored; they will come again", error=str(error))
        except BaseException as error:
            # A thread that dies must end the process, not vanish from it.
            self.failure = error
            log.critical("the feed has failed", exc_info=error)
            self.on_failure()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Leave the group; what is not stored by now comes again, and no offset of it may be committed."""
        self._buffer = _Buffer()
        self._consumer.close()

    def _turn(self) -> None:
        """Read what there is, act on it, and store the buffer when it is due."""
        messages = self._poll()
        if messages:
            metrics.BATCH_SIZE.labels("feed").observe(len(messages))
            self._take(messages)
        full = len(self._buffer) >= self._settings.persist_max
        if full or (len(self._buffer) and time.monotonic() - self._buffer.since_s >= self._settings.persist_every_s):
            self._store()

    def _poll(self) -> list[Message]:
        message = self._consumer.poll(min(POLL_S, self._settings.persist_every_s))
        messages = []
        while message is not None:
            if _is_record(message):
                messages.append(message)
            if len(messages) >= MAX_POLLED:
                break
            message = self._consumer.poll(0)
        return messages

    def _take(self, messages: Sequence[Message]) -> None:
        if not len(self._buffer):
            self._buffer.since_s = time.monotonic()
        found: list[tuple[Assessment, Message]] = []
        for message in messages:
            record = self._decode(message)
            if isinstance(record, Assessment):
                found.append((record, message))
            elif record is not None:
                self._buffer.unstored.append(Unstored(record, message))
            place = (message.topic() or "", message.partition() or 0)
            self._buffer.offsets[place] = (message.offset() or 0) + 1
        if found:
            self._act(found)

    def _act(self, found: Sequence[tuple[Assessment, Message]]) -> None:
        """Act on assessments together; where one does not allow it, on each alone: only that one is quarantined."""
        try:
            rows = self._patiently(lambda: self._sink.act([(each, message.value() or b"") for each, message in found]))
        except UNUSABLE as error:
            if len(found) == 1:
                self._buffer.poison.append(poison_of(found[0][1], "unusable", repr(error)))
                return
            for each in found:
                self._act([each])
            return
        self._sink.trace(rows, [message.headers() for _, message in found])
        self._buffer.unstored += [Unstored(row, message) for row, (_, message) in zip(rows, found, strict=True)]

    def _decode(self, message: Message) -> Fed | None:
        try:
            topic = (message.topic() or "").removeprefix(self._settings.topic_prefix)
            record: Fed = DECODERS[topic](message.value() or b"")
        except UNREADABLE as error:
            self._buffer.poison.append(poison_of(message, "undecodable", str(error)))
            return None
        return record

    def _store(self) -> None:
        """Store the buffer, quarantine the poison, then commit the offsets."""
        buffer, self._buffer = self._buffer, _Buffer()
        if not buffer.offsets:
            return
        poison = buffer.poison + self._patiently(lambda: self._sink.store(buffer.unstored))
        if poison:
            self._patiently(lambda: self._sink.quarantine(poison))
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in buffer.offsets.items()]
        try:
            if self._stopping.is_set():
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets)
        except KafkaException as error:
            log.warning("offsets not committed; the records will come again", error=str(error))
        self._measure_lag(offsets)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Run ``work`` until the database and the broker take it, or until the process stops."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                result = work()
            except (StoreAway, BrokerAway) as error:
                self.stuck.set()
                log.warning("the feed waits", error=str(error), pause_s=pause_s)
                if self._stopping.wait(pause_s):
                    raise
                pause_s = min(RETRY_MAX_S, pause_s * 2)
            else:
                self.stuck.clear()
                return result

    def _measure_lag(self, offsets: Sequence[TopicPartition]) -> None:
        if time.monotonic() - self._lag_s < LAG_EVERY_S:
            return
        self._lag_s = time.monotonic()
        for place in offsets:
            marks = self._consumer.get_watermark_offsets(place, cached=True)
            if marks is not None and marks[1] >= 0:
                metrics.CONSUMER_LAG.labels(place.topic, place.partition).set(max(0, marks[1] - place.offset))

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("feed assigned", partitions=[f"{place.topic}/{place.partition}" for place in partitions])
        self.assigned.set()

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self.assigned.clear()
        self._store()


def _is_record(message: Message) -> bool:
    """Return whether a polled message is a record; trouble of the broker is logged and passes by itself."""
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        log.info("a topic is not there yet; workers make it", error=str(error))
    elif error.code() != KafkaError._PARTITION_EOF:
        log.warning("consumer trouble", error=str(error))
    return False
