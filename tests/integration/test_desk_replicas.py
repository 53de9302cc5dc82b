"""Two replicas at their desks on one PostgreSQL: what one does about an order, the other knows or waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest

from api.service import braking
from api.service.desk import Desk
from api.service.triage import triage
from models.control.messages import ControlKind
from models.control.policy import Why
from models.control.records import Actor
from models.control.states import OrderEvent
from tests.apikit import WAIT_S, assessed, transfer, until
from tests.controlkit import ANN, feedback, order
from tests.deskkit import Station, somebody_waits, station

pytestmark = pytest.mark.postgres

T = TypeVar("T")

HELD = "6217"
"""The account under `hold_on`."""

OPS = Actor("ops")


@pytest.fixture
async def one(url: str) -> AsyncIterator[Station]:
    async with station(url, dispatch=False) as made:
        yield made


@pytest.fixture
async def two(url: str, one: Station) -> AsyncIterator[Station]:
    async with station(url, dispatch=False, per_bank_minute=1) as made:
        yield made


async def hold_on(desk: Station) -> str:
    """Place a protective stop under which nothing leaves the account, as its bank has confirmed; return its id."""
    wanted = order(account=HELD)
    await desk.run(lambda at: at.open(wanted))
    await desk.run(lambda at: at.answer(wanted.order_id, feedback(wanted, control=ControlKind.DEBIT_BLOCK)))
    return wanted.order_id


class Paused:
    """A transaction that stands still where its work calls `here`, until the test lets it go on."""

    def __init__(self, desk: Station, work: Callable[[Desk, Callable[[], None]], T]) -> None:
        self._reached, self._going = threading.Event(), threading.Event()
        self.done = asyncio.create_task(desk.run(lambda at: work(at, self.here)))

    def here(self) -> None:
        self._reached.set()
        assert self._going.wait(WAIT_S)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, WAIT_S)

    def go_on(self) -> None:
        self._going.set()


async def test_a_credit_to_an_account_that_another_replica_is_releasing_finds_it_released(
    one: Station, two: Station
) -> None:
    hold, credit = await hold_on(one), assessed(transfer(payee_account=HELD))

    def release(at: Desk, here: Callable[[], None]) -> None:
        at.change(hold, OrderEvent.RELEASE, ANN, reason="verified")
        here()

    releasing = Paused(one, release)
    await releasing.reached()
    taking = asyncio.create_task(two.triage(credit))
    await until(lambda: one.database.read(somebody_waits))
    releasing.go_on()
    await releasing.done
    (taken,) = await taking
    assert taken.why is Why.COOLDOWN
    assert (await one.order(hold)).state == "releasing"


async def amid_a_batch(one: Station, two: Station, account: str, work: Callable[[Desk], T]) -> T:
    """Run ``work`` at ``one`` while ``two`` is between a new stop and a further credit to ``account``."""
    first, second = (assessed(transfer(payee_account=each)) for each in ("A", account))

    def batch(at: Desk, here: Callable[[], None]) -> None:
        triage(at, two.brake, [first])
        here()
        triage(at, two.brake, [second])

    taking = Paused(two, batch)
    await taking.reached()
    working = asyncio.create_task(one.run(work))
    await until(lambda: one.database.read(somebody_waits))
    taking.go_on()
    await taking.done
    return await working


async def test_a_change_of_an_order_and_a_batch_that_comes_to_that_order_do_not_wait_for_each_other(
    one: Station, two: Station
) -> None:
    hold = await hold_on(one)
    await amid_a_batch(one, two, HELD, lambda at: at.change(hold, OrderEvent.TAKE_REVIEW, ANN))
    found = await one.order(hold)
    assert (found.state, len(found.transfer_ids)) == ("under_review", 2)


async def test_a_trip_by_hand_and_a_batch_that_reaches_a_cap_do_not_wait_for_each_other(
    one: Station, two: Station
) -> None:
    standing = await amid_a_batch(one, two, "B", lambda at: braking.trip(at, "bank:ccb", "looks wrong", OPS))
    assert [(each.scope, each.cap) for each in standing] == [("bank:ccb", "per_bank")]
