"""Sets aside what no worker can use of the followed topics: each record once, for all workers and all their starts.

A follower reads its topic from the beginning, in every worker and at every
start, so it cannot tell a new bad record from one that was quarantined before.
Here the workers are a consumer group: one of them reads a partition, from where
the group has come to, and commits once the broker has the dead letters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream.deadletter import RecordFault
from stream.follower import Record, record_of
from stream.reader import POLL_S, Config, Reader

log = structlog.get_logger(__name__)

MAX_READ: Final = 100
"""Records read before the group's place in the topic is committed."""

SESSION_TIMEOUT_MS: Final = 6_000

Check = Callable[[Record], object]
"""Reads a record as its follower does; raises `RecordFault` if it cannot be used."""

SetAside = Callable[[Record, RecordFault], threading.Event]
"""Sends the dead letter of a record; the event is set once the broker has confirmed it."""


def inspectors_group(group: str) -> str:
    """Return the consumer group in which a group of workers inspects."""
    return f"{group}-inspectors"


def faults(records: Iterable[Record], checks: Mapping[str, Check]) -> list[tuple[Record, RecordFault]]:
    """Return the records that cannot be used, each with its fault."""
    found = []
    for record in records:
        try:
            checks[record.topic](record)
        except RecordFault as fault:
            found.append((record, fault))
    return found


def places(records: Iterable[Record], *, beyond: int = 0) -> list[TopicPartition]:
    """Return for each partition the place of its last record among ``records``, plus ``beyond``.

    >>> [place] = places([Record("controls", 0, 7, None, None), Record("controls", 0, 9, None, None)], beyond=1)
    >>> (place.topic, place.partition, place.offset)
    ('controls', 0, 10)
    """
    last = {(record.topic, record.partition): record.offset for record in records}
    return [TopicPartition(topic, partition, offset + beyond) for (topic, partition), offset in last.items()]


class Inspector(Reader):
    """A thread with a consumer of ``group``; ``checks`` names the topics it reads and how.

    A letter is sent only after the group has taken a commit from this member, so one that the group gave up sends none.
    A crash between a confirmed letter and the commit right after it makes that letter a second time, never none.
    """

    def __init__(self, broker: str, group: str, *, checks: Mapping[str, Check], set_aside: SetAside) -> None:
        config: Config = {
            "bootstrap.servers": broker,
            "group.id": group,
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 3,
        }
        super().__init__("inspector", config)
        self._checks = checks
        self._set_aside = set_aside

    def start(self) -> None:
        """Join the group and read; what is not committed at the end is read by whoever comes next."""
        self._subscribe()
        self._thread.start()

    def _subscribe(self) -> None:
        """Begin where the group has come to; with a callback, partitions change hands in ``consume`` alone."""
        self._consumer.subscribe(list(self._checks), on_revoke=lambda *_: None)

    def _turn(self) -> None:
        messages = self._consumer.consume(MAX_READ, POLL_S)
        self._inspect([record_of(message) for message in messages if _is_record(message.error())])

    def _inspect(self, records: Sequence[Record]) -> None:
        """Set aside the bad ones of what was read, provided that it is still ours to read."""
        found = faults(records, self._checks)
        if found and not self._commit(places(reversed(records))):
            self._consumer.unsubscribe()
            self._subscribe()
            return
        letters = [self._set_aside(record, fault) for record, fault in found]
        if records and all(self._await(letter) for letter in letters):
            self._commit(places(records, beyond=1))

    def _await(self, letter: threading.Event) -> bool:
        """Wait until a letter is confirmed (a worker ends over one that is not); return whether it was."""
        while not letter.wait(POLL_S):
            if self._stopping.is_set():
                return False
        return True

    def _commit(self, offsets: list[TopicPartition]) -> bool:
        """Commit the group's place; return whether the group took it from us."""
        try:
            return all(each.error is None for each in self._consumer.commit(offsets=offsets, asynchronous=False))
        except KafkaException as error:
            log.warning("place in the followed topics not committed; they will be read again", error=str(error))
            return False


def _is_record(error: KafkaError | None) -> bool:
    """Return whether a message is a record; raise `KafkaException` for trouble that does not pass by itself."""
    if error is not None and error.fatal():
        raise KafkaException(error)
    return error is None
