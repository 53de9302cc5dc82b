"""Records that stock Faust loses: an agent fails on them, or they were fetched while their partition was paused.

Faust as it is runs on a real (embedded) broker. A record that no agent has worked on
and that lies before the committed offset is one that nobody will ever see again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import Consumer, TopicPartition
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from stream import driver
from stream.broker import EmbeddedBroker
from stream.settings import WorkerSettings
from tests.streamkit import WAIT_S, new_producer

pytestmark = pytest.mark.slow

GROUP, WORK = "losses", "work"
RECORDS = 40
"""How many are written at once; enough for a fetch, few enough for one."""

BAD = b"7"
END = b"end"
POLL_S = 0.05
COMMIT_EVERY_S = 0.2
PAUSE_S = 0.1

Agent = Callable[[Any], Awaitable[None]]


@pytest.fixture
def address() -> Iterator[str]:
    broker = EmbeddedBroker()
    write(broker.bootstrap, *(b"%d" % number for number in range(RECORDS)))
    yield broker.bootstrap
    broker.close()


def write(address: str, *values: bytes) -> None:
    producer = new_producer(address)
    for value in values:
        producer.produce(WORK, value, b"k", 0)
    assert producer.flush(WAIT_S) == 0


def committed(address: str) -> int:
    """Return the group's next offset; negative if it has committed none."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": GROUP, "log_level": 2})
    (place,) = consumer.committed([TopicPartition(WORK, 0)], timeout=WAIT_S)
    consumer.close()
    return int(place.offset)


async def until(done: Callable[[], bool]) -> None:
    """Wait until ``done``, which may block, says so."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110 - a broker has no event
            await asyncio.sleep(POLL_S)


def stock_app(address: str, folder: Path) -> faust.App:
    """Return Faust as it is."""
    return faust.App(
        GROUP,
        broker=f"kafka://{address}",
        datadir=str(folder),
        autodiscover=False,
        web_enabled=False,
        topic_partitions=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=COMMIT_EVERY_S,
    )


def our_app(address: str, folder: Path) -> faust.App:
    return driver.create_app(WorkerSettings(broker=address, group=GROUP, partitions=1, data_dir=folder))


@asynccontextmanager
async def working(app: faust.App, agent: Agent) -> AsyncIterator[None]:
    """Run an app with one agent."""
    topic = app.topic(WORK, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=WORK)(agent)
    await app.start()
    try:
        yield
    finally:
        await app.stop()


# --- an agent that fails -----------------------------------------------------
class Failing:
    """Agents with a bug that one record brings out."""

    def __init__(self) -> None:
        self.done: list[bytes] = []

    def work(self, value: bytes) -> None:
        if value == BAD:
            raise KeyError("a bug")
        self.done.append(value)

    async def by_event(self, stream: Any) -> None:
        async for value in stream:
            self.work(value)

    async def by_batch(self, stream: Any) -> None:
        async for values in stream.take(10, within=0.1):
            for value in values:
                self.work(value)


@pytest.mark.parametrize("style", ["by_event", "by_batch"])
async def test_stock_faust_commits_past_what_an_agent_failed_on(address: str, tmp_path: Path, style: str) -> None:
    """Ours ends instead and commits nothing of it: `test_a_bug_in_an_agent_ends_the_worker_and_loses_nothing`."""
    failing = Failing()
    async with working(stock_app(address, tmp_path), getattr(failing, style)):
        await until(lambda: committed(address) == RECORDS)
    assert BAD not in failing.done


# --- fetched while paused ----------------------------------------------------
class Pausing(stock.Consumer):
    """The stock consumer, whose partition is paused while records beyond the first `RECORDS` are on their way to it.

    Faust itself pauses so where a recovery or a rebalance begins during a fetch.
    """

    paused = False

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - as in Faust
        records = await super()._getmany(active_partitions, timeout)
        late = any(record.offset >= RECORDS for each in records.values() for record in each)
        if late and not self.paused:
            self.paused = True
            self.pause_partitions([TP(WORK, 0)])
            asyncio.get_running_loop().call_later(PAUSE_S, self.resume_partitions, [TP(WORK, 0)])
        return records


class OurPausing(driver.Consumer, Pausing):
    """Our consumer, paused in the same way."""


async def run_over_a_pause(app: Any, kind: type[Pausing], address: str, agent: Agent, seen: list[bytes]) -> None:
    """Write, pause while more is fetched, and write the last record; return once the agent has ``seen`` that."""
    app.transport.Consumer = kind
    async with working(app, agent):
        await until(lambda: len(seen) == RECORDS)
        write(address, *(b"%d" % number for number in range(RECORDS, 2 * RECORDS)))
        await until(lambda: bool(app.consumer.paused))
        write(address, END)
        await until(lambda: END in seen)
        if kind is Pausing:
            await until(lambda: committed(address) == 2 * RECORDS + 1)


async def test_stock_faust_drops_what_is_fetched_while_paused_and_commits_past_it(address: str, tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    await run_over_a_pause(stock_app(address, tmp_path), Pausing, address, agent, seen)
    assert len(seen) == RECORDS + 1


async def test_ours_fetches_it_again_and_leaves_commits_to_the_epoch(address: str, tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def agent(stream: Any) -> None:
        async for chunks in stream.batches(RECORDS):
            seen.extend(record.value for chunk in chunks for record in chunk.records)

    await run_over_a_pause(our_app(address, tmp_path), OurPausing, address, agent, seen)
    assert seen == [b"%d" % number for number in range(2 * RECORDS)] + [END]
    assert committed(address) < 0
