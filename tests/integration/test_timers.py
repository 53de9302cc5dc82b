"""Clocks that strike while somebody else changes the order, and freezes that wait in a bank's queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.service.drafting import DraftWish, draft
from api.store import orders, transfers
from api.store.transfers import AssessedRow
from models.control.deadlines import Due, DueKind
from models.control.messages import BankCommand, BankFeedback, CommandKind, ControlKind
from models.control.records import Order
from models.control.states import OrderEvent
from models.wire import encode
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, answer, assessed, transfer
from tests.controlkit import ANN, BOB, CYD, HOUR, PAPER, T0
from tests.deskkit import Station, station

MINUTE = 60_000_000


def into_the_queue(command: BankCommand) -> BankFeedback:
    return answer(command, "0000", control=ControlKind.AMOUNT_HOLD, executed_fen=0, prior_freeze_fen=7)


async def police_order(desk: Station, kind: str, state: str) -> Order:
    """Draft an order, have two persons sign it, and wait until the bank has answered."""
    found = assessed(transfer())
    row = AssessedRow(assessment=found, body=encode(found))
    await desk.database.write(lambda c: transfers.record_assessments(c, [row], 1))
    wish = DraftWish(kind=kind, transfer_id=found.transfer.transfer_id, reason="r")
    order_id = (await desk.run(lambda d: draft(d, wish, CYD))).order_id
    await desk.run(lambda d: d.change(order_id, OrderEvent.SUBMIT, ANN, document=PAPER))
    await desk.run(lambda d: d.change(order_id, OrderEvent.APPROVE, BOB, level="county"))
    return await desk.reach(order_id, state)


async def queued(desk: Station, bank: FakeBank) -> Order:
    bank.script = [into_the_queue]
    return await police_order(desk, "freeze", "queued")


async def due(desk: Station, after_us: int = 0) -> list[Order]:
    """Return the orders whose clock will have struck ``after_us`` from now."""
    at_us = desk.clock.now_us() + after_us
    return await desk.database.read(lambda c: orders.due(c, at_us, 99))


@pytest.mark.parametrize("result", ["0400", "7777"])
async def test_a_queued_freeze_is_not_lifted_because_no_bank_lists_it(tmp_path: Path, result: str) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        order_id = (await queued(desk, bank)).order_id
        await desk.run(lambda d: d.change(order_id, OrderEvent.REQUEST_LIFT, ANN, reason="unrelated"))
        bank.script = [lambda command: answer(command, result)]
        await desk.run(lambda d: d.change(order_id, OrderEvent.APPROVE_LIFT, BOB))
        assert (await desk.reach(order_id, "lift_failed")).result == result
        bank.script = [lambda command: answer(command, "0000")]
        desk.clock.advance(5 * MINUTE)
        await desk.timers.round()
        lifted = await desk.reach(order_id, "lifted")
    assert (lifted.result, lifted.end_reason) == ("0000", "unrelated")
    assert [each.original_application_id for each in bank.sent if each.kind is CommandKind.UNFREEZE] == [
        f"{order_id}-01"
    ] * 2


async def test_a_queued_freeze_that_its_bank_has_forgotten_is_asked_about_once_a_minute(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        order = await queued(desk, bank)
        bank.answers.clear()
        for asked in (1, 2):
            desk.clock.advance(MINUTE)
            assert await desk.timers.round() == 1
            assert await desk.timers.round() == 0
            assert bank.asked == [order.application_id] * asked
        assert (await desk.order(order.order_id)) == order


@pytest.mark.parametrize(("kind", "state", "minutes"), [("", "applied", 30), ("stop", "effective", 24 * 60)])
async def test_a_deadline_that_struck_as_the_bank_answered_does_not_move_the_next_one(
    tmp_path: Path, kind: str, state: str, minutes: int
) -> None:
    clock = ManualClock(T0)
    bank = FakeBank(clock.now_us)
    async with station(tmp_path, bank, clock=clock) as desk:
        bank.silent = True
        if kind:
            waits = await police_order(desk, kind, "dispatched")
        else:
            (taken,) = await desk.triage(assessed(transfer()))
            waits = await desk.order(taken.order_id)
        desk.clock.advance(MINUTE)
        bank.silent = False
        in_force = await desk.reach(waits.order_id, state)
        await desk.timers._handle(waits)
        assert await desk.order(waits.order_id) == in_force
        assert await due(desk, minutes * MINUTE - 1) == []
        desk.clock.advance(minutes * MINUTE)
        assert await desk.timers.round() == 1
        assert (await desk.order(waits.order_id)).reminders == 1


async def test_two_replicas_at_one_clock_remind_once(tmp_path: Path) -> None:
    async with station(tmp_path) as desk:
        stop = await police_order(desk, "stop", "effective")
        desk.clock.advance(24 * HOUR)
        (seen,) = await due(desk)
        await desk.timers._handle(seen)
        await desk.timers._handle(seen)
        assert (await desk.order(stop.order_id)).reminders == 1
        assert await due(desk, 18 * HOUR - 1) == []
        assert len(await due(desk, 18 * HOUR)) == 1


async def test_a_clock_that_strikes_too_early_is_set_right(tmp_path: Path) -> None:
    async with station(tmp_path) as desk:
        stop = await police_order(desk, "stop", "effective")
        early = Due(desk.clock.now_us(), DueKind.REMINDER)
        await desk.database.write(lambda c: orders.set_due(c, stop, early))
        assert await desk.timers.round() == 1
        assert await desk.order(stop.order_id) == stop
        assert await due(desk, 24 * HOUR - 1) == []
        assert len(await due(desk, 24 * HOUR)) == 1
