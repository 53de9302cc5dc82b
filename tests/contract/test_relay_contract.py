"""What a relay promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select

from api.gauges import Gauges
from api.producer import BrokerAway, Record, TopicProducer
from api.relay import Relay, turn_of
from api.store import publications
from api.store.database import Database
from api.store.tables import relay_holder
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, until
from tests.controlkit import T0
from tests.deskkit import Station
from tests.relaykit import commit, states_on


def told_age_s() -> float | None:
    return REGISTRY.get_sample_value("sluice_unpublished_oldest_seconds")


class Unconfirmed(TopicProducer):
    """Sends, and hears nothing of it."""

    handed_over = 0

    async def send_all(self, records: Sequence[Record]) -> None:
        self.handed_over += len(records)
        await asyncio.Event().wait()


@pytest.fixture
async def producer(address: str) -> AsyncIterator[TopicProducer]:
    made = TopicProducer(address)
    made.start(asyncio.get_running_loop())
    yield made
    made.stop()


async def waiting(database: Database) -> int:
    return len(await database.read(lambda c: publications.unpublished(c, 9)))


async def run_until_empty(relay: Relay, database: Database) -> None:
    async def sent() -> bool:
        return not await waiting(database)

    task = asyncio.create_task(relay.run())
    await until(sent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_relay_sends_in_order_and_the_next_one_goes_on_at_once(
    database: Database, address: str, producer: TopicProducer
) -> None:
    for states, instance in (([1, 2, 3], "one"), ([4, 5], "two")):
        await commit(database, *states)
        await run_until_empty(Relay(database, producer, turn_of(database, instance, 3_600.0)), database)
    assert await states_on(address) == [1, 2, 3, 4, 5]


async def test_the_age_of_what_waits_longest_is_told(
    database: Database, producer: TopicProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.gauges.wall_us", lambda: 100_000_000)
    desk = Station(database, FakeBank(), ManualClock(T0))
    gauges = Gauges(database, desk.transactor, ["ccb"])
    told = []
    for at_us in (30_000_000, 99_000_000):
        await commit(database, at_us, at_us=at_us)
        await database.read(gauges.refresh)
        told.append(told_age_s())
    await run_until_empty(Relay(database, producer, turn_of(database, "one", 5.0)), database)
    await database.read(gauges.refresh)
    assert [*told, told_age_s()] == [70.0, 70.0, 0.0]


async def test_what_the_broker_has_not_confirmed_waits(database: Database, address: str) -> None:
    nobody = TopicProducer("127.0.0.1:1", confirm_timeout_s=0.1)
    nobody.start(asyncio.get_running_loop())
    turn = turn_of(database, "one", 0.1)
    try:
        await commit(database, 1)
        with pytest.raises(BrokerAway):
            await Relay(database, nobody, turn).send_some()
        assert await waiting(database) == 1
    finally:
        await turn.leave(settled=False)
        nobody.stop()


async def test_a_relay_that_ends_amid_sending_leaves_word_of_it(database: Database, address: str) -> None:
    producer = Unconfirmed(address)
    await commit(database, 1)
    task = asyncio.create_task(Relay(database, producer, turn_of(database, "one", 5.0)).run())

    async def handed_over() -> bool:
        return producer.handed_over > 0

    await until(handed_over)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    holder = await database.read(lambda c: c.execute(select(relay_holder.c.instance)).scalar_one())
    assert holder == ("" if database.dialect == "sqlite" else "one")
