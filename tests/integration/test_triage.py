"""The policy at the desk: one order per cause, several credits to one account, the brake, the hand-over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from api.service import braking
from api.service.desk import Desk
from api.service.drafting import DraftWish, draft
from api.service.triage import triage
from api.store import audit, lists, orders, transfers
from api.store import brake as brake_store
from api.store.database import StoreAway
from api.store.transfers import AssessedRow
from models.control.brake import MINUTE_US
from models.control.messages import ControlKind
from models.control.policy import Action, Why
from models.control.records import Actor
from models.control.states import OrderEvent, OrderKind
from models.risk.assessment import Assessment, Band, Reason
from models.wire import encode
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, assessed, transfer, until
from tests.controlkit import ANN, BOB, PAPER, T0
from tests.deskkit import Station, station

OPS = Actor("ops")


def row_of(found: Assessment) -> AssessedRow:
    return AssessedRow(assessment=found, body=encode(found))


def suspicious(rule: str = "3006", **changes: Any) -> Assessment:
    """Return an assessment that rests mostly on one rule, and on a ground that is conclusive."""
    grounds = (Reason(code=rule, weight=0.9, zh="可疑", en="suspicious"),)
    return assessed(transfer(**changes), reasons=(*grounds, Reason(code="C01", weight=0.1, zh="出租", en="for hire")))


async def test_a_redelivered_assessment_makes_nothing_new(home: Path | str) -> None:
    found = suspicious()
    bank = FakeBank()
    async with station(home, bank) as desk:
        (first,) = await desk.triage(found)
        await desk.reach(first.order_id, "applied")
        again = await desk.triage(found, found)
        entries = await desk.database.read(lambda c: audit.read(c, subject=first.order_id))
    assert again == [first, first]
    assert [each.action for each in entries] == ["order.open", "order.bank_ok"]
    assert len(bank.sent) == 1


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def became(outcome: str) -> float:
    return sample("sluice_stop_band_total", outcome=outcome)


async def test_what_became_of_the_stop_band_is_counted_once_for_each_transfer(home: Path | str) -> None:
    before = {outcome: became(outcome) for outcome in ("order", "inconclusive")}
    found, unsure = suspicious(), assessed(transfer(), reasons=(Reason(code="3006", weight=0.9, zh="可疑", en="odd"),))
    async with station(home, FakeBank()) as desk:
        (taken,) = await desk.triage(found)
        assert taken.action is Action.ORDER
        await desk.triage(found)
        (withheld,) = await desk.triage(unsure)
        assert withheld.why is Why.INCONCLUSIVE
    assert {outcome: became(outcome) - start for outcome, start in before.items()} == {
        "order": 1.0,
        "inconclusive": 1.0,
    }


async def test_each_credit_gets_its_own_amount_hold_until_the_account_is_blocked(home: Path | str) -> None:
    bank = FakeBank(control=ControlKind.AMOUNT_HOLD)
    async with station(home, bank) as desk:
        taken = [(await desk.triage(suspicious()))[0] for _ in range(8)]
        holds = [each for each in taken if each.action is Action.ORDER]
        assert len(holds) == 6
        last = await desk.reach(holds[-1].order_id, "applied")
        assert (last.amount_fen, last.control) == (0, ControlKind.DEBIT_BLOCK)
        assert last.whole_reason
        assert [(each.why, each.order_id) for each in taken[6:]] == [(Why.BLOCKED_ALREADY, last.order_id)] * 2
        assert len((await desk.order(last.order_id)).transfer_ids) == 3
    assert len(bank.sent) == 6


async def test_stops_of_a_day_hold_what_came_in_once(home: Path | str) -> None:
    holds = set[str]()
    async with station(home) as desk:
        for number in range(1, 4):
            paid = Reason(code="C01", weight=1.0, zh="出租", en="for hire", evidence={"payee_24h_yuan": number * 100.0})
            (taken,) = await desk.triage(assessed(transfer(amount_fen=10_000), reasons=(paid,)))
            assert (await desk.reach(taken.order_id, "applied")).amount_fen == 10_000
            holds.add(taken.order_id)
        (draft_,) = await desk.database.read(lambda c: orders.search(c, orders.Filter(kind=OrderKind.FREEZE)))
        assert draft_.amount_fen == 30_000
        leaves = Reason(code="C02", weight=1.0, zh="出租", en="for hire", evidence={"payer_24h_yuan": 300.0})
        out = transfer(payer_bank="ccb", payer_account="6217000000000002", payee_bank="icbc", payee_account="1")
        (left,) = await desk.triage(assessed(msgspec.structs.replace(out, amount_fen=25_000), reasons=(leaves,)))
        assert (left.action, left.why) == (Action.ATTACHED, Why.HELD_ALREADY)
        assert left.order_id in holds
        assert out.transfer_id in (await desk.order(left.order_id)).transfer_ids


async def test_one_freeze_draft_for_all_holds_of_an_account(home: Path | str) -> None:
    async with station(home) as desk:
        for amount in (100, 250):
            (taken,) = await desk.triage(suspicious(amount_fen=amount))
            await desk.reach(taken.order_id, "applied")
        drafts = await desk.database.read(lambda c: orders.search(c, orders.Filter(kind=OrderKind.FREEZE)))
    assert [(each.state, each.amount_fen, len(each.transfer_ids)) for each in drafts] == [("draft", 350, 2)]


async def test_money_at_risk_is_counted_once_for_each_kind_of_order(home: Path | str) -> None:
    kinds = ("protective_stop", "freeze")

    def at_risk() -> list[float]:
        return [sample("sluice_money_at_risk_fen_total", kind=kind, bank="ccb") for kind in kinds]

    before = at_risk()
    async with station(home, FakeBank()) as desk:
        (taken,) = await desk.triage(suspicious(amount_fen=700))
        bank = (await desk.reach(taken.order_id, "applied")).bank
    assert bank == "ccb"
    assert [now - then for now, then in zip(at_risk(), before, strict=True)] == [700.0, 700.0]


async def test_a_persons_draft_is_not_amended_by_the_machine(home: Path | str) -> None:
    found = suspicious()
    async with station(home) as desk:
        await desk.database.write(lambda c: transfers.record_assessments(c, [row_of(found)], 1))
        wish = DraftWish(kind="freeze", transfer_id=found.transfer.transfer_id, reason="r", round=2)
        own = await desk.run(lambda d: draft(d, wish, Actor("ann")))
        (taken,) = await desk.triage(suspicious())
        await desk.reach(taken.order_id, "applied")
        drafts = await desk.database.read(lambda c: orders.search(c, orders.Filter(kind=OrderKind.FREEZE)))
        assert (await desk.order(own.order_id)) == own
    assert sorted(each.maker for each in drafts) == ["ann", "sluice"]


@pytest.mark.parametrize(("deficient", "state"), [(False, "converted"), (True, "applied")])
async def test_a_freeze_that_lacks_money_does_not_end_the_hold(home: Path | str, deficient: bool, state: str) -> None:
    bank = FakeBank()
    async with station(home, bank) as desk:
        (taken,) = await desk.triage(suspicious())
        await desk.reach(taken.order_id, "applied")
        (freeze,) = await desk.database.read(lambda c: orders.search(c, orders.Filter(kind=OrderKind.FREEZE)))
        if deficient:
            bank.script = [lambda command: bank.apply(command, result="1200", executed_fen=1)]
        await desk.run(lambda d: d.change(freeze.order_id, OrderEvent.SUBMIT, ANN, document=PAPER))
        await desk.run(lambda d: d.change(freeze.order_id, OrderEvent.APPROVE, BOB, level="county"))
        await desk.reach(freeze.order_id, "effective_deficient" if deficient else "effective_limited")
        await desk.reach(taken.order_id, state)


async def test_a_list_change_after_scoring_counts(home: Path | str) -> None:
    found = suspicious()
    values = {"account": found.transfer.payee, "level": "white", "reason": "r", "maker": "a", "checker": "b"}
    async with station(home) as desk:
        await desk.database.write(lambda c: lists.put_level(c, values))
        (taken,) = await desk.triage(found)
    assert (taken.action, taken.why) == (Action.WITHHELD, Why.WHITE_LISTED)


async def trips(desk: Station) -> list[str]:
    return [each.scope for each in await desk.database.read(brake_store.trips)]


async def test_a_broken_rule_trips_the_brake_for_itself_only_and_a_person_rearms(home: Path | str) -> None:
    bank = FakeBank()
    async with station(home, bank, per_rule_minute=3) as desk:
        broken = [(await desk.triage(suspicious("9999", payee_account=f"A{n}")))[0] for n in range(5)]
        assert [each.action for each in broken] == [Action.ORDER] * 3 + [Action.WITHHELD] * 2
        assert broken[-1].why is Why.BRAKE
        (other,) = await desk.triage(suspicious("3006", payee_account="B"))
        assert other.action is Action.ORDER
        assert await trips(desk) == ["rule:9999"]
        entries = await desk.database.read(audit.read)
        assert [each.subject for each in entries if each.action == "brake.trip"] == ["rule:9999"]
        cleared = await desk.run(lambda d: braking.rearm(d, "all", "rule withdrawn", OPS))
        assert [each.scope for each in cleared] == ["rule:9999"]
        assert await trips(desk) == []
        (after,) = await desk.triage(suspicious("9999", payee_account="C"))
        assert after.action is Action.ORDER
        report = await desk.database.read(audit.verify)
        assert report.breach == ""


async def test_a_trip_outlives_the_process(home: Path | str) -> None:
    async with station(home, per_minute=1) as desk:
        await desk.triage(suspicious(payee_account="A"), suspicious(payee_account="B"))
        assert await trips(desk) == ["all"]
    async with station(home, per_minute=1) as desk:
        await desk.restart()
        (taken,) = await desk.triage(suspicious(payee_account="C"))
        assert taken.why is Why.BRAKE


async def failing_triage(desk: Station, *found: Assessment) -> None:
    """Act on assessments in a transaction that fails at its end."""

    def work(at: Desk) -> None:
        triage(at, desk.brake, found)
        raise StoreAway("lost")

    with pytest.raises(StoreAway):
        await desk.run(work)


async def test_a_transaction_that_is_rolled_back_counts_nowhere_and_its_retry_once(home: Path | str) -> None:
    found = [suspicious("9999", payee_account=f"A{n}") for n in range(3)]
    ordered = became("order")
    async with station(home, per_rule_minute=3) as desk:
        for _ in range(3):
            await failing_triage(desk, *found)
        assert became("order") == ordered
        assert [each.action for each in await desk.triage(*found)] == [Action.ORDER] * 3
        assert became("order") == ordered + 3
        assert [each.action for each in await desk.triage(*found)] == [Action.ORDER] * 3
        assert await trips(desk) == []
        (over,) = await desk.triage(suspicious("9999", payee_account="B"))
        assert over.why is Why.BRAKE


async def test_a_trip_that_is_rolled_back_is_none(home: Path | str) -> None:
    first, second = suspicious(payee_account="A"), suspicious(payee_account="B")
    withheld = sample("sluice_brake_withheld_total", cap="per_minute")
    async with station(home, per_minute=1) as desk:
        await failing_triage(desk, first, second)
        assert (desk.brake.trips, await trips(desk)) == ({}, [])
        assert sample("sluice_brake_withheld_total", cap="per_minute") == withheld
        assert [each.action for each in await desk.triage(first, second)] == [Action.ORDER, Action.WITHHELD]
        assert (list(desk.brake.trips), await trips(desk)) == (["all"], ["all"])
        assert sample("sluice_brake_withheld_total", cap="per_minute") == withheld + 1


async def test_a_trip_by_hand_that_is_rolled_back_suspends_nothing(home: Path | str) -> None:
    def work(at: Desk) -> None:
        braking.trip(at, "all", "looks wrong", OPS)
        raise StoreAway("lost")

    async with station(home) as desk:
        with pytest.raises(StoreAway):
            await desk.run(work)
        assert (desk.brake.trips, await trips(desk)) == ({}, [])
        await desk.run(lambda at: braking.trip(at, "rule:9999", "looks wrong", OPS))
        assert (list(desk.brake.trips), await trips(desk)) == (["rule:9999"], ["rule:9999"])
        held, free = await desk.triage(suspicious("9999", payee_account="A"), suspicious("3006", payee_account="B"))
        assert (held.why, free.action) == (Why.BRAKE, Action.ORDER)


async def test_a_rearming_that_is_rolled_back_leaves_the_brake_tripped(home: Path | str) -> None:
    def work(at: Desk) -> None:
        braking.rearm(at, "all", "looked into", OPS)
        raise StoreAway("lost")

    async with station(home, per_minute=1) as desk:
        await desk.triage(suspicious(payee_account="A"), suspicious(payee_account="B"))
        with pytest.raises(StoreAway):
            await desk.run(work)
        assert (list(desk.brake.trips), await trips(desk)) == (["all"], ["all"])


async def test_a_restart_knows_the_last_minutes_stops_of_this_instance_unless_a_person_rearmed_since(
    home: Path | str,
) -> None:
    clock = ManualClock(T0)
    async with station(home, clock=clock, per_rule_minute=2) as desk:
        for number in range(2):
            await desk.triage(suspicious("9999", payee_account=f"A{number}"))
        await desk.restart()
        (over,) = await desk.triage(suspicious("9999", payee_account="B"))
        assert over.why is Why.BRAKE
        clock.advance(1)
        await desk.run(lambda d: braking.rearm(d, "all", "looked into", OPS))
        await desk.restart()
        (after,) = await desk.triage(suspicious("9999", payee_account="C"))
        assert after.action is Action.ORDER
        clock.advance(MINUTE_US)
        await desk.restart()
        assert [(await desk.triage(suspicious("9999", payee_account=each)))[0].action for each in "DE"] == [
            Action.ORDER,
            Action.ORDER,
        ]


@pytest.mark.parametrize("band", [Band.ALLOW, Band.WATCH])
async def test_nothing_happens_below_the_stop_band(home: Path | str, band: Band) -> None:
    bank = FakeBank()
    async with station(home, bank) as desk:
        (taken,) = await desk.triage(assessed(transfer(), band))
        assert taken.action is Action.NONE
    assert bank.sent == []


async def test_state_audit_and_command_are_committed_together(
    home: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with station(home) as desk:
        monkeypatch.setattr("api.service.desk.outbox.enqueue", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await desk.triage(suspicious())
        assert await desk.database.read(orders.counts) == []
        assert await desk.database.read(audit.read) == []
        monkeypatch.undo()
        (taken,) = await desk.triage(suspicious())
        await until(lambda: desk.reach(taken.order_id, "applied"))
