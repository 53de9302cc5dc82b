"""Stock Faust throws records away at the end of a recovery with a backlog; with `stream.flow` it does not.

The window is the time it takes to look up the committed offsets: what is
fetched in it is cleared when the flow is resumed. Here that look-up lasts until
records have come, as it may from a busy or distant broker, and the agent takes
its time until then, so that the loss does not depend on luck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from stream.flow import KeepingFlow
from tests.enginekit import started
from tests.streamkit import WAIT_S, new_producer

POLL_S = 0.05
BACKLOG = 200
PARTITIONS = range(4)
END = b"end"
END_EVERY_S = 0.5


class SlowConsumer(stock.Consumer):
    """The stock consumer, told of the committed offsets late."""

    async def perform_seek(self) -> None:
        await super().perform_seek()
        await self.app.arrived.wait()
        self.app.looked_up.set()


class SlowTransport(stock.Transport):
    Consumer = SlowConsumer


class StockApp(faust.App):
    """Faust as it is."""

    flow = FlowControlEvent

    @cached_property
    def arrived(self) -> asyncio.Event:
        """Set once the agent has a record and others wait behind it."""
        return asyncio.Event()

    @cached_property
    def looked_up(self) -> asyncio.Event:
        """Set once the committed offsets have been looked up."""
        return asyncio.Event()

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        return self.flow(loop=self.loop)

    def _new_transport(self) -> Any:
        return SlowTransport(self.conf.broker_consumer, self)


class CuredApp(StockApp):
    """The same with our flow control."""

    flow = KeepingFlow


def write(address: str, topic: str, values: Sequence[bytes]) -> None:
    producer = new_producer(address)
    for number, value in enumerate(values):
        producer.produce(topic, value, b"k%d" % number, number % len(PARTITIONS))
    assert producer.flush(WAIT_S) == 0


async def delivered(kind: type[StockApp], address: str, folder: Path) -> set[tuple[TP, int]]:
    """Run an app with a table and a backlog until it has come to what was written after; return what its agent got."""
    name = kind.__name__.lower()
    write(address, f"{name}-counts-changelog", [b"%d" % number for number in range(40)])
    write(address, f"{name}-work", [b"%d" % number for number in range(BACKLOG)])
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
    ended: set[TP] = set()

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            if event.value == END:
                ended.add(event.message.tp)
                continue
            seen.add((event.message.tp, event.message.offset))
            while not app.arrived.is_set() and not stream.channel.queue.qsize():  # noqa: ASYNC110 - a queue has no event
                await asyncio.sleep(POLL_S)
            app.arrived.set()
            await app.looked_up.wait()

    app.agent(app.topic(f"{name}-work", key_type=bytes, value_type=bytes, value_serializer="raw"), name="work")(agent)
    async with started(app), asyncio.timeout(2 * WAIT_S):
        while len(ended) < len(PARTITIONS):
            await asyncio.to_thread(write, address, f"{name}-work", [END] * len(PARTITIONS))
            await asyncio.sleep(END_EVERY_S)
    return seen


@pytest.mark.slow
async def test_a_backlog_survives_a_recovery_only_with_the_cure(address: str, tmp_path: Path) -> None:
    assert len(await delivered(StockApp, address, tmp_path)) < BACKLOG
    assert len(await delivered(CuredApp, address, tmp_path)) == BACKLOG
