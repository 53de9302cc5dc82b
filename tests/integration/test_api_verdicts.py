"""Verdicts from people and from the topic: what is kept of them, and what they say of accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from api.store import audit, transfers
from models.risk.assessment import Assessment, Band
from stream.broker import EmbeddedBroker
from tests.apikit import Api, FakeBank, assessed, running, settings_for, transfer, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    settings = settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"))
    async with running(settings, bank=FakeBank()) as running_api:
        yield running_api


async def stored(api: Api, found: Assessment) -> None:
    api.topics.assess(found)
    transfer_id = found.transfer.transfer_id
    await until(lambda: api.runtime.database.read(lambda c: transfers.find_assessment(c, transfer_id)))


@pytest.mark.parametrize("note", ["本人操作，已电话核实", ""])
async def test_the_note_of_a_verdict_is_kept_in_the_audit_trail(api: Api, note: str) -> None:
    found = assessed(transfer(), Band.ALLOW)
    await stored(api, found)
    transfer_id = found.transfer.transfer_id
    body = {"transfer_id": transfer_id, "label": "honest", "note": note}
    assert (await api.post("/v1/verdicts", body)).status_code == 202
    (entry,) = await api.runtime.database.read(lambda c: audit.read(c, subject=transfer_id))
    detail: Any = msgspec.json.decode(entry.detail)
    assert (entry.actor, entry.action) == ("ann", "verdict")
    assert detail == {"label": "honest", "source": "analyst"} | ({"note": note} if note else {})
