"""Topics in and out as a `Wire`: payments go onto one topic, answers come from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

from bench.schedule import Passage, WallClock, drive
from bench.traffic import Payment
from models.wire import ACCEPTED_HEADER, PARTITIONER, Topic
from stream.topics import admin_client, is_embedded

METADATA_S: Final = 10.0
POLLED: Final = 1_000
DRAIN_S: Final = 30.0
FLUSH_S: Final = 10.0

LINGER_MS: Final = 5
"""How long the loader gathers payments of a partition: what Kafka's clients do unless told otherwise.

It is part of the latencies. With 1 ms nearly every payment is a request of its own, and the broker's work on those is
a third of all that the two cores do."""


class Route(msgspec.Struct, frozen=True):
    """Topic that a program reads, and the one it writes."""

    source: str = Topic.TRANSFERS.value
    sink: str = Topic.ASSESSMENTS.value


class Source(Protocol):
    """Where payments come from."""

    def take(self, count: int) -> list[Payment]:
        """Return the next payments."""
        ...

    def number_of(self, transfer_id: str) -> int:
        """Return the number of a transfer of ours, or -1 for somebody else's."""
        ...


class _Id(msgspec.Struct):
    transfer_id: str


class _Detector(msgspec.Struct):
    name: str
    version: str


class _Answer(msgspec.Struct):
    """The part of an assessment, or of a simpler program's output, that is read here."""

    transfer: _Id | None = None
    transfer_id: str = ""
    scores: list[_Detector] = []


_decode = msgspec.json.Decoder(_Answer).decode


class KafkaWire:
    """One producer and one consumer for a route, for any number of runs after each other.

    The consumer starts at the end of the sink. One thread does everything, so
    that loader and probe do not wait for each other's turn.
    """

    def __init__(self, broker: str, route: Route, traffic: Source) -> None:
        self._traffic = traffic
        self._source = route.source
        self._payments: list[Payment] = []
        self._first = 0
        self.panel_version = ""
        """Version of the panel named in the latest answers; empty where no detectors score."""
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "partitioner": PARTITIONER,
                "linger.ms": LINGER_MS,
                "compression.type": "lz4",
                "log_level": 2,
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "sluice-bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
                "log_level": 2,
            }
        )
        self._consumer.assign(ends(self._consumer, route.sink))

    def send(self, number: int, due_us: int) -> None:
        """Send a payment, dated by its due time."""
        payment = self._payments[number]
        header: list[tuple[str, str | bytes | None]] = [(ACCEPTED_HEADER, str(due_us).encode())]
        self._producer.produce(self._source, payment.value, payment.key, headers=header)

    def arrived(self) -> Sequence[int]:
        """Return the numbers of what came out; see `Wire.arrived`."""
        self._producer.poll(0)
        found = []
        for message in self._consumer.consume(POLLED, 0):
            if message.error():
                raise KafkaException(message.error())
            answer = _decode(message.value() or b"")
            number = self._traffic.number_of(answer.transfer.transfer_id if answer.transfer else answer.transfer_id)
            if self._first <= number < self._first + len(self._payments):
                found.append(number - self._first)
            if answer.scores:
                self.panel_version = answer.scores[0].version
        return found

    def run(self, *, rate: float, count: int, drain_s: float = DRAIN_S) -> Passage:
        """Drive ``count`` payments of the traffic through at ``rate`` per second."""
        self._payments = self._traffic.take(count)
        self._first = self._payments[0].number
        return drive(self, rate=rate, count=count, drain_s=drain_s, clock=WallClock())

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.flush(FLUSH_S)
        self._consumer.close()


def ends(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """Return the end of each partition of a topic."""
    numbers = consumer.list_topics(topic, timeout=METADATA_S).topics[topic].partitions
    places = [TopicPartition(topic, number) for number in numbers]
    for place in places:
        _, place.offset = consumer.get_watermark_offsets(place, timeout=METADATA_S)
    return places


def make_topics(broker: str, names: Sequence[str], partitions: int) -> None:
    """Make topics that are missing."""
    admin = admin_client(broker)
    missing = set(names) - set(admin.list_topics(timeout=METADATA_S).topics)
    if is_embedded(admin):
        for name in missing:
            admin.list_topics(name, timeout=METADATA_S)
    elif missing:
        for made in admin.create_topics([NewTopic(name, partitions, 1) for name in missing]).values():
            made.result(METADATA_S)
