"""Two replicas on one PostgreSQL: one relays at a time, and no old state is put behind its successor."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from api.store.database import Database, StoreAway
from api.store.migrate import LOCK_KEY, upgrade
from api.store.relaylock import FRESH_S, RELAY_KEY, RETRY_S
from tests.deploy_files import ROOT
from tests.pgkit import PostgresServer
from tests.relaykit import DELIVERY_S, Hand, Replica, commit, end_session, replica, states_on

pytestmark = pytest.mark.postgres

RUNBOOK = ROOT / "docs" / "runbook" / "SluiceRecordsUnpublished.md"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    database = Database(postgres.new_database())
    upgrade(database.engine)
    database.stop()
    return database.url


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
async def one(url: str, address: str, clock: Hand) -> AsyncIterator[Replica]:
    async with replica(url, address, "one", clock) as made:
        yield made


@pytest.fixture
async def two(url: str, address: str, clock: Hand) -> AsyncIterator[Replica]:
    async with replica(url, address, "two", clock) as made:
        yield made


async def stands_still_with(state: int, holder: Replica) -> asyncio.Task[int]:
    """Let the holder read a state, and stand still before it sends it."""
    await commit(holder.database, state)
    holder.lock.stall()
    sending = asyncio.create_task(holder.relay.send_some())
    reading = asyncio.create_task(holder.lock.has_read.wait())
    await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
    assert not sending.done(), f"it did not read: {sending}"
    return sending


async def taken_over(holder: Replica, successor: Replica) -> asyncio.Task[int]:
    """Let the holder stand still with state 1 and lose its session; state 2 waits for the successor."""
    sending = await stands_still_with(1, holder)
    await end_session(successor.database)
    await commit(successor.database, 2)
    assert await successor.relay.send_some() == 0
    return sending


def test_migrations_do_not_wait_for_the_relay() -> None:
    assert RELAY_KEY != LOCK_KEY


async def test_one_relays_until_its_session_ends_and_the_other_then_waits_first(
    one: Replica, two: Replica, address: str, clock: Hand
) -> None:
    await commit(two.database, 1)
    assert (await one.relay.send_some(), await two.relay.send_some()) == (1, 0)
    await commit(two.database, 2)
    clock.now_s += RETRY_S
    assert (await two.relay.send_some(), await one.relay.send_some()) == (0, 1)
    await end_session(two.database)
    await commit(two.database, 3)
    clock.now_s += RETRY_S
    assert await two.relay.send_some() == 0
    clock.now_s += FRESH_S + DELIVERY_S
    assert await two.relay.send_some() == 0
    clock.now_s += two.lock.handover_s - FRESH_S - DELIVERY_S
    assert await two.relay.send_some() == 1
    await commit(one.database, 4)
    with pytest.raises(StoreAway):
        await one.relay.send_some()
    clock.now_s += RETRY_S
    assert (await one.relay.send_some(), await two.relay.send_some()) == (0, 1)
    assert await states_on(address) == [1, 2, 3, 4]


async def test_the_runbook_finds_the_session_whose_turn_it_is(one: Replica, two: Replica) -> None:
    await commit(one.database, 1)
    assert (await one.relay.send_some(), await two.relay.send_some()) == (1, 0)
    (asked,) = re.findall(r"```sql\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    last_sender, session, _ = asked.split(";")
    assert await two.database.read(lambda c: c.execute(text(last_sender)).scalar_one()) == "one"
    found = await two.database.read(lambda c: c.execute(text(session)).one())
    assert found.pid == await one.lock.read(lambda c: c.execute(text("SELECT pg_backend_pid()")).scalar_one())


async def test_what_a_former_holder_read_before_it_stood_still_is_never_sent(
    one: Replica, two: Replica, address: str, clock: Hand
) -> None:
    sending = await taken_over(one, two)
    clock.now_s += two.lock.handover_s
    assert await two.relay.send_some() == 2
    one.lock.go_on.set()
    assert await sending == 0
    with pytest.raises(StoreAway):
        await one.relay.send_some()
    assert await states_on(address) == [1, 2]


async def test_what_a_former_holder_still_sends_lies_before_what_its_successor_sends(
    one: Replica, two: Replica, address: str, clock: Hand
) -> None:
    sending = await taken_over(one, two)
    clock.now_s += FRESH_S
    one.lock.go_on.set()
    assert (await sending, await two.relay.send_some()) == (1, 0)
    clock.now_s += two.lock.handover_s
    assert await two.relay.send_some() == 1
    assert await states_on(address) == [1, 2]


async def test_a_holder_that_was_merely_slow_reads_again(one: Replica, address: str, clock: Hand) -> None:
    sending = await stands_still_with(1, one)
    clock.now_s += FRESH_S + 0.1
    one.lock.go_on.set()
    assert (await sending, await one.relay.send_some()) == (0, 1)
    assert await states_on(address) == [1]


@pytest.mark.parametrize("settled", [True, False])
async def test_the_next_one_waits_only_if_something_may_be_under_way(
    one: Replica, two: Replica, clock: Hand, settled: bool
) -> None:
    await commit(one.database, 1)
    assert await one.relay.send_some() == 1
    await commit(one.database, 2)
    await one.leave(settled=settled)
    assert await two.relay.send_some() == (1 if settled else 0)
    clock.now_s += two.lock.handover_s
    assert await two.relay.send_some() == (0 if settled else 1)


async def test_a_restarted_holder_goes_on_at_once(one: Replica, url: str, address: str, clock: Hand) -> None:
    await commit(one.database, 1)
    assert await one.relay.send_some() == 1
    await end_session(one.database)
    await commit(one.database, 2)
    async with replica(url, address, "one", clock) as again:
        assert await again.relay.send_some() == 1


async def test_one_that_was_restarted_while_it_waited_waits_anew(
    one: Replica, two: Replica, url: str, address: str, clock: Hand
) -> None:
    await commit(one.database, 1)
    assert await one.relay.send_some() == 1
    await end_session(one.database)
    await commit(one.database, 2)
    assert await two.relay.send_some() == 0
    await end_session(one.database)
    async with replica(url, address, "two", clock) as again:
        assert await again.relay.send_some() == 0
        clock.now_s += again.lock.handover_s
        assert await again.relay.send_some() == 1


async def test_the_server_ends_a_silent_session_but_none_that_waits_for_its_turn(one: Replica) -> None:
    silence = await one.lock.read(lambda c: c.execute(text("SHOW idle_session_timeout")).scalar_one())
    assert silence == f"{one.lock.silence_s:.0f}s"
    assert one.lock.silence_s > one.lock.handover_s > FRESH_S + DELIVERY_S
