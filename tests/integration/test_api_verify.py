"""After any faults of the banks, orders and controls agree; and every disagreement is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.bank import HttpGateway
from api.store import transfers
from api.store.transfers import AssessedRow
from api.verify import compare, verify
from models.control.messages import AppliedControl, CommandKind, ControlKind
from models.control.records import Order
from models.control.states import OrderEvent, OrderKind, OrderState, Purpose
from simulators.bank import BankHall, create_bank_app
from simulators.faults import FaultPlan
from simulators.ledger import Opening
from simulators.settings import BankSettings
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, assessed, registration, transfer, until
from tests.controlkit import ANN, HOUR, T0, order
from tests.deskkit import Station, station

MINUTE = 60_000_000
BANKS = ("icbc", "ccb", "abc", "boc")
ACCOUNTS = 12


@asynccontextmanager
async def world(folder: Path, **changes: Any) -> AsyncIterator[tuple[Station, BankHall, ManualClock]]:
    """Four real (simulated) banks with accounts, and a desk that talks HTTP to them."""
    clock = ManualClock(T0)
    settings = BankSettings(banks=",".join(f"{b}=k" for b in BANKS), answer_delay_ms=0, lost_answer_s=0.01)
    app = create_bank_app(settings, clock)
    hall: BankHall = app.state.hall
    hall.books.open(
        [
            Opening(bank=bank, account=f"A{number}", balance_fen=800_000, opened_us=T0 - 1, white_listed=number == 0)
            for bank in BANKS
            for number in range(ACCOUNTS)
        ]
    )
    gateway = HttpGateway({}, "http://banks", timeout_s=5, transport=httpx.ASGITransport(app))
    async with station(folder, gateway, clock=clock, **changes) as desk:
        yield desk, hall, clock
    await gateway.close()


async def settle(desk: Station, clock: ManualClock) -> None:
    """Let clocks strike and banks answer until no command is open."""

    async def done() -> bool:
        clock.advance(MINUTE)
        await desk.timers.round()
        report = await verify(desk.database, desk.guarded, clock)
        return not report.unclear and not report.outbox_open

    await until(done)


@pytest.mark.parametrize("seed", range(4))
async def test_orders_agree_with_banks_after_every_kind_of_fault(tmp_path: Path, seed: int) -> None:
    async with world(tmp_path) as (desk, hall, clock):
        for bank in BANKS:
            hall.faults.set(
                FaultPlan(
                    bank=bank, seed=seed, error_500=0.2, lose_answer=0.2, no_start_time=0.15,
                    stale_answer=0.1, refuse=0.1, refuse_code="1100", short_balance=0.1,
                )
            )  # fmt: skip
        found = [
            assessed(transfer(payee_bank=BANKS[n % 4], payer_bank=BANKS[(n + 1) % 4], payee_account=f"A{n % ACCOUNTS}"))
            for n in range(60)
        ]
        taken = await desk.triage(*found)
        thirds = [each.order_id for each in taken if each.order_id][::3]

        async def some_in_force() -> list[str]:
            return [each for each in thirds if (await desk.order(each)).state is OrderState.APPLIED]

        for order_id in await until(some_in_force):
            await desk.run(lambda d, o=order_id: d.change(o, OrderEvent.RELEASE, ANN, reason="customer verified"))
        hall.faults.clear()
        await settle(desk, clock)
        report = await verify(desk.database, desk.guarded, clock)
        assert report.ok, report.breaches
        assert report.orders_checked >= 50
        struck = [o for o in [await desk.order(t.order_id) for t in taken if t.order_id] if o.command_seq > 1]
        assert struck
        clock.advance(25 * HOUR)
        await settle(desk, clock)
        after = await verify(desk.database, desk.guarded, clock)
        assert after.ok, after.breaches
        left = [c for b in BANKS for n in range(ACCOUNTS) for c in await desk.guarded.controls(b, f"A{n}") or []]
        assert left == []
        assert hall.books.check().balanced


async def test_accepted_transfers_without_an_assessment_are_found(tmp_path: Path) -> None:
    async with station(tmp_path) as desk:
        row = AssessedRow(assessment=assessed(transfer(transfer_id="seen")), body=b"{}")

        def fill(connection: Any) -> None:
            transfers.register(connection, [registration(each) for each in ("seen", "lost", "posted")])
            transfers.confirm(connection, ["seen", "lost"], 1)
            transfers.record_assessments(connection, [row], 1)

        await desk.database.write(fill)
        report = await verify(desk.database, desk.guarded, desk.clock)
    assert not report.ok
    assert [(each.kind, each.subject) for each in report.findings] == [("unassessed", "lost")]
    assert (report.accepted, report.assessed, report.unassessed) == (2, 1, 1)


async def test_a_bank_that_cannot_be_asked_is_no_agreement(tmp_path: Path) -> None:
    bank = FakeBank()
    async with station(tmp_path, bank) as desk:
        (taken,) = await desk.triage(assessed(transfer()))
        await desk.reach(taken.order_id, "applied")
        assert (await verify(desk.database, desk.guarded, desk.clock)).ok
        bank.silent = True
        report = await verify(desk.database, desk.guarded, desk.clock)
    assert (report.ok, report.silent_banks, [each.kind for each in report.findings]) == (
        False,
        ["ccb"],
        ["bank_silent"],
    )


def applied(**changes: Any) -> Order:
    values = {
        "state": OrderState.APPLIED,
        "control": ControlKind.AMOUNT_HOLD,
        "stop_point_us": T0,
        "expire_us": T0 + HOUR,
        "applied_application_id": "PS-15447a8f541a252e-01",
        "command_seq": 1,
    }
    return order(**(values | changes))


def control(
    application_id: str = "PS-15447a8f541a252e-01", kind: ControlKind = ControlKind.AMOUNT_HOLD
) -> AppliedControl:
    return AppliedControl(
        application_id=application_id,
        kind=CommandKind.PROTECTIVE_STOP,
        control=kind,
        start_us=T0,
        expire_us=T0 + HOUR,
    )


@pytest.mark.parametrize(
    ("orders", "controls", "found"),
    [
        ([applied()], [control()], set()),
        ([applied()], [], {"control_missing"}),
        ([applied(purpose=Purpose.RELEASE, command_seq=2, state=OrderState.RELEASING)], [], set()),
        ([applied(state=OrderState.RELEASED)], [control()], {"control_left"}),
        ([applied(state=OrderState.RELEASE_FAILED)], [control()], set()),
        ([applied(kind=OrderKind.STOP, state=OrderState.SUPERSEDED)], [control()], set()),
        ([applied()], [control(kind=ControlKind.DEBIT_BLOCK)], {"control_differs"}),
        ([applied()], [control(), control("PS-ffffffffffffffff-01")], {"control_unknown"}),
        ([applied()], [control(), control("A-POLICE-PAPER-77")], set()),
        ([], [], set()),
    ],
)
def test_disagreements(orders: list[Order], controls: list[AppliedControl], found: set[str]) -> None:
    assert {each.kind for each in compare(orders, controls, T0 + 1)} == found


def test_what_expires_now_may_be_gone_already() -> None:
    assert compare([applied()], [], T0 + HOUR) == []
