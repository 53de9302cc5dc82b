"""Work in flight over a rejoin: a recovery sets stock Faust's tables back under what agents have in hand.

A table that counts, told by the last offset what it has had already. Stock Faust
runs here with the cure of `stream.flow`, so that the loss which that mends is not in
the way. Ours ends, or waits until the changelog has everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from mode.utils.objects import cached_property

from models.wire import Topic
from stream.exitcodes import ExitCode
from stream.flow import KeepingFlow
from stream.tables import AccountState, decode_state, partition_of
from stream.topics import changelog_topic, ensure_topics
from tests.enginekit import (
    CHANGELOG,
    SHORT_SESSION,
    Tally,
    changelog,
    committed,
    count,
    counts_table,
    numbers,
    stock_app,
    tally,
    until,
    working,
    write,
)
from tests.streamkit import Eye, WorkerProcess, assessments, ids, post, transfer

pytestmark = pytest.mark.slow

IN_HAND = 2
"""Offset of the record that an agent has in hand when the group rejoins."""


class App(faust.App):
    """Faust as it is, but for the flow control."""

    @cached_property
    def flow_control(self) -> KeepingFlow:
        return KeepingFlow(loop=self.loop)


class HoldingProducer(stock.Producer):
    """The stock producer, whose writes to the changelog stay under way as long as `free` is not set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        if topic == CHANGELOG:
            await self.free.wait()
        return await super().send(topic, *args, **kwargs)


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """Yield a stack of what to do at the end, however the test ends."""
    with ExitStack() as stack:
        yield stack


class Hand:
    """What an agent got, and the one record that it keeps in its hand until it is let go."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.holds = asyncio.Event()
        self.lets_go = asyncio.Event()

    async def take(self, offset: int) -> None:
        self.got.append(offset)
        if offset == IN_HAND and not self.lets_go.is_set():
            self.holds.set()
            await self.lets_go.wait()


class Scene:
    """An app of stock Faust with a table, whose first count the changelog has and whose second is under way to it."""

    def __init__(self, address: str, folder: Path, **settings: Any) -> None:
        self._address = address
        self.app: Any = stock_app(address, folder, kind=App, **SHORT_SESSION, **settings)
        self.app.transport.Producer = HoldingProducer
        self.table = counts_table(self.app)

    def written(self) -> list[Tally]:
        """Return what the changelog has so far."""
        return changelog(self._address)

    async def work_up_to(self, hand: Hand) -> None:
        """Have one record counted and committed, one counted, and the next in the agent's hand."""
        write(self._address, *numbers(0, 1))
        await until(lambda: committed(self._address) == 1)
        await until(lambda: self.written() == [Tally(1, 0)])
        self.app.producer.free.clear()
        write(self._address, *numbers(1, 3))
        await until(hand.holds.is_set)
        assert hand.got == [0, 1, IN_HAND]
        assert tally(self.table) == Tally(2, 1)
        assert self.written() == [Tally(1, 0)]

    def rejoin(self) -> int:
        """Have the worker join its group anew; return the generation it has now."""
        thread = self.app.consumer._thread
        thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator.request_rejoin)
        return int(self.app.consumer_generation_id)

    async def rejoined(self, before: int) -> None:
        """Wait for the recovery of a later generation than ``before``."""
        await until(lambda: self.app.consumer_generation_id > before and not self.app.rebalancing)


async def test_stock_faust_works_on_what_it_took_before_a_recovery_and_drops_what_comes_again(
    address: str, tmp_path: Path
) -> None:
    """Faust does not wait for its agents here: a batch of `noack_take` is unacknowledged for as long as work lasts."""
    scene, hand = Scene(address, tmp_path, stream_wait_empty=False), Hand()

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            await hand.take(event.message.offset)
            if not count(scene.table, event.message.offset) or event.message.offset == 0:
                event.ack()

    async with working(scene.app, agent):
        await scene.work_up_to(hand)
        await scene.rejoined(scene.rejoin())
        assert tally(scene.table) == Tally(1, 0), "the recovery has set the table back"
        hand.lets_go.set()
        await until(lambda: {1, IN_HAND} <= set(hand.got[IN_HAND + 1 :]))
        await until(lambda: committed(address) == 3)
        scene.app.producer.free.set()
        await until(lambda: len(scene.written()) == 3)
    assert scene.written()[-1] == Tally(2, 2), "three records, and two are counted"


async def test_stock_faust_waits_for_its_agents_at_a_rejoin_but_not_for_their_changelog(
    address: str, tmp_path: Path
) -> None:
    scene, hand = Scene(address, tmp_path), Hand()

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await hand.take(event.message.offset)
            count(scene.table, event.message.offset)

    async with working(scene.app, agent):
        await scene.work_up_to(hand)
        before = scene.rejoin()
        await until(lambda: scene.app.rebalancing)
        hand.lets_go.set()
        await scene.rejoined(before)
        await until(lambda: committed(address) == 3)
        assert len(scene.written()) == 1, "committed without its changelog"
        assert tally(scene.table) == Tally(1, 0), "the recovery has set the table back"
        scene.app.producer.free.set()
        write(address, *numbers(3, 4))
        await until(lambda: scene.written()[-1].last == 3)
    assert scene.written()[-1] == Tally(2, 3), "four records, and two are counted"


# --- ours --------------------------------------------------------------------
COUNT = 20
OURS = "sluice"


def profiles(address: str) -> list[AccountState]:
    """Return the paying accounts that the changelog of our workers holds."""
    eye = Eye(address, changelog_topic(OURS), decode_state)
    found = [state for state in eye.settle() if state.profile.outflow.count]
    eye.close()
    return found


@pytest.mark.parametrize(
    ("call", "code"),
    [("reset_generation", ExitCode.MEMBERSHIP_LOST), ("request_rejoin", ExitCode.DRAIN_TIMEOUT)],
    ids=["given up", "asked to rejoin"],
)
async def test_ours_ends_over_work_in_flight_and_nothing_is_short_after(
    address: str, tmp_path: Path, cleanup: ExitStack, call: str, code: ExitCode
) -> None:
    ensure_topics(address, 4)
    place = TP(Topic.TRANSFERS.value, partition_of(b"icbc/A1", 4))
    module, settings = (
        "tests.integration.rejoining_worker",
        {"rejoin": call, "confirm_timeout_s": 5.0, "drain_timeout_s": 1.0},
    )
    worker = WorkerProcess(address, tmp_path, "rejoining", module=module, **settings)
    cleanup.callback(worker.kill)
    worker.start()
    post(address, [transfer(number) for number in range(COUNT // 2)])
    await until(lambda: b"changelog write under way" in worker.log.read_bytes())
    post(address, [transfer(number) for number in range(COUNT // 2, COUNT)])
    assert worker.wait() == code
    assert b"a batch is in memory" in worker.log.read_bytes()
    assert committed(address, place, OURS) < 0
    assert profiles(address) == []
    again = WorkerProcess(address, tmp_path, "again")
    cleanup.callback(again.kill)
    again.start()
    view = assessments(address)
    view.until(lambda seen: len(set(ids(seen))) == COUNT)
    assert again.stop() == ExitCode.OK
    view.close()
    last = profiles(address)[-1]
    assert (last.profile.outflow.count, last.debit_offset) == (COUNT, COUNT - 1)
    assert committed(address, place, OURS) == COUNT
