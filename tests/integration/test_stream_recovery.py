"""Faust's own flow control throws records away at the end of a recovery with a backlog; that of `stream.flow` does not.

The window is the time it takes to look up the committed offsets: what is
fetched in it is cleared when the flow is resumed. Here that look-up lasts until
records have come, as it may from a busy or distant broker, and the agent takes
its time until then, so that the loss does not depend on luck. All else is ours,
which has none of the other ways in which Faust loses records (`test_stream_losses`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from stream import driver
from stream.flow import KeepingFlow
from tests.enginekit import COUNTS, GROUP, PARTITIONS, POLL_S, WORK, counts_table, our_app, working
from tests.streamkit import WAIT_S, new_producer

BACKLOG = 200
END = b"end"
END_EVERY_S = 0.5


def write(address: str, topic: str, values: Sequence[bytes]) -> None:
    producer = new_producer(address)
    for number, value in enumerate(values):
        producer.produce(topic, value, b"k%d" % number, number % PARTITIONS)
    assert producer.flush(WAIT_S) == 0


def slow_consumer(arrived: asyncio.Event) -> type[driver.Consumer]:
    """Return our consumer, told of the committed offsets only when records have ``arrived``."""

    class SlowConsumer(driver.Consumer):
        async def perform_seek(self) -> None:
            await super().perform_seek()
            await arrived.wait()

    return SlowConsumer


async def delivered(flow: type[FlowControlEvent], address: str, folder: Path) -> set[tuple[TP, int]]:
    """Run an app with a table and a backlog until it has come to what was written after; return what its agent got."""
    write(address, f"{GROUP}-{COUNTS}-changelog", [b"%d" % number for number in range(40)])
    write(address, WORK, [b"%d" % number for number in range(BACKLOG)])
    arrived = asyncio.Event()
    """Set once the agent has records and others wait behind them."""
    app: Any = our_app(address, folder)
    app.flow_control = flow(loop=app.loop)
    app.transport.Consumer = slow_consumer(arrived)
    counts_table(app)
    seen: set[tuple[TP, int]] = set()
    ended: set[TP] = set()

    async def agent(stream: Any) -> None:
        async for chunks in stream.batches(1):
            for chunk in chunks:
                seen.update((chunk.place, record.offset) for record in chunk.records if record.value != END)
                ended.update(chunk.place for record in chunk.records if record.value == END)
            while not arrived.is_set() and not stream.channel.queue.qsize():  # noqa: ASYNC110 - a queue has no event
                await asyncio.sleep(POLL_S)
            arrived.set()
            await app.tables.recovery.completed.wait()

    async with working(app, agent), asyncio.timeout(2 * WAIT_S):
        while len(ended) < PARTITIONS:
            await asyncio.to_thread(write, address, WORK, [END] * PARTITIONS)
            await asyncio.sleep(END_EVERY_S)
    return seen


@pytest.mark.slow
async def test_fausts_flow_throws_a_backlog_away_after_a_recovery(address: str, tmp_path: Path) -> None:
    assert len(await delivered(FlowControlEvent, address, tmp_path)) < BACKLOG


@pytest.mark.slow
async def test_ours_keeps_it(address: str, tmp_path: Path) -> None:
    assert len(await delivered(KeepingFlow, address, tmp_path)) == BACKLOG
