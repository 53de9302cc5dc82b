"""Records that stock Faust loses: an agent fails on them, or they were fetched while their partition was paused.

Faust as it is runs on a real (embedded) broker. A record that no agent has worked on
and that lies before the committed offset is one that nobody will ever see again; so is
a change of a table that a recovery has passed by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from stream import driver
from stream.broker import EmbeddedBroker
from tests.enginekit import (
    CHANGELOG,
    PLACE,
    Agent,
    committed,
    counts_table,
    numbers,
    our_app,
    stock_app,
    until,
    working,
    write,
)

pytestmark = pytest.mark.slow

RECORDS = 40
"""How many are written at once; enough for a fetch, few enough for one."""

ALL = numbers(0, 2 * RECORDS)
BAD = b"7"
END = b"end"
PAUSE_S = 0.1


@pytest.fixture
def address() -> Iterator[str]:
    broker = EmbeddedBroker()
    write(broker.bootstrap, *ALL[:RECORDS])
    yield broker.bootstrap
    broker.close()


def gathering(seen: list[bytes]) -> Agent:
    """Return an agent of stock Faust that keeps what it gets."""

    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    return agent


def our_gathering(seen: list[bytes]) -> Agent:
    """Return the same for our streams."""

    async def agent(stream: Any) -> None:
        async for chunks in stream.batches(RECORDS):
            seen.extend(record.value for chunk in chunks for record in chunk.records)

    return agent


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
    """The stock consumer; `place` is paused while records of it from offset `first` on are on their way.

    Faust itself pauses so where a recovery or a rebalance begins during a fetch.
    """

    place, first = PLACE, RECORDS
    on_their_way: Sequence[int] = ()

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - as in Faust
        records = await super()._getmany(active_partitions, timeout)
        late = [record.offset for record in records.get(self.place, ()) if record.offset >= self.first]
        if late and not self.on_their_way:
            self.on_their_way = late
            self.pause_partitions([self.place])
            asyncio.get_running_loop().call_later(PAUSE_S, self.resume_partitions, [self.place])
        return records


class OurPausing(driver.Consumer, Pausing):
    """Our consumer, paused in the same way."""


async def run_over_a_pause(app: Any, kind: type[Pausing], address: str, agent: Agent, seen: list[bytes]) -> None:
    """Write, pause while more is fetched, and write the last record; return once the agent has ``seen`` that."""
    app.transport.Consumer = kind
    async with working(app, agent):
        await until(lambda: len(seen) == RECORDS)
        write(address, *ALL[RECORDS:])
        await until(lambda: bool(app.consumer.on_their_way))
        write(address, END)
        await until(lambda: END in seen)
        if kind is Pausing:
            await until(lambda: committed(address) == 2 * RECORDS + 1)


async def test_stock_faust_drops_what_is_fetched_while_paused_and_commits_past_it(address: str, tmp_path: Path) -> None:
    app, seen = stock_app(address, tmp_path), list[bytes]()
    await run_over_a_pause(app, Pausing, address, gathering(seen), seen)
    assert lost(seen) == app.consumer.on_their_way


async def test_ours_fetches_it_again_and_leaves_commits_to_the_epoch(address: str, tmp_path: Path) -> None:
    seen: list[bytes] = []
    await run_over_a_pause(our_app(address, tmp_path), OurPausing, address, our_gathering(seen), seen)
    assert seen == [*ALL, END]
    assert committed(address) < 0


def lost(seen: Sequence[bytes]) -> list[int]:
    """Return the offsets of the records that are not among ``seen``."""
    return [offset for offset, value in enumerate(ALL) if value not in seen]


# --- changelog records fetched while paused ----------------------------------
class PausingRecovery(Pausing):
    """The stock consumer, paused while the first changelog records of a recovery are on their way."""

    place, first = TP(CHANGELOG, 0), 0


class OurPausingRecovery(driver.Consumer, PausingRecovery):
    """Our consumer, paused in the same way."""


async def recovered(app: Any, kind: type[PausingRecovery], address: str, agent: Agent) -> set[bytes]:
    """Recover a table from two fetches, paused during the first; return its keys."""
    write(address, *ALL, topic=CHANGELOG, key=None)
    app.transport.Consumer = kind
    app.conf.broker_max_poll_records = RECORDS
    table = counts_table(app)
    async with working(app, agent):
        await until(app.tables.recovery.completed.is_set)
        assert app.consumer.on_their_way
        return set(table)


async def test_stock_faust_recovers_a_table_without_what_is_fetched_while_paused(address: str, tmp_path: Path) -> None:
    app = stock_app(address, tmp_path)
    keys = await recovered(app, PausingRecovery, address, gathering([]))
    assert lost([*keys]) == app.consumer.on_their_way


async def test_ours_recovers_the_whole_table(address: str, tmp_path: Path) -> None:
    assert await recovered(our_app(address, tmp_path), OurPausingRecovery, address, our_gathering([])) == set(ALL)


# --- no partition active during a fetch --------------------------------------
class Emptying(stock.Consumer):
    """The stock consumer; once `armed`, its active partitions are paused just after a fetch for them has begun.

    They go on when it ends, for good as soon as one has brought records of `PLACE`, which is paused all the time.
    """

    armed = False
    brought: Sequence[int] = ()

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - as in Faust
        if not self.armed or self.brought:
            return await super()._getmany(active_partitions, timeout)
        others = set(active_partitions)
        assert PLACE not in others
        self.pause_partitions(others)
        assert not active_partitions
        records = await super()._getmany(active_partitions, timeout)
        self.brought = [record.offset for record in records.get(PLACE, ())]
        self.resume_partitions(others)
        return records


class OurEmptying(driver.Consumer, Emptying):
    """Our consumer with the same partitions paused."""


async def run_with_none_active(app: Any, kind: type[Emptying], address: str, agent: Agent, seen: list[bytes]) -> None:
    """Write to a paused partition, which is fetched all the same, then let it go on and write the last record."""
    app.transport.Consumer = kind
    async with working(app, agent):
        await until(lambda: len(seen) == RECORDS)
        app.consumer.pause_partitions([PLACE])
        app.consumer.armed = True
        write(address, *ALL[RECORDS:])
        await until(lambda: bool(app.consumer.brought))
        app.consumer.resume_partitions([PLACE])
        write(address, END)
        await until(lambda: END in seen)
        if kind is Emptying:
            await until(lambda: committed(address) == 2 * RECORDS + 1)


async def test_stock_faust_fetches_paused_partitions_if_none_is_active_and_drops_them(
    address: str, tmp_path: Path
) -> None:
    app, seen = stock_app(address, tmp_path), list[bytes]()
    await run_with_none_active(app, Emptying, address, gathering(seen), seen)
    assert lost(seen) == app.consumer.brought


async def test_ours_gives_them_back(address: str, tmp_path: Path) -> None:
    seen: list[bytes] = []
    await run_with_none_active(our_app(address, tmp_path), OurEmptying, address, our_gathering(seen), seen)
    assert seen == [*ALL, END]
