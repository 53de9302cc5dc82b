"""One suite for the tests' fake bank and for real HTTP banks: what the dispatcher may rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY

from api.bank import Gateway, HttpGateway, NoAnswer, Trouble
from api.guarded import GuardedGateway
from models.control.commands import command_of
from models.control.messages import BankCommand, CommandKind, ControlKind, ResultCode
from simulators.bank import create_bank_app
from simulators.ledger import Opening
from simulators.settings import BankSettings
from telemetry.clock import ManualClock
from tests.apikit import FakeBank
from tests.controlkit import T0, order


@pytest.fixture(params=["fake", "http"])
async def bank(request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    clock = ManualClock(T0)
    if request.param == "fake":
        yield FakeBank(clock.now_us)
        return
    app = create_bank_app(BankSettings(banks="ccb=k", answer_delay_ms=0), clock)
    app.state.hall.books.open([Opening(bank="ccb", account="6217", balance_fen=900_000, opened_us=T0 - 1)])
    gateway = HttpGateway({"ccb": "http://bank"}, "", timeout_s=5, transport=httpx.ASGITransport(app))
    yield gateway
    await gateway.close()


def hold(**changes: Any) -> BankCommand:
    return msgspec.structs.replace(command_of(order(), now_us=T0), **changes)


def release(of: BankCommand, **changes: Any) -> BankCommand:
    values = {
        "application_id": of.application_id[:-2] + "02",
        "kind": CommandKind.PROTECTIVE_RELEASE,
        "original_application_id": of.application_id,
    }
    return msgspec.structs.replace(of, **(values | changes))


async def test_a_hold_is_confirmed_with_stop_point_and_listed(bank: Gateway) -> None:
    told = await bank.send(hold())
    assert (told.application_id, told.result, told.account_number) == (hold().application_id, ResultCode.OK, "6217")
    assert (told.control, told.start_us, told.executed_fen) == (ControlKind.AMOUNT_HOLD, T0, 500_000)
    (control,) = await bank.controls("ccb", "6217") or []
    assert (control.application_id, control.control) == (hold().application_id, ControlKind.AMOUNT_HOLD)
    assert (control.start_us, control.kind) == (T0, CommandKind.PROTECTIVE_STOP)


async def test_the_same_application_id_is_executed_once(bank: Gateway) -> None:
    first = await bank.send(hold())
    again = await bank.send(hold(amount_fen=1))
    assert again == first
    assert len(await bank.controls("ccb", "6217") or []) == 1


async def test_query_gives_the_feedback_or_nothing(bank: Gateway) -> None:
    assert await bank.query("ccb", hold().application_id) is None
    told = await bank.send(hold())
    assert await bank.query("ccb", hold().application_id) == told


async def test_release_takes_the_control_away(bank: Gateway) -> None:
    await bank.send(hold())
    told = await bank.send(release(hold()))
    assert told.result == ResultCode.OK
    assert await bank.controls("ccb", "6217") == []


async def test_release_of_something_unknown_makes_no_control(bank: Gateway) -> None:
    told = await bank.send(release(hold()))
    assert told.result == ResultCode.ORIGINAL_UNKNOWN
    assert await bank.controls("ccb", "6217") == []


async def test_whole_account(bank: Gateway) -> None:
    told = await bank.send(hold(amount_fen=0))
    assert told.control is ControlKind.DEBIT_BLOCK


def http_gateway(handler: Any) -> HttpGateway:
    return HttpGateway({}, "http://bank", timeout_s=1, transport=httpx.MockTransport(handler))


def replying(status: int = 200, content: bytes = b"{}") -> HttpGateway:
    return http_gateway(lambda _request: httpx.Response(status, content=content))


TOLD = b'{"ApplicationID":"PS-15447a8f541a252e-01","Result":"0000","FeedbackTimeUs":1,"AccountNumber":"6217"}'


async def test_a_plain_feedback_is_an_answer() -> None:
    assert (await replying(content=TOLD).send(hold())).result == ResultCode.OK


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b"oops"),
        (401, b"{}"),
        (404, b"{}"),
        (200, b"not json"),
        (200, b"{}"),
        (200, b'{"ApplicationID":1}'),
        (200, b"\xff"),
        (200, TOLD.replace(b"1,", b"9" * 30 + b",")),
        (200, TOLD.replace(b"}", b',"StartUs":-1}')),
        (200, TOLD.replace(b"}", b',"ExecutedFen":-1}')),
        (200, TOLD.replace(b"}", b',"News":' + b"[" * 100_000)),
    ],
)
async def test_what_is_no_feedback_is_no_answer(status: int, content: bytes) -> None:
    with pytest.raises(NoAnswer) as caught:
        await replying(status, content).send(hold())
    assert caught.value.trouble is Trouble.ERROR


async def test_feedback_to_another_command_is_no_answer() -> None:
    other = b'{"ApplicationID":"PS-0000000000000000-01","Result":"0000","FeedbackTimeUs":1,"AccountNumber":"6217"}'
    with pytest.raises(NoAnswer, match="feedback to PS-0000000000000000-01"):
        await replying(content=other).send(hold())
    guarded = GuardedGateway(replying(content=other), concurrency=1, failures=3, open_s=1)
    with pytest.raises(NoAnswer):
        await guarded.query("ccb", hold().application_id)


async def test_timeouts_are_told_apart() -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(NoAnswer) as caught:
        await http_gateway(slow).send(hold())
    assert caught.value.trouble is Trouble.TIMEOUT


async def test_an_unknown_account_is_not_an_account_without_controls() -> None:
    assert await replying(404).controls("ccb", "6217") is None
    assert await replying(200, b"[]").controls("ccb", "6217") == []


async def test_a_bank_without_address_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="no address"):
        await HttpGateway({"ccb": ""}, "", timeout_s=1).send(hold())


async def test_the_breaker_spares_a_silent_bank_and_lets_others_be() -> None:
    fake = FakeBank()
    guarded = GuardedGateway(fake, concurrency=4, failures=3, open_s=60)
    fake.silent = True
    for _ in range(6):
        with pytest.raises(NoAnswer) as caught:
            await guarded.send(hold())
    assert caught.value.trouble is Trouble.OPEN
    assert len(fake.sent) == 3
    assert guarded.wait_s("ccb") > 0
    fake.silent = False
    assert (await guarded.send(hold(bank_id="icbc"))).result == ResultCode.OK


async def test_inquiries_that_are_answered_do_not_hide_commands_that_are_not() -> None:
    def counted(call: str, outcome: str) -> float:
        labels = {"bank": "cmb", "call": call, "outcome": outcome}
        return REGISTRY.get_sample_value("sluice_bank_calls_total", labels) or 0.0

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if request.method == "POST" else 404)

    guarded = GuardedGateway(http_gateway(answer), concurrency=1, failures=3, open_s=60)
    for _ in range(4):
        with pytest.raises(NoAnswer):
            await guarded.send(hold(bank_id="cmb"))
        assert await guarded.query("cmb", hold().application_id) is None
        assert await guarded.controls("cmb", "6217") is None
    assert (counted("command", "error"), counted("command", "open"), counted("command", "ok")) == (3, 1, 0)
    assert (counted("inquiry", "ok"), counted("inquiry", "open")) == (8, 0)
    assert guarded.wait_s("cmb") > 0
    assert REGISTRY.get_sample_value("sluice_bank_breaker_open", {"bank": "cmb"}) == 1
