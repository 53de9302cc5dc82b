"""What persons draft and sign over HTTP: for no more than was transferred, and under one document."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from models.control.messages import CommandKind
from models.money.types import Transfer
from models.risk.assessment import Band
from stream.broker import EmbeddedBroker
from tests.apikit import Api, FakeBank, assessed, running, settings_for, transfer, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAPER = {"number": "冻-2026-17", "kind": "freeze", "sha256": "a" * 64}
OTHER_PAPER = {"number": "冻-2026-18", "kind": "freeze", "sha256": "b" * 64}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    async with running(settings_for(broker.bootstrap, tmp_path_factory.mktemp("api")), bank=FakeBank()) as running_api:
        yield running_api


async def in_state(api: Api, subject: Transfer, kind: str, state: str) -> dict[str, Any]:
    async def look() -> Any:
        found = await api.orders(kind=kind, account=subject.payee_account, state=state)
        return found[0] if found else None

    order: dict[str, Any] = await until(look)
    return order


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


async def test_both_sign_under_one_document_and_an_extension_brings_its_own(api: Api) -> None:
    subject = transfer(payee_account="6217000000000701")
    api.topics.assess(assessed(subject))
    await in_state(api, subject, "protective_stop", "applied")
    path = f"/v1/orders/{(await in_state(api, subject, 'freeze', 'draft'))['order_id']}"
    assert (await api.post(f"{path}/submit", {"document": PAPER})).status_code == 200
    swapped = await api.post(f"{path}/approve", {"document": OTHER_PAPER, "level": "county"}, who="bob")
    assert code_of(swapped) == (409, "other_document")
    assert (await api.post(f"{path}/approve", {"document": PAPER, "level": "county"}, who="bob")).status_code == 200
    await in_state(api, subject, "freeze", "effective_limited")
    assert (await api.post(f"{path}/extend", {"reason": "more tracing"})).status_code == 200
    longer = {"document": OTHER_PAPER, "level": "county", "reason": "案情复杂"}
    assert (await api.post(f"{path}/extend/approve", longer, who="bob")).status_code == 200

    async def sent() -> list[Any]:
        return [each for each in api.bank.sent if each.kind is CommandKind.FREEZE_EXTENSION]

    (command,) = await until(sent)
    assert command.legal_document == OTHER_PAPER["number"]
    history = (await api.get(f"{path}/history"))["entries"]
    (approval,) = [json.loads(each["detail"]) for each in history if each["action"] == "order.approve_extension"]
    assert (approval["reason"], approval["document"]) == (longer["reason"], OTHER_PAPER)


async def test_a_draft_asks_for_no_more_than_the_transfer_brought_unless_for_the_whole_account(api: Api) -> None:
    subject = transfer(payee_account="6217000000000702", amount_fen=10_000)
    api.topics.assess(assessed(subject, Band.WATCH))
    body = {"kind": "freeze", "transfer_id": subject.transfer_id, "reason": "被害人报案"}

    async def refused() -> Any:
        told = code_of(await api.post("/v1/orders", body | {"amount_fen": 10_001}))
        return told if told[0] != 404 else None

    assert await until(refused) == (422, "above_transfer")
    assert await api.orders(account=subject.payee_account) == []
    for round_, (wanted, drafted) in enumerate(
        (({"amount_fen": 10_000}, 10_000), ({}, 10_000), ({"amount_fen": 1}, 1))
    ):
        made = await api.post("/v1/orders", body | wanted | {"round": round_ + 1})
        assert (made.status_code, made.json()["amount_fen"]) == (201, drafted)
    whole = await api.post("/v1/orders", body | {"amount_fen": 10_001, "whole_account": True, "round": 4})
    assert (whole.status_code, whole.json()["amount_fen"]) == (201, 0)
