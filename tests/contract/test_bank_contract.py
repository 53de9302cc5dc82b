"""The bank gateway's contract (``models/control/messages.py``), kept by the app in process and as a program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from models.control.messages import AppliedControl, BankCommand, BankFeedback, ControlKind, ResultCode
from simulators.bank import create_bank_app
from simulators.commands import STOP_SPAN_US
from simulators.settings import BankSettings
from telemetry.clock import format_clock, parse_clock, wall_us
from tests.bankkit import T0, opening, protective, stop, transfer

BANKS = "debit,full,hold"
ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the banks as a process of their own, on a clock that started at `T0`."""
    ready = tmp_path_factory.mktemp("bank") / "ready"
    clock = parse_clock(f"{wall_us()}:{T0}:1.0")
    env = os.environ | {
        "SLUICE_BANK_BANKS": BANKS,
        "SLUICE_CLOCK": format_clock(clock),
        "SLUICE_READY_FILE": str(ready),
        "SLUICE_BANK_ANSWER_DELAY_MS": "1",
    }
    process = subprocess.Popen([sys.executable, "-m", "cli.main", "bank"], cwd=ROOT, env=env)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        yield ready.read_text()
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture(params=["app", "program"])
async def bank(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    if request.param == "program":
        url = request.getfixturevalue("program")
        async with httpx.AsyncClient(base_url=url) as client:
            yield client
        return
    clock = parse_clock(f"{wall_us()}:{T0}:1.0")
    app = create_bank_app(BankSettings(banks=BANKS, answer_delay_ms=0), clock)
    async with httpx.AsyncClient(base_url="http://bank", transport=httpx.ASGITransport(app)) as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """An account name of this test's own, since the program keeps its books over tests."""
    return f"acc{abs(hash(request.node.name)) % 10**12}"


async def open_account(bank: httpx.AsyncClient, where: str, name: str, balance_fen: int = 100_000) -> None:
    answer = await bank.post("/accounts:batch", content=msgspec.json.encode([opening(where, name, balance_fen)]))
    assert answer.status_code == 200, answer.text


async def order(bank: httpx.AsyncClient, command: BankCommand) -> BankFeedback:
    answer = await bank.post(f"/banks/{command.bank_id}/commands", content=msgspec.json.encode(command))
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=BankFeedback)


async def test_a_command_is_answered_with_the_platforms_fields(bank: httpx.AsyncClient, name: str) -> None:
    await open_account(bank, "debit", name)
    command = protective(name, amount_fen=30_000, target=f"debit/{name}")
    answer = await bank.post("/banks/debit/commands", content=msgspec.json.encode(command))
    body: dict[str, Any] = answer.json()
    assert body["ApplicationID"] == name
    assert body["Result"] == "0000"
    assert body["Control"] == "amount_hold"
    assert T0 <= body["StartUs"] < body["ExpireUs"]
    assert body["ExecutedFen"] == 30_000
    assert body["AvailableBalanceFen"] == 70_000


async def test_posting_again_returns_the_first_feedback_and_does_nothing(bank: httpx.AsyncClient, name: str) -> None:
    await open_account(bank, "debit", name)
    command = protective(name, amount_fen=30_000, target=f"debit/{name}")
    first, again = await order(bank, command), await order(bank, command)
    assert again == first
    controls = await bank.get(f"/banks/debit/accounts/{name}/controls")
    assert len(controls.json()) == 1


async def test_the_feedback_can_be_asked_for_and_an_unknown_one_is_404(bank: httpx.AsyncClient, name: str) -> None:
    await open_account(bank, "full", name)
    feedback = await order(bank, stop(name, target=f"full/{name}"))
    found = await bank.get(f"/banks/full/commands/{name}")
    assert msgspec.json.decode(found.content, type=BankFeedback) == feedback
    assert (await bank.get(f"/banks/full/commands/{name}-never")).status_code == 404
    assert (await bank.get(f"/banks/debit/commands/{name}")).status_code == 404, "told by another bank"


async def test_controls_in_force_are_listed_as_applied(bank: httpx.AsyncClient, name: str) -> None:
    await open_account(bank, "full", name)
    feedback = await order(bank, stop(name, target=f"full/{name}"))
    answer = await bank.get(f"/banks/full/accounts/{name}/controls")
    (control,) = msgspec.json.decode(answer.content, type=list[AppliedControl])
    assert control.application_id == name
    assert control.control is ControlKind.FULL_BLOCK
    assert (control.start_us, control.expire_us) == (feedback.start_us, feedback.start_us + STOP_SPAN_US)
    assert (await bank.get("/banks/full/accounts/nobody/controls")).status_code == 404


async def test_a_refusal_is_an_answer_with_a_code_and_no_stop_point(bank: httpx.AsyncClient, name: str) -> None:
    feedback = await order(bank, protective(name, target=f"debit/{name}"))
    assert feedback.result == ResultCode.ACCOUNT_UNKNOWN
    assert feedback.start_us == 0
    assert feedback.control is None


async def test_what_is_not_a_command_is_refused_by_http(bank: httpx.AsyncClient, name: str) -> None:
    command = msgspec.json.encode(protective(name, target=f"debit/{name}"))
    assert (await bank.post("/banks/debit/commands", content=b"{")).status_code == 422
    assert (await bank.post("/banks/debit/commands", content=b'{"TxCode":"999999"}')).status_code == 422
    assert (await bank.post("/banks/full/commands", content=command)).status_code == 422, "another bank's command"
    assert (await bank.post("/banks/nobody/commands", content=command)).status_code == 404


async def test_a_control_keeps_money_in_and_a_batch_tells_each_outcome(bank: httpx.AsyncClient, name: str) -> None:
    await open_account(bank, "debit", name)
    await open_account(bank, "hold", name)
    await order(bank, protective(name, amount_fen=90_000, target=f"debit/{name}"))
    wishes = [
        transfer(f"debit/{name}", f"hold/{name}", amount, transfer_id=f"{name}-{amount}")
        for amount in (20_000, 10_000, 1)
    ]
    answer = await bank.post("/transfers:batch", content=msgspec.json.encode(wishes))
    assert [outcome.get("refusal", "") for outcome in answer.json()] == ["held", "", "held"]
    again = await bank.post("/transfers:batch", content=msgspec.json.encode(wishes))
    assert again.json() == answer.json()
    account = (await bank.get(f"/banks/debit/accounts/{name}")).json()
    assert (account["balance_fen"], account["available_fen"]) == (90_000, 0)
    assert (await bank.get("/ledger/check")).json()["balanced"]


async def test_standard_pages_answer(bank: httpx.AsyncClient) -> None:
    assert (await bank.get("/healthz")).json() == {"status": "ok"}
    assert "# HELP" in (await bank.get("/metrics")).text
    assert (await bank.get("/banks")).json()["full"]["stop_by"] == "full_block"
