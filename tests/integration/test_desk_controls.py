"""What the desk says on `controls` and `verdicts`: all that is known in one record, and the last one stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from api.service.desk import Desk
from api.service.reports import label, take_verdict
from api.store import lists, publications, transfers
from api.store.database import Priority, StoreAway
from api.store.transfers import AssessedRow
from models.control.messages import ControlKind
from models.money.types import LATEST_US, AccountId
from models.risk.assessment import Assessment, ListLevel, Reason
from models.wire import (
    ControlEntry,
    Topic,
    Verdict,
    VerdictLabel,
    VerdictSource,
    decode_control,
    decode_verdict,
    encode,
)
from tests.apikit import FakeBank, assessed, transfer
from tests.controlkit import ANN, HOUR, T0
from tests.deskkit import Station, station, take_at_once


def suspicious() -> Assessment:
    return assessed(transfer(), reasons=(Reason(code="C01", weight=0.9, zh="出租", en="for hire"),))


def put_black(connection: Connection, account: AccountId) -> None:
    lists.put_level(
        connection,
        {"account": account, "level": ListLevel.BLACK.value, "reason": "r", "maker": "ann", "checker": "bob"},
    )


async def latest(desk: Station, account: AccountId) -> ControlEntry:
    """Return the record of an account that the topic will keep."""
    waiting = await desk.database.read(lambda c: publications.unpublished(c, 1_000))
    return [decode_control(e.value) for e in waiting if (e.topic, e.key) == (Topic.CONTROLS, account.encode())][-1]


async def test_a_listing_and_the_strongest_control_stand_beside_each_other(tmp_path: Path) -> None:
    bank, (found, other) = FakeBank(), (suspicious(), suspicious())
    account = found.transfer.payee
    async with station(tmp_path, bank) as desk:
        await desk.database.write(lambda c: put_black(c, account))
        (weaker,) = await desk.triage(found)
        await desk.reach(weaker.order_id, "applied")
        bank.script = [
            lambda command: bank.apply(command, control=ControlKind.DEBIT_BLOCK, expire_us=desk.clock.now_us() + HOUR)
        ]
        (stronger,) = await desk.triage(other)
        order = await desk.reach(stronger.order_id, "applied")
        entry = await latest(desk, account)
        assert (entry.control, entry.order_id) == (ControlKind.DEBIT_BLOCK, stronger.order_id)
        assert entry.control_until_us == order.expire_us < (await desk.order(weaker.order_id)).expire_us
        assert (entry.level, entry.doubted_until_us) == (ListLevel.BLACK, LATEST_US)


@pytest.mark.postgres
async def test_what_two_replicas_learn_of_an_account_at_once_is_in_the_record_that_stays(url: str) -> None:
    found = suspicious()
    account = found.transfer.payee
    verdict = Verdict(
        transfer_id=found.transfer.transfer_id,
        label=VerdictLabel.FRAUD,
        source="bank",
        decided_us=T0,
        features=found.features,
        feature_set=found.feature_set,
    )

    def list_it(at: Desk) -> None:
        at.connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
        put_black(at.connection, account)
        at.note("list.approved", account, ANN, {})
        at.publish_control(account)

    async with station(url, dispatch=False) as one, station(url, dispatch=False) as two:
        row = AssessedRow(assessment=found, body=encode(found))
        await one.database.write(lambda c: transfers.record_assessments(c, [row], 1))

        def judge_while_the_other_lists_it(at: Desk) -> Any:
            assert take_verdict(at, verdict)
            with pytest.raises(StoreAway, match="lock"):
                two.transactor.run_now(list_it, Priority.BULK)

        await one.run(judge_while_the_other_lists_it)
        await two.run(list_it)
        entry = await latest(one, account)
    assert (entry.level, entry.proven_received) == (ListLevel.BLACK, 1)


async def labels_for_the_topic(desk: Station) -> list[str]:
    waiting = await desk.database.read(lambda c: publications.unpublished(c, 1_000))
    return [decode_verdict(each.value).label for each in waiting if each.topic == Topic.VERDICTS]


@pytest.mark.postgres
async def test_a_verdict_that_counts_less_is_not_put_behind_one_that_another_replica_takes_at_once(url: str) -> None:
    found = suspicious()
    async with station(url, dispatch=False) as one, station(url, dispatch=False) as two:
        row = AssessedRow(assessment=found, body=encode(found))
        await one.database.write(lambda c: transfers.record_assessments(c, [row], 1))

        def clear(at: Desk) -> bool:
            return label(at, found, VerdictLabel.HONEST, VerdictSource.ANALYST, ANN, at_us=T0)

        def report(at: Desk) -> bool:
            return label(at, found, VerdictLabel.FRAUD, VerdictSource.VICTIM_REPORT, ANN, at_us=T0)

        assert await take_at_once(one, two, clear, report) == [True, True]
        assert await labels_for_the_topic(one) == ["honest"]


@pytest.mark.postgres
async def test_what_a_bank_said_earlier_does_not_replace_what_another_replica_takes_at_once(url: str) -> None:
    def said(label_told: VerdictLabel, at_us: int) -> Callable[[Desk], bool]:
        verdict = Verdict(
            transfer_id="t-1", label=label_told, source="bank", decided_us=at_us, features=(), feature_set=""
        )
        return lambda at: take_verdict(at, verdict)

    later, earlier = said(VerdictLabel.HONEST, T0 + 1), said(VerdictLabel.FRAUD, T0)
    async with station(url, dispatch=False) as one, station(url, dispatch=False) as two:
        assert await take_at_once(one, two, later, earlier) == [True, False]


@pytest.mark.postgres
async def test_the_numbers_of_records_are_in_the_order_of_commits(url: str) -> None:
    def tell(at: Desk) -> None:
        at.connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
        at.publish(Topic.CONTROLS, "ccb/1", ControlEntry(account=AccountId("ccb/1"), updated_us=1))

    async with station(url, dispatch=False) as one, station(url, dispatch=False) as two:

        def tell_while_the_other_tells(at: Desk) -> None:
            tell(at)
            with pytest.raises(StoreAway, match="lock"):
                two.transactor.run_now(tell, Priority.BULK)

        await one.run(tell_while_the_other_tells)
