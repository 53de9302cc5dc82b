"""The closed loop over HTTP: a world and the fake banks against a Sluice that stops every large credit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
import uvicorn
from aiohttp import web
from aiohttp.test_utils import TestServer

from models.control.messages import CommandKind
from models.money.types import us_from_iso
from simulators.bank import create_bank_app
from simulators.plan import DAY_US
from simulators.serving import bind
from simulators.settings import BankSettings, WorldSettings
from simulators.tempo import derive_clock
from simulators.world import Phase, World
from telemetry.clock import ScaledClock, format_clock, wall_us
from tests.bankkit import command, until

BANKS = ("debit", "full", "hold")
LARGE_FEN = 150_000


class StopsTheLarge:
    """Takes every transfer; has the payee of a large one stopped at once; keeps reports."""

    def __init__(self, clock: ScaledClock) -> None:
        self.clock = clock
        self.bank_url = ""
        self.seen: dict[str, dict[str, Any]] = {}
        self.repeated = 0
        self.keys: dict[str, set[str]] = {}
        self.reports: list[dict[str, Any]] = []
        self.live = False
        self.asked_before_live = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/transfers:batch", self.take)
        app.router.add_post("/v1/reports", self.report)
        app.router.add_get("/v1/stats", self.stats)
        return app

    async def stats(self, request: web.Request) -> web.Response:
        """Say that the history is assessed when asked for the third time, and not what was asked for the second."""
        assert request.headers["X-Api-Key"] == "report-key"
        assert not self.live
        self.asked_before_live += 1
        if self.asked_before_live == 2:
            return web.Response(status=503)
        return web.Response(body=msgspec.json.encode({"settled": self.asked_before_live >= 3, "outbox_open": 0}))

    async def take(self, request: web.Request) -> web.Response:
        items: list[dict[str, Any]] = msgspec.json.decode(await request.read())["transfers"]
        for item in items:
            self.repeated += item["transfer_id"] in self.seen
            self.seen[item["transfer_id"]] = item
            self.keys.setdefault(item["payer_bank"], set()).add(request.headers["X-Api-Key"])
        if self.live:
            large = [item for item in items if item["amount_fen"] >= LARGE_FEN]
            await asyncio.gather(*[self.stop(item) for item in large])
        results = [{"transfer_id": item["transfer_id"], "status": "accepted"} for item in items]
        return web.Response(status=202, body=msgspec.json.encode({"results": results}))

    async def stop(self, item: dict[str, Any]) -> None:
        now_us = self.clock.now_us()
        order = command(
            CommandKind.PROTECTIVE_STOP,
            f"PS-{item['transfer_id']}",
            target=f"{item['payee_bank']}/{item['payee_account']}",
            expire_us=now_us + 30 * DAY_US,
            application_time_us=now_us,
        )
        url = f"{self.bank_url}/banks/{item['payee_bank']}/commands"
        async with aiohttp.ClientSession() as session, session.post(url, data=msgspec.json.encode(order)) as answer:
            assert answer.status == 200

    async def report(self, request: web.Request) -> web.Response:
        assert request.headers["X-Api-Key"] == "report-key"
        self.reports.append(msgspec.json.decode(await request.read()))
        return web.Response(status=202)


@asynccontextmanager
async def serving(settings: BankSettings) -> AsyncIterator[str]:
    """The fake banks on a port of their own, in this process."""
    with bind("127.0.0.1", 0) as listener:
        config = uvicorn.Config(create_bank_app(settings), log_config=None, access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


Ran = tuple[World, StopsTheLarge, dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def ran() -> Ran:
    """The world after its end, what Sluice saw, the ledger's audit and the banks' counters."""
    return asyncio.run(run_world_once())


async def run_world_once() -> Ran:
    settings = WorldSettings(
        seed=3,
        customers=400,
        rate_tps=200,
        seconds=4,
        cases_per_10k_day=5_000,
        history_transfers=400,
        history_days=2,
        settle_s=0.1,
        drain_s=0.2,
        banks=BANKS,
        report_key="report-key",
    )
    clock = derive_clock(settings, wall_us(), lead_s=2.0)
    sluice = StopsTheLarge(clock)
    async with TestServer(sluice.app()) as server, aiohttp.ClientSession() as session:
        sluice_url = str(server.make_url("/"))
        keyed = ",".join(f"{bank}=key-{bank}" for bank in BANKS)
        bank_settings = BankSettings(banks=keyed, sluice_url=sluice_url, clock=format_clock(clock), answer_delay_ms=1)
        async with serving(bank_settings) as bank_url:
            sluice.bank_url = bank_url
            wired = settings.model_copy(update={"bank_url": bank_url, "sluice_url": sluice_url})
            world = World(wired, clock)
            await world.run(session, lambda: setattr(sluice, "live", True))
            async with session.get(f"{bank_url}/ledger/check") as answer:
                check = await answer.json()
            async with session.get(f"{bank_url}/stats") as answer:
                stats = await answer.json()
    return world, sluice, check, stats


def test_the_world_ends_by_itself_with_a_status_that_stands_still(ran: Ran) -> None:
    world = ran[0]
    status = world.status()
    assert status.phase is Phase.DONE
    assert status == world.status()
    assert status.simulated_days > 0.1


def test_every_executed_transfer_is_told_once_by_the_payers_bank(ran: Ran) -> None:
    _, sluice, check, stats = ran
    assert len(sluice.seen) == stats["executed"] == check["transfers"]
    assert sluice.repeated == 0
    assert sluice.keys == {bank: {f"key-{bank}"} for bank in BANKS}
    assert stats["pending"] == 0


def test_books_balance_and_the_world_knows_them(ran: Ran) -> None:
    world, _, check, _ = ran
    assert check["balanced"], check["faults"]
    held = sum(bank["customers_fen"] for bank in check["banks"].values())
    assert sum(world.engine.town.balances) == held


def test_the_world_goes_live_once_sluice_is_through_with_the_history(ran: Ran) -> None:
    assert ran[1].asked_before_live == 3


def test_history_is_honest_past_and_counted_apart(ran: Ran) -> None:
    world, sluice, _, _ = ran
    transfers = world.status().transfers
    assert 150 < transfers["history"] < 800
    assert transfers["history"] + transfers["honest"] + transfers["fraud"] == len(sluice.seen)
    times = [item["occurred_us"] for item in sluice.seen.values()]
    assert sum(moment < world._live_us for moment in times) == transfers["history"]
    assert max(times) < us_from_iso("2026-03-18T12:00:00Z")


def test_crimes_happen_are_stopped_in_part_and_the_money_adds_up(ran: Ran) -> None:
    status = ran[0].status()
    money = status.money_fen
    assert status.cases > 10
    assert status.transfers["fraud"] > 20
    assert money.stolen == money.stopped + money.cashed_out + money.in_flight
    assert money.stopped > 0, "how much, `tests/simulation/test_stops.py` asks: here all share one loop"
    assert status.stops.right > 3
    assert status.transfers["refused_fraud"] > 0


def test_honest_people_who_were_stopped_are_counted(ran: Ran) -> None:
    status = ran[0].status()
    assert status.false_stops == status.stops.false + status.stops.in_history
    assert sum(status.stops.false_by.values()) == status.stops.false > 3
    people_days = status.customers / 10_000 * status.simulated_days
    assert status.false_stops_per_10k_day == pytest.approx(status.stops.false / people_days, rel=0.01)


def test_victims_report_their_own_transfers_under_the_report_key(ran: Ran) -> None:
    world, sluice, _, _ = ran
    assert len(sluice.reports) == world.status().reports >= 1
    for report in sluice.reports:
        paid = [sluice.seen[each] for each in report["transfer_ids"]]
        assert all(item["occurred_us"] <= report["reported_us"] for item in paid)


async def test_a_world_begun_again_goes_on_from_the_banks_balances() -> None:
    settings = WorldSettings(
        seed=8, customers=120, rate_tps=100, seconds=0.5, history_transfers=60, settle_s=0, drain_s=0, banks=BANKS
    )
    clock = derive_clock(settings, wall_us(), lead_s=0.5)
    bank_settings = BankSettings(banks=",".join(BANKS), clock=format_clock(clock))
    async with serving(bank_settings) as bank_url, aiohttp.ClientSession() as session:
        wired = settings.model_copy(update={"bank_url": bank_url})
        first = World(wired, clock)
        await first.run(session, lambda: None)
        second = World(wired.model_copy(update={"history_transfers": 0, "seconds": 0.01}), clock)
        await second.run(session, lambda: None)
        assert first.engine.town.balances != [a.opening_fen for a in first.engine.population.accounts]
        async with session.get(f"{bank_url}/ledger/check") as answer:
            check = await answer.json()
    assert check["balanced"]
    assert sum(bank["customers_fen"] for bank in check["banks"].values()) == sum(second.engine.town.balances)
    moved = second.engine.counts.honest + second.engine.counts.fraud
    changed = [a != b for a, b in zip(first.engine.town.balances, second.engine.town.balances, strict=True)]
    assert sum(changed) <= 2 * moved
