"""Faults on demand: what the gateway must survive, each seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from models.control.messages import BankFeedback, ResultCode
from simulators.bank import create_bank_app
from simulators.faults import FaultBook, FaultPlan
from simulators.settings import BankSettings
from telemetry.clock import ManualClock
from tests.bankkit import T0, opening, protective


@pytest.fixture
async def bank() -> AsyncIterator[httpx.AsyncClient]:
    settings = BankSettings(banks="debit,full,hold", answer_delay_ms=0, lost_answer_s=0.05)
    app = create_bank_app(settings, ManualClock(T0))
    async with httpx.AsyncClient(base_url="http://bank", transport=httpx.ASGITransport(app)) as client:
        await client.post("/accounts:batch", content=msgspec.json.encode([opening("debit", "A")]))
        yield client


async def strike(bank: httpx.AsyncClient, **plan: Any) -> None:
    answer = await bank.post("/faults", content=msgspec.json.encode(FaultPlan(bank="debit", **plan)))
    assert answer.status_code == 200, answer.text


async def order(bank: httpx.AsyncClient, application_id: str = "a1", **more: Any) -> httpx.Response:
    return await bank.post("/banks/debit/commands", content=msgspec.json.encode(protective(application_id, **more)))


def feedback(answer: httpx.Response) -> BankFeedback:
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=BankFeedback)


async def controls(bank: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bank.get("/banks/debit/accounts/A/controls")).json()
    return found


async def test_a_lost_answer_was_acted_on_and_can_be_asked_for(bank: httpx.AsyncClient) -> None:
    await strike(bank, lose_answer=1.0)
    assert (await order(bank)).status_code == 504
    assert [control["ApplicationID"] for control in await controls(bank)] == ["a1"]
    assert feedback(await bank.get("/banks/debit/commands/a1")).start_us == T0
    await bank.delete("/faults")
    assert feedback(await order(bank)).start_us == T0
    assert len(await controls(bank)) == 1


async def test_an_error_is_not_acted_on_and_may_be_repeated(bank: httpx.AsyncClient) -> None:
    await strike(bank, error_500=1.0, times=1)
    assert (await order(bank)).status_code == 500
    assert await controls(bank) == []
    assert feedback(await order(bank)).result == ResultCode.OK


async def test_a_refusal_on_demand_has_the_code_asked_for_and_sticks(bank: httpx.AsyncClient) -> None:
    await strike(bank, refuse=1.0, refuse_code="1300", times=1)
    assert feedback(await order(bank)).result == "1300"
    assert feedback(await order(bank)).result == "1300", "a repeated post gets the first feedback"
    assert await controls(bank) == []


async def test_a_stale_answer_is_the_previous_command_again(bank: httpx.AsyncClient) -> None:
    await order(bank, "a1")
    await strike(bank, stale_answer=1.0)
    assert feedback(await order(bank, "a2")).application_id == "a1"
    assert {control["ApplicationID"] for control in await controls(bank)} == {"a1", "a2"}


async def test_a_feedback_may_lack_its_start_time_though_the_control_works(bank: httpx.AsyncClient) -> None:
    await strike(bank, no_start_time=1.0)
    answer = feedback(await order(bank))
    assert (answer.result, answer.start_us, answer.expire_us) == (ResultCode.OK, 0, 0)
    assert (await controls(bank))[0]["StartUs"] == T0


async def test_a_short_balance_is_told_with_1200_and_held_only_in_part(bank: httpx.AsyncClient) -> None:
    await strike(bank, short_balance=1.0)
    answer = feedback(await order(bank, amount_fen=60_000))
    assert (answer.result, answer.executed_fen, answer.available_balance_fen) == (ResultCode.DEFICIENT, 30_000, 70_000)


async def test_a_delay_holds_the_answer_back_not_the_act(bank: httpx.AsyncClient) -> None:
    await strike(bank, delay_ms=60_000)
    waiting = asyncio.create_task(order(bank))
    async with asyncio.timeout(60):
        while not await controls(bank):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_plans_are_listed_ended_and_checked(bank: httpx.AsyncClient) -> None:
    await strike(bank, refuse=0.5, seed=3)
    assert (await bank.get("/faults")).json() == [{"bank": "debit", "seed": 3, "refuse": 0.5}]
    assert (await bank.delete("/faults?bank=debit")).json() == []
    wrong = b'{"bank":"debit","refuse":1.5}'
    assert (await bank.post("/faults", content=wrong)).status_code == 422
    assert (await bank.post("/faults", content=b'{"bank":"nobody"}')).status_code == 404


def drawn(seed: int) -> list[bool]:
    book = FaultBook()
    book.set(FaultPlan(bank="debit", seed=seed, error_500=0.3))
    return [book.draw("debit").error_500 for _ in range(300)]


def test_a_seed_repeats_its_faults_and_meets_its_share() -> None:
    assert drawn(1) == drawn(1) != drawn(2)
    assert 60 <= sum(drawn(1)) <= 120


def test_a_plan_strikes_only_its_bank() -> None:
    book = FaultBook()
    book.set(FaultPlan(bank="debit", error_500=1.0))
    assert book.draw("debit").error_500
    assert not book.draw("full").strikes
