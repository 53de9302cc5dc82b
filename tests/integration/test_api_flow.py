"""Transfers in, stops out: the api on both brokers, with a fake bank."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from api.store import transfers
from api.store.transfers import AssessedRow
from models.money.types import AccountId, Transfer
from models.risk.assessment import Band
from models.wire import ACCEPTED_HEADER, Topic, decode_control, decode_transfer, encode
from stream.broker import EmbeddedBroker
from tests.apikit import Api, assessed, running, settings_for, transfer, until
from tests.streamkit import running_kafka


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "embedded":
        embedded = EmbeddedBroker()
        yield embedded.bootstrap
        embedded.close()
    else:
        for kafka in running_kafka(tmp_path_factory.mktemp("kafka")):
            yield kafka.bootstrap


async def test_posted_transfer_reaches_the_topic_once(broker: str, tmp_path: Path) -> None:
    subject = transfer()
    async with running(settings_for(broker, tmp_path)) as api:
        first = await api.post("/v1/transfers", subject, who="icbc")
        again = await api.post("/v1/transfers", subject, who="icbc")
        found = [m for m in await api.topics.read_all(Topic.TRANSFERS) if subject.transfer_id in str(m.value())]
    assert first.status_code == again.status_code == 202, first.text
    assert first.json() == {
        "transfer_id": subject.transfer_id,
        "status": "accepted",
        "accepted_us": first.json()["accepted_us"],
        "decision": None,
    }
    assert again.json() == first.json() | {"status": "duplicate"}
    (message,) = found
    assert message.key().decode() == subject.payer
    record = decode_transfer(message.value())
    assert (record.transfer_id, record.payer, record.amount_fen) == (subject.transfer_id, subject.payer, 500_000)
    assert dict(message.headers())[ACCEPTED_HEADER] == str(first.json()["accepted_us"]).encode()


async def test_stop_band_becomes_a_confirmed_stop_and_a_freeze_draft(broker: str, tmp_path: Path) -> None:
    subject = transfer(payee_account="6217000000000077")
    async with running(settings_for(broker, tmp_path, group="g-stop")) as api:
        api.topics.assess(assessed(subject))
        order = await api.order_in("applied")
        draft = await api.order_in("draft", "freeze")
        (command,) = [each for each in api.bank.sent if each.account_number == subject.payee_account]

        async def stored() -> bool:
            found = await api.get(f"/v1/transfers/{subject.transfer_id}")
            return isinstance(found, dict) and found["action"] == "order"

        await until(stored)
        controls = await api.topics.collect(Topic.CONTROLS, lambda found: len(found) >= 2)
    assert order["amount_fen"] == command.amount_fen == subject.amount_fen
    assert order["stop_point_us"] > 0
    assert 0 <= order["stop_point_us"] + 24 * 3_600_000_000 - order["expire_us"] < 1_000_000
    assert draft["transfer_ids"] == [subject.transfer_id]
    entry = decode_control(controls[-1].value())
    assert (entry.account, entry.order_id) == (AccountId(subject.payee), order["order_id"])


async def test_wait_ms_returns_the_decision(broker: str, tmp_path: Path) -> None:
    subject = transfer()
    async with running(settings_for(broker, tmp_path, group="g-wait")) as api:
        post = asyncio.create_task(api.post("/v1/transfers", subject, who="icbc", wait_ms=5000))

        async def waiting() -> int:
            return api.runtime.waiters.waiting

        await until(waiting)
        api.topics.assess(assessed(subject, Band.WATCH))
        response = await post
    assert response.status_code == 200
    assert response.json()["decision"]["band"] == "watch"


async def test_a_decision_that_another_replica_stored_is_found(broker: str, tmp_path: Path) -> None:
    subject = transfer()
    async with running(settings_for(broker, tmp_path, group="g-poll", waiter_poll_ms=20)) as api:
        post = asyncio.create_task(api.post("/v1/transfers", subject, who="icbc", wait_ms=5000))

        async def waiting() -> int:
            return api.runtime.waiters.waiting

        await until(waiting)
        found = assessed(subject, Band.WATCH)
        row = AssessedRow(assessment=found, body=encode(found))
        await api.runtime.database.write(lambda c: transfers.record_assessments(c, [row], 1))
        response = await post
    assert (response.status_code, response.json()["decision"]["band"]) == (200, "watch")


async def test_no_decision_in_time_is_an_acceptance(broker: str, tmp_path: Path) -> None:
    async with running(settings_for(broker, tmp_path, group="g-late")) as api:
        response = await api.post("/v1/transfers", transfer(), who="icbc", wait_ms=30)
        assert (response.status_code, response.json()["decision"]) == (202, None)
        assert api.runtime.waiters.waiting == 0


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_broker_killed_and_restarted_is_used_again_without_a_restart_of_the_api(tmp_path: Path) -> None:
    for kafka in running_kafka(tmp_path):
        async with running(settings_for(kafka.bootstrap, tmp_path, confirm_timeout_s=2.0)) as api:

            async def taken(subject: Transfer, api: Api = api) -> bool:
                return (await api.post("/v1/transfers", subject, who="icbc")).status_code == 202

            first, lost = transfer(), transfer()
            for each in (transfer(), first):  # a broker that is cold answers its first write late
                await until(partial(taken, each))
            kafka.kill()
            assert (await api.post("/v1/transfers", lost, who="icbc")).status_code == 503
            await asyncio.to_thread(kafka.start)
            await until(partial(taken, lost))
            api.topics.assess(assessed(transfer(payee_account="6217000000000099")))
            await until(lambda: api.order_in("applied"))
            records = await api.topics.read_all(Topic.TRANSFERS)
    assert sum(lost.transfer_id in str(each.value()) for each in records) == 1
