"""Commands on their way to banks that lose answers, fall silent, refuse, or say strange things."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from api.bank import NoAnswer, Trouble
from api.store import outbox
from models.control.messages import AppliedControl, CommandKind, ControlKind
from models.control.policy import doubted_until_us, standing_from
from models.control.states import OrderEvent
from models.risk.assessment import ListLevel
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, answer, assessed, transfer
from tests.controlkit import ANN, HOUR, T0
from tests.deskkit import Station, station

MINUTE = 60_000_000


async def stopped(desk: Station) -> str:
    (taken,) = await desk.triage(assessed(transfer()))
    assert taken.order_id
    return taken.order_id


async def silent_then(desk: Station, bank: FakeBank, order_id: str) -> None:
    """Let the feedback deadline pass without an answer."""
    bank.silent = True
    desk.clock.advance(MINUTE)
    await desk.timers.round()
    await desk.reach(order_id, "unconfirmed")


async def test_a_lost_answer_is_asked_for_and_the_command_not_sent_twice(tmp_path: Path) -> None:
    bank = FakeBank()
    bank.lose_answers = 1
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "applied")
    assert [each.application_id for each in bank.sent] == [order.application_id]
    assert bank.asked == [order.application_id]


async def test_a_command_that_never_arrived_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    bank = FakeBank()
    bank.script = [NoAnswer(Trouble.ERROR, "connection refused")] * 3
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "applied")
    assert {each.application_id for each in bank.sent} == {order.application_id}
    assert len(bank.in_force) == 1


async def test_silence_is_unconfirmed_and_a_late_answer_counts(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        bank.silent = True
        order_id = await stopped(desk)
        await silent_then(desk, bank, order_id)
        bank.silent = False
        assert (await desk.reach(order_id, "applied")).stop_point_us > 0


async def test_success_without_stop_point_is_never_effective(tmp_path: Path) -> None:
    bank = FakeBank()
    bank.script = [lambda command: answer(command, "0000", control=ControlKind.AMOUNT_HOLD)]
    async with station(tmp_path, bank) as desk:
        order_id = await stopped(desk)
        await desk.reach(order_id, "unconfirmed")
        desk.clock.advance(MINUTE)
        await desk.timers.round()
        order = await desk.reach(order_id, "failed")
    assert (order.stop_point_us, order.result) == (0, "0000")


@pytest.mark.parametrize(("executed_fen", "deficient"), [(200_000, True), (500_000, False), (0, False)])
async def test_an_unknown_code_is_settled_by_the_control_the_bank_reports(
    tmp_path: Path, executed_fen: int, deficient: bool
) -> None:
    bank = FakeBank()
    bank.script = [lambda command: answer(command, "7777", failure_cause="E17")]
    async with station(tmp_path, bank) as desk:
        order_id = await stopped(desk)
        order = await desk.reach(order_id, "unconfirmed")
        assert (order.result, order.cause) == ("7777", "E17")
        bank.in_force[order.application_id] = AppliedControl(
            application_id=order.application_id,
            kind=CommandKind.PROTECTIVE_STOP,
            control=ControlKind.DEBIT_BLOCK,
            start_us=T0 + 5,
            expire_us=T0 + HOUR,
            executed_fen=executed_fen,
        )
        bank.accounts[order.application_id] = order.account
        desk.clock.advance(MINUTE)
        await desk.timers.round()
        found = await desk.reach(order_id, "applied")
    assert (found.stop_point_us, found.control, found.expire_us) == (T0 + 5, ControlKind.DEBIT_BLOCK, T0 + HOUR)
    assert (found.executed_fen, found.deficient) == (executed_fen, deficient)


async def test_a_fault_of_the_bank_is_tried_again_under_a_new_id_then_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.service.desk.FAULT_PAUSE_US", 1_000)
    bank = FakeBank()
    bank.script = [lambda command: answer(command, "1100")] * 3
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "failed")
    assert [each.application_id[-2:] for each in bank.sent] == ["01", "02", "03"]
    assert order.result == "1100"


async def test_a_refusal_is_final_and_says_why(tmp_path: Path) -> None:
    bank = FakeBank()
    bank.script = [lambda command: answer(command, "0300", feedback_remark="no such account")]
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "declined")
        assert await desk.database.read(outbox.ages) == []
    assert (order.result, order.cause) == ("0300", "no such account")


async def test_restart_takes_up_what_the_outbox_holds_and_asks_before_it_sends(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank, dispatch=False) as desk:
        order_id = await stopped(desk)
    assert bank.sent == []
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(order_id, "applied")
    assert bank.asked == [order.application_id]
    assert len(bank.sent) == 1


async def test_killed_between_the_banks_act_and_our_record_nothing_is_done_twice(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank, dispatch=False) as desk:
        order_id = await stopped(desk)
        (pending,) = await desk.database.write(lambda c: outbox.lease(c, "one", 1, 2, 9))
        await bank.send(pending.command)
    async with station(tmp_path, bank) as desk:
        await desk.reach(order_id, "applied")
    assert len(bank.sent) == 1


async def test_a_hold_ends_only_when_the_bank_has_confirmed_the_release(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "applied")
        desk.clock.advance(order.expire_us - T0 - 1)
        await desk.timers.round()
        assert (await desk.order(order.order_id)).state == "applied"
        bank.silent = True
        desk.clock.advance(1)
        await desk.timers.round()
        assert (await desk.order(order.order_id)).state == "expiring"
        bank.silent = False
        await desk.reach(order.order_id, "expired")
    assert bank.in_force == {}
    assert bank.sent[-1].kind is CommandKind.PROTECTIVE_RELEASE
    assert bank.sent[-1].original_application_id == order.application_id


async def test_the_sending_of_a_stop_is_measured_and_that_of_its_release_is_not(tmp_path: Path) -> None:
    def counts() -> tuple[float, float]:
        names = ("sluice_stop_sent_latency_seconds_count", "sluice_stage_latency_seconds_count")
        labels: tuple[dict[str, str], ...] = ({"bank": "ccb"}, {"stage": "stop_sent"})
        first, second = (REGISTRY.get_sample_value(*each) or 0.0 for each in zip(names, labels, strict=True))
        return first, second

    before = counts()
    async with station(tmp_path, FakeBank()) as desk:
        order = await desk.reach(await stopped(desk), "applied")
        desk.clock.advance(order.expire_us - T0)
        await desk.timers.round()
        await desk.timers.round()  # the first reminded somebody of the review
        await desk.reach(order.order_id, "expired")
    assert counts() == (before[0] + 1, before[1] + 1)


async def test_a_failed_release_is_retried_until_the_control_is_gone(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "applied")
        bank.script = [lambda command: answer(command, "0801")]
        await desk.run(lambda d: d.change(order.order_id, OrderEvent.RELEASE, ANN, reason="customer verified"))
        await desk.reach(order.order_id, "release_failed")
        desk.clock.advance(5 * MINUTE)
        await desk.timers.round()
        await desk.reach(order.order_id, "released")
    assert bank.in_force == {}


async def test_a_hold_whose_release_failed_at_expiry_ends_as_expired_and_leaves_its_doubt(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        order_id = await stopped(desk)
        order = await desk.reach(order_id, "applied")
        bank.script = [lambda command: answer(command, "0801")]
        await desk.run(lambda d: d.change(order_id, OrderEvent.TAKE_REVIEW, ANN))
        desk.clock.advance(order.expire_us - T0)
        await desk.timers.round()
        await desk.reach(order_id, "release_failed")
        desk.clock.advance(5 * MINUTE)
        await desk.timers.round()
        ended = await desk.reach(order_id, "expired")
    assert (standing_from([ended], ListLevel.NONE).released_us, doubted_until_us([ended])) == (0, ended.state_since_us)


async def test_a_release_the_bank_does_not_know_is_settled_by_asking_for_its_controls(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        order = await desk.reach(await stopped(desk), "applied")
        bank.in_force.clear()
        await desk.run(lambda d: d.change(order.order_id, OrderEvent.RELEASE, ANN, reason="customer verified"))
        await desk.reach(order.order_id, "release_failed")
        desk.clock.advance(5 * MINUTE)
        await desk.timers.round()
        await desk.reach(order.order_id, "released")


async def test_a_command_whose_period_is_over_is_not_sent_any_more(tmp_path: Path) -> None:
    bank = FakeBank()
    clock = ManualClock(T0)
    async with station(tmp_path, bank, clock=clock, dispatch=False) as desk:
        order_id = await stopped(desk)
        clock.advance(25 * HOUR)
        await desk.timers.round()
        assert (await desk.order(order_id)).state == "unconfirmed"
    async with station(tmp_path, bank, clock=clock) as desk:
        await desk.reach(order_id, "failed")
    assert bank.sent == []


async def test_review_is_reminded_once(tmp_path: Path) -> None:
    async with station(tmp_path) as desk:
        order = await desk.reach(await stopped(desk), "applied")
        desk.clock.advance(31 * MINUTE)
        assert await desk.timers.round() == 1
        assert await desk.timers.round() == 0
        assert (await desk.order(order.order_id)).reminders == 1


async def test_a_silent_bank_delays_only_its_own_commands(tmp_path: Path) -> None:
    class Half(FakeBank):
        async def send(self, command):  # type: ignore[no-untyped-def]
            if command.bank_id == "icbc":
                raise NoAnswer(Trouble.TIMEOUT, "silent")
            return await super().send(command)

    async with station(tmp_path, Half()) as desk:
        stuck, fine = await desk.triage(
            assessed(transfer(payee_bank="icbc", payer_bank="ccb")), assessed(transfer(payee_bank="ccb"))
        )
        await desk.reach(fine.order_id, "applied")
        assert (await desk.order(stuck.order_id)).state == "proposed"


async def test_other_replicas_commands_are_left_alone_until_their_lease_runs_out(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank, dispatch=False) as desk:
        order_id = await stopped(desk)
        later = 2**60
        assert await desk.database.write(lambda c: outbox.lease(c, "two", 1, later, 9)) == []
        assert len(await desk.database.write(lambda c: outbox.lease(c, "two", later, later + 1, 9))) == 1
    async with station(tmp_path, bank) as desk:
        await desk.dispatcher._sweep()
        assert (await desk.order(order_id)).state == "proposed"
    assert bank.sent == []
