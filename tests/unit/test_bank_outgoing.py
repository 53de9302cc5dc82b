"""What a bank tells Sluice: everything, in order, whatever Sluice answers meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from models.money.types import Transfer
from simulators.outgoing import Outgoing, PostTarget, QueueFull
from tests.bankkit import transfer, until

Answer = Callable[[list[dict[str, Any]]], web.Response]


def taken(items: list[dict[str, Any]], status: str = "accepted") -> web.Response:
    results = [{"transfer_id": item["transfer_id"], "status": status} for item in items]
    return web.Response(status=202, body=msgspec.json.encode({"results": results}))


class FakeSluice:
    """Takes batches and answers by a script: one function per request, the last one for ever."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script) or [taken]
        self.batches: list[list[str]] = []
        self.keys: set[str | None] = set()

    async def handle(self, request: web.Request) -> web.Response:
        items = msgspec.json.decode(await request.read())["transfers"]
        self.keys.add(request.headers.get("X-Api-Key"))
        self.batches.append([item["transfer_id"] for item in items])
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return answer(items)

    def ids(self) -> list[str]:
        return [each for batch in self.batches for each in batch]


@asynccontextmanager
async def posting(sluice: FakeSluice, **target: Any) -> AsyncIterator[Outgoing]:
    app = web.Application()
    app.router.add_post("/v1/transfers:batch", sluice.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        fields: dict[str, Any] = {
            "url": str(server.make_url("/v1/transfers:batch")), "key": "k1", "linger_s": 0.0, "timeout_s": 30.0,
        } | target  # fmt: skip
        outgoing = Outgoing("debit", PostTarget(**fields))
        task = asyncio.create_task(outgoing.run(session))
        yield outgoing
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(outgoing: Outgoing) -> None:
    await until(lambda: not outgoing.counts.pending)


def numbered(count: int) -> list[Transfer]:
    return [transfer(transfer_id=f"t{number}") for number in range(count)]


async def test_everything_is_told_in_order_in_batches_under_the_banks_key() -> None:
    sluice = FakeSluice()
    async with posting(sluice, batch=10) as outgoing:
        for each in numbered(25):
            outgoing.put(each)
        await told(outgoing)
    assert sluice.ids() == [f"t{number}" for number in range(25)]
    assert [len(batch) for batch in sluice.batches] == [10, 10, 5]
    assert sluice.keys == {"k1"}
    assert (outgoing.counts.posted, outgoing.counts.refused) == (25, 0)


def away(_items: list[dict[str, Any]]) -> web.Response:
    return web.Response(status=503, headers={"Retry-After": "0"})


def broken(_items: list[dict[str, Any]]) -> web.Response:
    return web.Response(status=200, body=b"<html>")


@pytest.mark.parametrize("trouble", [away, broken])
async def test_a_batch_that_was_not_taken_is_told_again(trouble: Answer) -> None:
    sluice = FakeSluice(trouble, trouble, taken)
    async with posting(sluice) as outgoing:
        outgoing.put(transfer())
        await told(outgoing)
    assert sluice.batches == [["t1"]] * 3
    assert (outgoing.counts.posted, outgoing.counts.retries) == (1, 2)


async def test_nothing_is_lost_while_sluice_is_not_there() -> None:
    sluice = FakeSluice()
    async with posting(sluice, url="http://127.0.0.1:9/v1/transfers:batch") as outgoing:
        outgoing.put(transfer())
        await until(lambda: outgoing.counts.retries >= 2)
        assert outgoing.counts.pending == 1
        assert outgoing.counts.posted == 0


async def test_a_duplicate_counts_as_told() -> None:
    sluice = FakeSluice(lambda items: taken(items, "duplicate"))
    async with posting(sluice) as outgoing:
        outgoing.put(transfer())
        await told(outgoing)
    assert (outgoing.counts.posted, outgoing.counts.refused) == (1, 0)


async def test_an_item_found_wrong_is_counted_and_given_up() -> None:
    sluice = FakeSluice(lambda items: taken(items, "refused"))
    async with posting(sluice) as outgoing:
        outgoing.put(transfer())
        await told(outgoing)
    assert (outgoing.counts.posted, outgoing.counts.refused) == (0, 1)


def refuses_t3(items: list[dict[str, Any]]) -> web.Response:
    return web.Response(status=422) if any(item["transfer_id"] == "t3" for item in items) else taken(items)


async def test_a_batch_condemned_as_a_whole_is_halved_until_the_bad_item_stands_alone() -> None:
    sluice = FakeSluice(refuses_t3)
    async with posting(sluice) as outgoing:
        for each in numbered(8):
            outgoing.put(each)
        await told(outgoing)
    assert (outgoing.counts.posted, outgoing.counts.refused) == (7, 1)


async def test_a_full_queue_says_so_and_a_bank_without_sluice_queues_nothing() -> None:
    outgoing = Outgoing("debit", PostTarget(url="http://127.0.0.1:9", key="", queue_limit=2))
    outgoing.put(transfer())
    outgoing.put(transfer())
    assert outgoing.room() == 0
    with pytest.raises(QueueFull):
        outgoing.put(transfer())
    silent = Outgoing("debit", PostTarget(url="", key="", queue_limit=1))
    for _ in range(5):
        silent.put(transfer())
    assert silent.counts.pending == 0


async def test_duplicate_posts_on_demand_tell_everything_twice_and_count_once() -> None:
    sluice = FakeSluice()
    async with posting(sluice) as outgoing:
        outgoing._twice = lambda _bank: True
        outgoing.put(transfer())
        await told(outgoing)
    assert sluice.batches == [["t1"], ["t1"]]
    assert outgoing.counts.posted == 1
