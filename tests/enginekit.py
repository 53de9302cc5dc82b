"""What tests of the stream's engine need: apps of stock Faust and of ours, agents that count, and what they leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import faust
from confluent_kafka import Consumer, TopicPartition
from faust.types import TP

from stream import driver
from stream.settings import WorkerSettings
from tests.streamkit import WAIT_S, new_producer

GROUP, WORK, COUNTS = "losses", "work", "counts"
CHANGELOG = f"{GROUP}-{COUNTS}-changelog"
PLACE = TP(WORK, 0)
KEY = b"k"
PARTITIONS = 2
"""How many of a topic's partitions our app takes; the embedded broker has more."""

SESSION_S = 3.0
SHORT_SESSION = {
    "broker_session_timeout": SESSION_S,
    "broker_rebalance_timeout": SESSION_S,
    "broker_heartbeat_interval": SESSION_S / 6,
}
"""Settings of stock Faust; the embedded broker lets a group rebalance for as long as a session."""

POLL_S = 0.05
COMMIT_EVERY_S = 0.2

Agent = Callable[[Any], Awaitable[None]]


def write(address: str, *values: bytes, topic: str = WORK, key: bytes | None = KEY) -> None:
    """Write to partition 0; without a ``key`` each value is its own."""
    producer = new_producer(address)
    for value in values:
        producer.produce(topic, value, value if key is None else key, 0)
    assert producer.flush(WAIT_S) == 0


def numbers(first: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, end)]


def committed(address: str, place: TP = PLACE, group: str = GROUP) -> int:
    """Return a group's next offset; negative if it has committed none."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "log_level": 2})
    (found,) = consumer.committed([TopicPartition(place.topic, place.partition)], timeout=WAIT_S)
    consumer.close()
    return int(found.offset)


async def until(done: Callable[[], bool]) -> None:
    """Wait until ``done``, which may block, says so."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110 - a broker has no event
            await asyncio.sleep(POLL_S)


def stock_app(address: str, folder: Path, *, kind: type[faust.App] = faust.App, **settings: Any) -> faust.App:
    """Return Faust as it is."""
    own = {
        "broker": f"kafka://{address}",
        "datadir": str(folder),
        "autodiscover": False,
        "web_enabled": False,
        "topic_partitions": PARTITIONS,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": "earliest",
        "broker_commit_interval": COMMIT_EVERY_S,
    }
    return kind(GROUP, **(own | settings))


def our_app(address: str, folder: Path) -> faust.App:
    return driver.create_app(WorkerSettings(broker=address, group=GROUP, partitions=PARTITIONS, data_dir=folder))


@asynccontextmanager
async def working(app: faust.App, agent: Agent) -> AsyncIterator[None]:
    """Run an app with one agent; Faust itself would wait for ever for one that is not through with its record."""
    topic = app.topic(WORK, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=WORK)(agent)
    async with asyncio.timeout(WAIT_S):
        await app.start()
    try:
        yield
    finally:
        async with asyncio.timeout(WAIT_S):
            await app.stop()


# --- counting ----------------------------------------------------------------
class Tally(NamedTuple):
    """What is kept of a key: how many records it has had, and the last one's offset, by which a redelivery is known."""

    count: int = 0
    last: int = -1

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(*map(int, value.split()))

    def encode(self) -> bytes:
        return b"%d %d" % self


def counts_table(app: faust.App) -> Any:
    return app.Table(COUNTS, key_type=bytes, value_type=bytes)


def tally(table: Any) -> Tally:
    return Tally.decode(table[KEY]) if KEY in table else Tally()


def count(table: Any, offset: int) -> bool:
    """Count a record unless it looks like one that was; return whether it was counted."""
    found = tally(table)
    if offset <= found.last:
        return False
    table[KEY] = Tally(found.count + 1, offset).encode()
    return True


def changelog(address: str) -> list[Tally]:
    """Return what was written to the changelog of an app that runs, in order."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "eye", "log_level": 2})
    place = TopicPartition(CHANGELOG, 0, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=WAIT_S)
    consumer.assign([place])
    found = [Tally.decode(record.value() or b"") for record in consumer.consume(end, WAIT_S)] if end else []
    consumer.close()
    return found
