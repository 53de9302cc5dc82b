"""Stock Faust throws records away at the end of a recovery with a backlog; with `stream.flow` it does not.

The window is the time it takes to look up the committed offsets: what is
fetched in it is cleared when the flow is resumed. Here that look-up is slow,
as it is from a busy or distant broker, so that the loss does not depend on luck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from stream.broker import EmbeddedBroker
from stream.flow import KeepingFlow
from tests.streamkit import new_producer

LOOK_UP_S = 2.5
WORK_S = 0.02
BACKLOG = 200
PARTITIONS = range(4)
QUIET_S = 3.0


class SlowConsumer(stock.Consumer):
    """The stock consumer, told of the committed offsets late."""

    async def perform_seek(self) -> None:
        await super().perform_seek()
        await asyncio.sleep(LOOK_UP_S)


class SlowTransport(stock.Transport):
    Consumer = SlowConsumer


class StockApp(faust.App):
    """Faust as it is."""

    flow = FlowControlEvent

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        return self.flow(loop=self.loop)

    def _new_transport(self) -> Any:
        return SlowTransport(self.conf.broker_consumer, self)


class CuredApp(StockApp):
    """The same with our flow control."""

    flow = KeepingFlow


@pytest.fixture
def address() -> Iterator[str]:
    broker = EmbeddedBroker()
    yield broker.bootstrap
    broker.close()


def fill(address: str, topic: str, count: int) -> None:
    producer = new_producer(address)
    for number in range(count):
        producer.produce(topic, b"%d" % number, b"k%d" % number, number % len(PARTITIONS))
    assert producer.flush(20) == 0


async def delivered(kind: type[StockApp], address: str, folder: Path) -> set[tuple[TP, int]]:
    """Run an app with a table and a backlog until it is quiet; return what its agent got."""
    name = kind.__name__.lower()
    fill(address, f"{name}-counts-changelog", 40)
    fill(address, f"{name}-work", BACKLOG)
    app = kind(
        name,
        broker=f"kafka://{address}",
        datadir=str(folder / name),
        autodiscover=False,
        web_enabled=False,
        topic_partitions=len(PARTITIONS),
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    app.Table("counts", key_type=bytes, value_type=bytes)
    seen: set[tuple[TP, int]] = set()

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            seen.add((event.message.tp, event.message.offset))
            await asyncio.sleep(WORK_S)

    app.agent(app.topic(f"{name}-work", key_type=bytes, value_type=bytes), name="work")(agent)
    await app.start()
    try:
        before = -1
        while len(seen) != before:
            before = len(seen)
            await asyncio.sleep(QUIET_S)
    finally:
        await app.stop()
    return seen


@pytest.mark.slow
async def test_a_backlog_survives_a_recovery_only_with_the_cure(address: str, tmp_path: Path) -> None:
    assert len(await delivered(StockApp, address, tmp_path)) < BACKLOG
    assert len(await delivered(CuredApp, address, tmp_path)) == BACKLOG
