"""Verdicts from people and from the topic: what is kept of them, and what they say of accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from api.store import audit, verdicts
from models.risk.assessment import Assessment, Band
from models.wire import ControlEntry, Topic, Verdict, VerdictLabel, decode_control
from stream.broker import EmbeddedBroker
from tests.apikit import Api, FakeBank, assessed, running, settings_for, stored, transfer, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    settings = settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"))
    async with running(settings, bank=FakeBank()) as running_api:
        yield running_api


async def assess(api: Api, found: Assessment) -> None:
    api.topics.assess(found)
    await stored(api, found.transfer.transfer_id)


@pytest.mark.parametrize("note", ["本人操作，已电话核实", ""])
async def test_the_note_of_a_verdict_is_kept_in_the_audit_trail(api: Api, note: str) -> None:
    found = assessed(transfer(), Band.ALLOW)
    await assess(api, found)
    transfer_id = found.transfer.transfer_id
    body = {"transfer_id": transfer_id, "label": "honest", "note": note}
    assert (await api.post("/v1/verdicts", body)).status_code == 202
    (entry,) = await api.runtime.database.read(lambda c: audit.read(c, subject=transfer_id))
    detail: Any = msgspec.json.decode(entry.detail)
    assert (entry.actor, entry.action) == ("ann", "verdict")
    assert detail == {"label": "honest", "source": "analyst"} | ({"note": note} if note else {})


async def test_a_verdict_that_came_before_its_assessment_is_counted_on_the_accounts(api: Api) -> None:
    subject = transfer(payer_account="EARLY-PAYER", payee_account="EARLY-PAYEE")
    transfer_id = subject.transfer_id
    verdict = Verdict(
        transfer_id=transfer_id, label=VerdictLabel.FRAUD, source="bank", decided_us=1, features=(), feature_set="f1"
    )
    api.topics.put(Topic.VERDICTS, transfer_id, verdict)
    await until(lambda: api.runtime.database.read(lambda c: verdicts.of_transfer(c, transfer_id)))
    await assess(api, assessed(subject, Band.ALLOW))

    def ours(found: list[Any]) -> dict[str, ControlEntry]:
        entries = [decode_control(each.value()) for each in found]
        return {entry.account: entry for entry in entries if entry.account in (subject.payer, subject.payee)}

    told = ours(await api.topics.collect(Topic.CONTROLS, lambda found: len(ours(found)) == 2))
    assert {account: (entry.proven_paid, entry.proven_received) for account, entry in told.items()} == {
        subject.payer: (1, 0),
        subject.payee: (0, 1),
    }
