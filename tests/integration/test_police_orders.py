"""Police orders and reports at the desk: two stops at most, two persons, and the money that is meant is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.service.desk import Desk
from api.service.drafting import DraftWish, draft
from api.service.reports import Report, file_report
from api.store import audit, lists, orders, transfers
from api.store.transfers import AssessedRow
from models.control.messages import ControlKind
from models.control.policy import Action
from models.control.records import MACHINE, Actor, GuardFailed, Order
from models.control.states import OrderEvent, OrderKind, OrderState
from models.risk.assessment import Assessment, Band, Reason
from models.wire import encode
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, answer, assessed, transfer
from tests.controlkit import ANN, BANK, BOB, CYD, HOUR, PAPER, T0, feedback, order
from tests.deskkit import Station, station, take_at_once


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


def hirer(**changes: Any) -> Assessment:
    """Return the assessment of a transfer that the machine stops by itself."""
    return assessed(transfer(**changes), reasons=(Reason(code="C01", weight=1.0, zh="出租", en="for hire"),))


async def report(desk: Station, found: Assessment, actor: Actor) -> dict[str, str]:
    """Return what became of a reported transfer."""
    filed = Report(transfer_ids=(found.transfer.transfer_id,), reported_us=T0)
    result = await desk.run(lambda at: file_report(at, desk.brake, filed, actor))
    return result.orders[0]


async def freezes(desk: Station) -> list[Order]:
    return await desk.database.read(lambda c: orders.search(c, orders.Filter(kind=OrderKind.FREEZE)))


async def drafted(desk: Station, found: Assessment) -> Order:
    """Return the freeze that follows the machine's own stop."""
    (taken,) = await desk.triage(found)
    await desk.reach(taken.order_id, "applied")
    (draft_,) = await freezes(desk)
    return draft_


async def submit(desk: Station, order_id: str, who: Actor = ANN) -> None:
    await desk.run(lambda at: at.change(order_id, OrderEvent.SUBMIT, who, document=PAPER))


async def approve(desk: Station, order_id: str, who: Actor) -> Order:
    return await desk.run(lambda at: at.change(order_id, OrderEvent.APPROVE, who, level="county"))


async def only_another_approves(desk: Station, order_id: str) -> None:
    with pytest.raises(GuardFailed) as refused:
        await approve(desk, order_id, CYD)
    assert refused.value.code == "same_person"
    assert (await approve(desk, order_id, BOB)).state is OrderState.DISPATCHED


async def test_nobody_raised_what_the_machine_drafts_alone(home: Path | str) -> None:
    async with station(home) as desk:
        draft_ = await drafted(desk, hirer())
        assert draft_.reporters == ()
        await submit(desk, draft_.order_id)
        assert (await approve(desk, draft_.order_id, CYD)).state is OrderState.DISPATCHED


@pytest.mark.parametrize("signed", [False, True])
async def test_who_reports_a_transfer_does_not_approve_the_freeze_that_waits(home: Path | str, signed: bool) -> None:
    found = hirer()
    async with station(home) as desk:
        draft_ = await drafted(desk, found)
        await known(desk, found)
        if signed:
            await submit(desk, draft_.order_id)
        for _ in range(2):
            await report(desk, found, CYD)
        await report(desk, found, BANK)
        if not signed:
            await submit(desk, draft_.order_id)
        assert (await desk.order(draft_.order_id)).reporters == ("cyd", "ccb")
        await only_another_approves(desk, draft_.order_id)
        assert (await desk.database.read(audit.verify)).breach == ""


async def test_who_reports_a_transfer_does_not_approve_the_freeze_that_follows(home: Path | str) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    async with station(home) as desk:
        await known(desk, missed)
        held = await report(desk, missed, CYD)
        assert (await desk.reach(held["order_id"], "applied")).reporters == ("cyd",)
        (draft_,) = await freezes(desk)
        await submit(desk, draft_.order_id)
        await only_another_approves(desk, draft_.order_id)


async def test_who_reports_a_transfer_does_not_approve_the_draft_it_is_added_to(home: Path | str) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    async with station(home) as desk:
        await known(desk, missed)
        draft_ = await drafted(desk, hirer())
        held = await report(desk, missed, CYD)
        await desk.reach(held["order_id"], "applied")
        await submit(desk, draft_.order_id)
        await only_another_approves(desk, draft_.order_id)


@pytest.mark.parametrize("listed", [False, True])
async def test_who_reports_a_transfer_does_not_approve_what_another_drafts_for_it(
    home: Path | str, listed: bool
) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    values = {"account": missed.transfer.payee, "level": "white", "reason": "r", "maker": "a", "checker": "b"}
    async with station(home) as desk:
        await known(desk, missed)
        if listed:
            await desk.database.write(lambda c: lists.put_level(c, values))
        await report(desk, missed, CYD)
        wish = DraftWish(kind="freeze", transfer_id=missed.transfer.transfer_id, reason="r", round=2)
        draft_ = await desk.run(lambda at: draft(at, wish, ANN))
        await submit(desk, draft_.order_id)
        await only_another_approves(desk, draft_.order_id)


async def test_a_freeze_asks_for_a_reported_credit_by_its_own_sum_and_once(home: Path | str) -> None:
    first, second = (hirer(amount_fen=fen) for fen in (2_000, 3_000))
    async with station(home, FakeBank(control=ControlKind.DEBIT_BLOCK)) as desk:
        assert (await drafted(desk, first)).amount_fen == 2_000
        (attached,) = await desk.triage(second)
        assert attached.action is Action.ATTACHED
        await known(desk, first, second)
        for each in (second, first, second):
            await report(desk, each, BANK)
            (draft_,) = await freezes(desk)
            assert (draft_.amount_fen, len(draft_.transfer_ids)) == (5_000, 2)


async def test_a_credit_reported_after_the_first_signature_gets_a_draft_of_its_own(home: Path | str) -> None:
    first, second = (hirer(amount_fen=fen) for fen in (2_000, 3_000))
    async with station(home, FakeBank(control=ControlKind.DEBIT_BLOCK)) as desk:
        signed = await drafted(desk, first)
        await submit(desk, signed.order_id)
        await desk.triage(second)
        await known(desk, first, second)
        for _ in range(2):
            await report(desk, second, BANK)
            own, before = sorted(await freezes(desk), key=lambda each: each.state)
            assert (before.amount_fen, before.state) == (2_000, OrderState.REVIEWED)
            assert (own.amount_fen, own.state, own.transfer_ids) == (
                3_000,
                OrderState.DRAFT,
                (second.transfer.transfer_id,),
            )


async def test_a_freeze_asks_for_a_credit_that_its_own_report_puts_under_a_block(home: Path | str) -> None:
    first, missed = hirer(amount_fen=2_000), assessed(transfer(amount_fen=3_000), Band.ALLOW)
    async with station(home, FakeBank(control=ControlKind.DEBIT_BLOCK)) as desk:
        await drafted(desk, first)
        await known(desk, missed)
        assert (await report(desk, missed, BANK))["action"] == "attached"
        (draft_,) = await freezes(desk)
        assert (draft_.amount_fen, len(draft_.transfer_ids)) == (5_000, 2)


async def test_a_freeze_asks_for_what_was_reported_before_the_bank_answered(home: Path | str) -> None:
    block = order(amount_fen=0, whole_reason="r")
    missed = assessed(transfer(payee_account=block.account, amount_fen=3_000), Band.ALLOW)
    async with station(home, dispatch=False) as desk:
        await known(desk, missed)
        await desk.run(lambda at: at.open(block))
        assert (await report(desk, missed, BANK))["action"] == "attached"
        await desk.run(lambda at: at.answer(block.order_id, feedback(block, control=ControlKind.DEBIT_BLOCK)))
        (draft_,) = await freezes(desk)
        assert (draft_.amount_fen, draft_.transfer_ids) == (503_000, ("t1", missed.transfer.transfer_id))


async def test_a_second_reporter_is_known_where_no_order_takes_the_name(home: Path | str) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    values = {"account": missed.transfer.payee, "level": "white", "reason": "r", "maker": "a", "checker": "b"}
    async with station(home) as desk:
        await known(desk, missed)
        await desk.database.write(lambda c: lists.put_level(c, values))
        for who in (BANK, CYD, CYD):
            await report(desk, missed, who)
        wish = DraftWish(kind="freeze", transfer_id=missed.transfer.transfer_id, reason="r")
        draft_ = await desk.run(lambda at: draft(at, wish, ANN))
        assert draft_.reporters == ("ccb", "cyd")
        await submit(desk, draft_.order_id)
        await only_another_approves(desk, draft_.order_id)


async def test_a_person_may_ask_for_all_that_the_stop_of_a_transfer_holds_and_for_no_more(home: Path | str) -> None:
    ground = Reason(code="C01", weight=1.0, zh="出租", en="for hire", evidence={"payee_24h_yuan": 300.0})
    found = assessed(transfer(amount_fen=10_000), reasons=(ground,))
    wish = DraftWish(kind="freeze", transfer_id=found.transfer.transfer_id, reason="r", amount_fen=30_001, round=2)
    async with station(home) as desk:
        assert (await drafted(desk, found)).amount_fen == 30_000
        await known(desk, found)
        with pytest.raises(GuardFailed, match="above that of the transfer"):
            await desk.run(lambda at: draft(at, wish, ANN))
        made = await desk.run(lambda at: draft(at, msgspec.structs.replace(wish, amount_fen=30_000), ANN))
        assert made.amount_fen == 30_000


async def expire(desk: Station, order_id: str) -> None:
    desk.clock.advance(24 * HOUR)
    await desk.run(lambda at: at.change(order_id, OrderEvent.EXPIRE, MACHINE))
    await desk.reach(order_id, "expired")


@pytest.mark.parametrize("end", ["declined", "expired"])
async def test_what_no_order_holds_any_more_is_held_anew_when_it_is_reported_again(home: Path | str, end: str) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    clock = ManualClock(T0)
    bank = FakeBank(clock.now_us)
    async with station(home, bank, clock=clock) as desk:
        await known(desk, missed)
        if end == "declined":
            bank.script = [lambda command: answer(command, "0300")]
        first = await report(desk, missed, BANK)
        await desk.reach(first["order_id"], "declined" if end == "declined" else "applied")
        if end == "expired":
            await expire(desk, first["order_id"])
        second = await report(desk, missed, BANK)
        assert (second["action"], second["state"]) == ("order", "proposed")
        assert second["order_id"] != first["order_id"]
        await desk.reach(second["order_id"], "applied")
        third = await report(desk, missed, BANK)
        assert (third["action"], third["state"], third["order_id"]) == ("order", "applied", second["order_id"])


async def test_a_report_said_again_does_not_undo_what_a_person_released_since(home: Path | str) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    async with station(home) as desk:
        await known(desk, missed)
        first = await report(desk, missed, BANK)
        await desk.reach(first["order_id"], "applied")
        await desk.run(lambda at: at.change(first["order_id"], OrderEvent.RELEASE, ANN, reason="verified"))
        await desk.reach(first["order_id"], "released")
        again = await report(desk, missed, BANK)
        assert (again["action"], again["why"], again["order_id"]) == ("withheld", "cooldown", "")


async def test_a_report_overrides_a_release_from_before_it(home: Path | str) -> None:
    found = hirer()
    async with station(home) as desk:
        (taken,) = await desk.triage(found)
        await known(desk, found)
        await desk.reach(taken.order_id, "applied")
        await desk.run(lambda at: at.change(taken.order_id, OrderEvent.RELEASE, ANN, reason="verified"))
        await desk.reach(taken.order_id, "released")
        held = await report(desk, found, BANK)
        assert (held["action"], held["state"]) == ("order", "proposed")


async def test_what_a_freeze_holds_is_not_held_once_more_when_it_is_reported_again(home: Path | str) -> None:
    missed = assessed(transfer(), Band.ALLOW)
    async with station(home) as desk:
        await known(desk, missed)
        held = await report(desk, missed, BANK)
        await desk.reach(held["order_id"], "applied")
        (draft_,) = await freezes(desk)
        await submit(desk, draft_.order_id)
        await approve(desk, draft_.order_id, BOB)
        await desk.reach(held["order_id"], "converted")
        again = await report(desk, missed, BANK)
        assert (again["action"], again["why"]) == ("attached", "blocked_already")
        assert (again["order_id"], again["state"]) == (draft_.order_id, "effective_limited")


async def test_a_stop_on_the_payer_holds_nothing_of_what_it_reports_to_have_paid(home: Path | str) -> None:
    paid = assessed(transfer(), reasons=(Reason(code="C02", weight=1.0, zh="出租", en="for hire"),))
    async with station(home) as desk:
        (taken,) = await desk.triage(paid)
        await known(desk, paid)
        assert (await desk.reach(taken.order_id, "applied")).target == paid.transfer.payer
        held = await report(desk, paid, BANK)
        assert held["action"] == "order"
        assert (await desk.reach(held["order_id"], "applied")).target == paid.transfer.payee
