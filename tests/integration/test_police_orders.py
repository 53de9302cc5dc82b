"""Police orders at the desk: two stops at most, by two persons, for the money that is meant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.service.desk import Desk
from api.service.drafting import DraftWish, draft
from api.store import transfers
from api.store.transfers import AssessedRow
from models.control.records import GuardFailed
from models.control.states import OrderEvent
from models.risk.assessment import Assessment
from models.wire import encode
from tests.apikit import assessed, transfer
from tests.controlkit import ANN, BOB, PAPER, feedback
from tests.deskkit import Station, station, take_at_once
from tests.pgkit import PostgresServer


@pytest.fixture
def url() -> Iterator[str]:
    server = PostgresServer()
    yield server.new_database()
    server.remove()


async def known(desk: Station, *found: Assessment) -> None:
    rows = [AssessedRow(assessment=each, body=encode(each)) for each in found]
    await desk.database.write(lambda c: transfers.record_assessments(c, rows, 1))


async def submitted(desk: Station, found: Assessment, round_: int) -> str:
    """Return the id of a stop that waits for its second signature."""
    wish = DraftWish(kind="stop", transfer_id=found.transfer.transfer_id, reason="r", round=round_)

    def work(at: Desk) -> str:
        order_id = draft(at, wish, ANN).order_id
        return at.change(order_id, OrderEvent.SUBMIT, ANN, document=PAPER).order_id

    return await desk.run(work)


def may(at: Desk, order_id: str, event: OrderEvent) -> bool:
    try:
        at.change(order_id, event, BOB)
    except GuardFailed as refused:
        return refused.code != "too_many_stops"
    return True


@pytest.mark.postgres
async def test_of_two_replicas_that_approve_a_stop_at_once_one_is_refused_if_only_one_is_left(url: str) -> None:
    found = assessed(transfer())
    async with station(url, dispatch=False) as one, station(url, dispatch=False) as two:
        await known(one, found)
        first, second, third = [await submitted(one, found, round_) for round_ in (1, 2, 3)]
        assert await one.run(lambda at: may(at, first, OrderEvent.APPROVE))
        told = await take_at_once(
            one, two, lambda at: may(at, second, OrderEvent.APPROVE), lambda at: may(at, third, OrderEvent.APPROVE)
        )
        assert told == [True, False]


@pytest.mark.postgres
async def test_no_replica_extends_a_stop_while_another_approves_the_second_one(url: str) -> None:
    found = assessed(transfer())
    async with station(url, dispatch=False) as one, station(url, dispatch=False) as two:
        await known(one, found)
        first, second = [await submitted(one, found, round_) for round_ in (1, 2)]
        asked = await one.run(lambda at: at.change(first, OrderEvent.APPROVE, BOB))
        await one.run(lambda at: at.answer(first, feedback(asked)))
        await one.run(lambda at: at.change(first, OrderEvent.REQUEST_EXTENSION, ANN, reason="r"))
        told = await take_at_once(
            one,
            two,
            lambda at: may(at, second, OrderEvent.APPROVE),
            lambda at: may(at, first, OrderEvent.APPROVE_EXTENSION),
        )
        assert told == [True, False]
