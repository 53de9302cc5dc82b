"""Follows a compacted topic from its beginning, in a thread with a consumer of its own.

No group and no commits: every process reads all of it. A broker that goes and
comes back is no matter; librdkafka goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
METADATA_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 2.0
MAX_RECORD_BYTES: Final = 32 * 1024 * 1024


class Record(NamedTuple):
    """One record of a followed topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any = None


def record_of(message: Any) -> Record:
    """Return a message of confluent-kafka as a record."""
    place = message.topic(), message.partition(), message.offset()
    return Record(*place, message.key(), message.value(), message.headers())


class Behind(Exception):
    """A topic could not be read to its end in time."""


class Follower:
    """Calls ``apply`` with every record of ``topic``, old and new, in the order of each partition."""

    def __init__(self, broker: str, topic: str, apply: Callable[[Record], None]) -> None:
        self._topic = topic
        self._apply = apply
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._failure: BaseException | None = None
        self._ends: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"follow-{topic}", daemon=True)
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "sluice-follower",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.message.max.bytes": MAX_RECORD_BYTES,
                "fetch.wait.max.ms": 100,
                "log_level": 2,
            }
        )

    def start(self, timeout_s: float) -> None:
        """Start following, if nothing has yet; return once all that was there at the start has been applied.

        Raises `Behind` after ``timeout_s`` seconds, or what ``apply`` raised.
        """
        if self._thread.ident is None:
            self._begin()
        if not self._caught_up.wait(timeout_s):
            raise Behind(f"{self._topic} could not be read to its end within {timeout_s:g} s")
        self.check()

    def _begin(self) -> None:
        topic = self._consumer.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics[self._topic]
        self._pending = set(topic.partitions)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in topic.partitions])
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the follower, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._step(self._consumer.poll(POLL_S))
            self._consumer.close()
        except Exception as error:  # noqa: BLE001 - kept for whoever started the follower, see `check`
            log.error("follower ended", topic=self._topic, error=repr(error))
            self._failure = error
            self._caught_up.set()

    def _step(self, message: Any) -> None:
        if message is None:
            return
        error = message.error()
        if error is None:
            self._apply(record_of(message))
        elif error.code() == KafkaError._PARTITION_EOF:
            self._pending.discard(message.partition())
            if not self._pending:
                self._caught_up.set()
        elif error.fatal():
            raise KafkaException(error)
        else:
            time.sleep(POLL_S)
