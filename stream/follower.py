"""Follows a compacted topic from its beginning, in a thread with a consumer of its own.

No group and no commits: every process reads all of it. A broker that goes and
comes back is no matter; librdkafka goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from stream.reader import POLL_S, Config, Reader

METADATA_TIMEOUT_S: Final = 10.0


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


class Follower(Reader):
    """Calls ``apply`` with every record of ``topic``, old and new, in the order of each partition."""

    def __init__(self, broker: str, topic: str, apply: Callable[[Record], None]) -> None:
        config: Config = {
            "bootstrap.servers": broker,
            "group.id": "sluice-follower",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
        }
        super().__init__(f"follow-{topic}", config)
        self._topic = topic
        self._apply = apply
        self._caught_up = threading.Event()

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

    def _ended(self) -> None:
        self._caught_up.set()

    def _turn(self) -> None:
        message = self._consumer.poll(POLL_S)
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
