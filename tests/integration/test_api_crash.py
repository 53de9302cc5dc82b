"""The api as a process of its own, killed with -9 where it hurts; what was promised is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web

from models.control.messages import BankCommand, ControlKind
from models.wire import Topic
from stream.broker import EmbeddedBroker
from stream.ports import free_ports
from telemetry.clock import wall_us
from tests.apikit import JSON, WAIT_S, Topics, answer, assessed, key_of, keys_json, transfer, until


class RealBank:
    """A bank on a socket. ``hang`` acts and then says nothing."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.executed: dict[str, bytes] = {}
        self.hang = asyncio.Event()
        self.acted = asyncio.Event()
        self._decode = msgspec.json.Decoder(BankCommand).decode

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/banks/{bank}/commands", self.command)
        app.router.add_get("/banks/{bank}/commands/{application_id}", self.query)
        return app

    async def command(self, request: web.Request) -> web.Response:
        command = self._decode(await request.read())
        self.received.append(command.application_id)
        if command.application_id not in self.executed:
            told = answer(command, "0000", control=ControlKind.AMOUNT_HOLD, start_us=wall_us(), executed_fen=1)
            self.executed[command.application_id] = msgspec.json.encode(told)
        self.acted.set()
        if self.hang.is_set():
            await asyncio.sleep(60)
        return web.Response(body=self.executed[command.application_id], content_type="application/json")

    async def query(self, request: web.Request) -> web.Response:
        known = self.executed.get(request.match_info["application_id"])
        return web.Response(body=known, status=200 if known else 404, content_type="application/json")


@asynccontextmanager
async def serving(bank: RealBank, port: int = 0) -> AsyncIterator[int]:
    runner = web.AppRunner(bank.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class ApiProcess:
    """``sluice api`` as the supervisor starts it."""

    def __init__(self, folder: Path, broker: str, bank_port: int) -> None:
        self.ready = folder / "ready"
        self.env = os.environ | {
            "SLUICE_BROKER": broker,
            "SLUICE_DATABASE_URL": f"sqlite:///{folder}/sluice.db",
            "SLUICE_PORT": "0",
            "SLUICE_READY_FILE": str(self.ready),
            "SLUICE_API_KEYS": keys_json(),
            "SLUICE_BANKS": '{"icbc":"","ccb":""}',
            "SLUICE_BANK_URL": f"http://127.0.0.1:{bank_port}",
            "SLUICE_BREAKER_OPEN_S": "0.2",
            "SLUICE_RETRY_MAX_S": "0.2",
        }
        self.log = folder / "api.log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> httpx.AsyncClient:
        """Start and return a client once it is ready."""
        self.ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli.main", "api", env=self.env, stdout=log, stderr=log
            )
        self.process = process

        async def is_ready() -> bool:
            assert process.returncode is None, self.log.read_text()
            return self.ready.exists()

        await until(is_ready, 120.0)
        return httpx.AsyncClient(base_url=self.ready.read_text(), headers=JSON, timeout=WAIT_S)

    def end(self) -> None:
        """Kill what a failed test has left running."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), WAIT_S)


MakeApi = Callable[[str, int], ApiProcess]


@pytest.fixture
def make_api(tmp_path: Path) -> Iterator[MakeApi]:
    made: list[ApiProcess] = []

    def make(broker: str, bank_port: int) -> ApiProcess:
        made.append(ApiProcess(tmp_path, broker, bank_port))
        return made[-1]

    yield make
    for each in made:
        each.end()


async def order_state(client: httpx.AsyncClient, state: str) -> Any:
    async def look() -> Any:
        found = (await client.get("/v1/orders", headers=key_of("ann"))).json()["orders"]
        return next((each for each in found if each["kind"] == "protective_stop" and each["state"] == state), None)

    return await until(look)


@pytest.mark.slow
async def test_killed_between_commit_and_bank_call_the_command_goes_out_once(make_api: MakeApi) -> None:
    broker, bank, (port,) = EmbeddedBroker(), RealBank(), free_ports(1)
    api = make_api(broker.bootstrap, port)
    client = await api.start()
    Topics(broker.bootstrap).assess(assessed(transfer()))
    order = await order_state(client, "proposed")
    await api.kill()
    assert bank.received == []
    async with serving(bank, port):
        client = await api.start()
        applied = await order_state(client, "applied")
        assert await api.kill(signal.SIGTERM) == 0
    assert applied["order_id"] == order["order_id"]
    assert bank.received == [f"{order['order_id']}-01"]


@pytest.mark.slow
async def test_killed_while_the_bank_has_acted_the_command_is_not_repeated(make_api: MakeApi) -> None:
    broker, bank = EmbeddedBroker(), RealBank()
    async with serving(bank) as port:
        api = make_api(broker.bootstrap, port)
        client = await api.start()
        bank.hang.set()
        Topics(broker.bootstrap).assess(assessed(transfer()))
        await asyncio.wait_for(bank.acted.wait(), WAIT_S)
        await api.kill()
        bank.hang.clear()
        client = await api.start()
        order = await order_state(client, "applied")
        await api.kill(signal.SIGTERM)
    assert bank.received == [f"{order['order_id']}-01"]


@pytest.mark.slow
async def test_killed_under_load_every_accepted_transfer_is_on_the_topic(make_api: MakeApi) -> None:
    broker = EmbeddedBroker()
    api = make_api(broker.bootstrap, 1)
    client = await api.start()
    accepted: set[str] = set()
    posts = [transfer(payer_account=f"A{number % 50}") for number in range(300)]
    killer = asyncio.create_task(_kill_when(api, accepted, 60))
    pending = [each for each in posts if not await _post(client, each, accepted)]
    assert await killer == -signal.SIGKILL
    assert 60 <= len(accepted) < 300
    client = await api.start()
    for each in pending:
        assert await _post(client, each, accepted)
    await api.kill(signal.SIGTERM)
    wanted = {each.transfer_id for each in posts}
    assert accepted == wanted
    records = await Topics(broker.bootstrap).collect(
        Topic.TRANSFERS, lambda found: len({_id(each) for each in found}) == len(wanted)
    )
    assert {_id(each) for each in records} == wanted
    assert len(records) <= len(wanted) + 1  # the one post that was cut off may be there twice


async def _kill_when(api: ApiProcess, accepted: set[str], number: int) -> int:
    async def enough() -> bool:
        return len(accepted) >= number

    await until(enough)
    return await api.kill()


async def _post(client: httpx.AsyncClient, subject: Any, accepted: set[str]) -> bool:
    try:
        response = await client.post("/v1/transfers", content=msgspec.json.encode(subject), headers=key_of("icbc"))
    except httpx.HTTPError:
        return False
    assert response.status_code == 202, response.text
    accepted.add(subject.transfer_id)
    return True


def _id(message: Any) -> str:
    return str(msgspec.json.decode(message.value())["transfer_id"])


@pytest.mark.slow
async def test_ten_megabytes_over_a_socket_are_refused_and_the_next_request_is_served(make_api: MakeApi) -> None:
    broker = EmbeddedBroker()
    api = make_api(broker.bootstrap, 1)
    client = await api.start()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 50_000

    for content in (b" " * 10_000_000, endless()):
        response = await client.post("/v1/transfers", content=content, headers=key_of("icbc"))
        assert response.status_code == 413
        assert response.json()["code"] == "body_too_large"
    assert await _post(client, transfer(), set())
    await api.kill(signal.SIGTERM)
