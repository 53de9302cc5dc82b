"""Checks that each stage sees every offset of its partitions, one after the other.

Offsets on our topics are contiguous, so a break means that a record the
broker holds was not delivered, or that the log itself has a hole (retention has
taken records, or a transactional producer has left its markers). Only the
broker's log can tell which; `LogReader` asks it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP

LOOK_TIMEOUT_S: Final = 3.0


class OffsetGap(Exception):
    """A stage got a later offset than the next one."""

    def __init__(self, place: TP, expected: int, found: int) -> None:
        super().__init__(f"{place.topic}[{place.partition}]: expected offset {expected}, got {found}")
        self.place = place
        self.expected = expected
        self.found = found


class Continuity:
    """The next offset of each partition that this worker owns."""

    def __init__(self) -> None:
        self._next: dict[TP, int] = {}

    def start(self, positions: Mapping[TP, int]) -> None:
        """Expect each partition to go on at its position, and no other partition at all."""
        self._next = dict(positions)

    def skip(self, gap: OffsetGap) -> None:
        """Go on behind a hole of the log, if that is still where the partition stands."""
        if self._next.get(gap.place) == gap.expected:
            self._next[gap.place] = gap.found

    def position(self, place: TP) -> int:
        """Return the next offset of a partition."""
        return self._next[place]

    def owns(self, place: TP) -> bool:
        """Return whether this worker owns a partition."""
        return place in self._next

    def admit(self, place: TP, offsets: Sequence[int]) -> None:
        """Note ascending offsets of a partition; raise `OffsetGap` at the first that is later than the next one.

        Earlier offsets are redeliveries and pass.
        """
        expected = self._next[place]
        if offsets[0] == expected and offsets[-1] == expected + len(offsets) - 1:
            self._next[place] = offsets[-1] + 1
            return
        for offset in offsets:
            if offset > expected:
                self._next[place] = expected
                raise OffsetGap(place, expected, offset)
            if offset == expected:
                expected += 1
        self._next[place] = expected


class LogReader:
    """Looks into the broker's log with a consumer of its own; blocks, so call it from a thread."""

    def __init__(self, broker: str) -> None:
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._settings = {
            "bootstrap.servers": broker,
            "group.id": "sluice-log-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "log_level": 2,
        }

    def first_from(self, place: TP, offset: int) -> int | None:
        """Return the first offset the log holds at or after ``offset``; None if the broker does not tell in time."""
        with self._lock:
            try:
                if self._consumer is None:
                    self._consumer = Consumer(self._settings)
                self._consumer.assign([TopicPartition(place.topic, place.partition, offset)])
                record = self._consumer.poll(LOOK_TIMEOUT_S)
                self._consumer.unassign()
            except KafkaException:
                return None
        return None if record is None or record.error() is not None else record.offset()
