"""The brake in the store, on both databases: what stands, what was counted, who re-armed it, and who hears of it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection

from api.service import braking
from api.sharing import BrakeSharing
from api.store import audit, brake, orders, outbox
from api.store.database import Database
from models.control.brake import Cap, Stop, Trip
from models.control.commands import command_of
from models.control.policy import Why
from models.control.records import Actor
from models.risk.assessment import Reason
from telemetry.clock import ManualClock
from tests.apikit import FakeBank, assessed, transfer
from tests.controlkit import T0, order
from tests.deskkit import Station, station

OPS = Actor("ops")


async def test_trips(database: Database) -> None:
    trip = Trip(scope="bank:ccb", cap=Cap.PER_BANK, at_us=1, count=9)
    assert await database.write(lambda c: brake.record_trip(c, trip))
    assert not await database.write(lambda c: brake.record_trip(c, trip))
    assert await database.read(brake.trips) == (trip,)
    await database.write(lambda c: brake.clear_trips(c, ["bank:ccb"]))
    assert await database.read(brake.trips) == ()


async def test_stops_of_an_instance_since_a_moment_and_who_rearmed_what_and_when(database: Database) -> None:
    def store(connection: Connection, number: int, owner: str = "one", **changes: object) -> None:
        each = order(order_id=f"PS-{number:016x}", created_us=T0 + number, **changes)  # type: ignore[arg-type]
        orders.insert(connection, each, None)
        command = outbox.Pending(
            command=command_of(each, now_us=T0), order_id=each.order_id, priority=0, created_wall_us=1
        )
        outbox.enqueue(connection, command, owner, 100)

    def write(connection: Connection) -> None:
        store(connection, 3, reasons=(Reason(code="3006", weight=0.9, zh="可疑", en="odd"),))
        store(connection, 2)
        store(connection, 0)
        store(connection, 4, "two")
        store(connection, 5, maker="ann")
        for at_us, subject, action in ((1, "all", brake.REARM), (7, "all", brake.REARM), (9, "all", "brake.trip")):
            audit.append(connection, at_us=at_us, actor="ops", action=action, subject=subject, detail={})

    await database.write(write)
    found = await database.read(lambda c: brake.stops_since(c, T0, "one"))
    assert found == [Stop(T0 + 2, "ccb", "none"), Stop(T0 + 3, "ccb", "3006")]
    assert await database.read(lambda c: brake.rearmed_us(c, {"all", "bank:ccb"})) == {"all": 7}
    assert await database.read(lambda c: brake.rearmed_us(c, set())) == {}


@pytest.mark.parametrize("stood", [False, True])
async def test_a_trip_or_a_rearming_between_the_beginning_and_the_end_of_a_look_stands(
    database: Database, stood: bool
) -> None:
    desk = Station(database, FakeBank(), ManualClock(T0))
    act = braking.rearm if stood else braking.trip
    if stood:
        await desk.run(lambda at: braking.trip(at, "all", "looks wrong", OPS))
    looking = asyncio.create_task(BrakeSharing(database, desk.brake).look())
    await asyncio.sleep(0)
    # The loop stands still until this is committed, right behind what the look reads.
    desk.transactor.run_now(lambda at: act(at, "all", "looks wrong", OPS))
    await looking
    assert list(desk.brake.trips) == ([] if stood else ["all"])


async def withheld(desk: Station) -> bool:
    """Let a desk act on one more suspicious credit; return whether the brake kept it from a stop."""
    (taken,) = await desk.triage(assessed(transfer()))
    return taken.why is Why.BRAKE


@pytest.mark.parametrize("scope", ["all", "rule:C01"])
async def test_what_is_rearmed_at_one_replica_counts_anew_at_the_other(database: Database, scope: str) -> None:
    one = Station(database, FakeBank(), ManualClock(T0))
    async with station(database.url, dispatch=False, per_rule_minute=2) as two:
        sharing = BrakeSharing(two.database, two.brake)
        assert [await withheld(two) for _ in range(3)] == [False, False, True]
        await sharing.look()
        assert await withheld(two)
        (cleared,) = await one.run(lambda at: braking.rearm(at, scope, "looked into", OPS))
        assert cleared.scope == "rule:C01"
        assert await withheld(two)
        assert await database.read(brake.trips) == ()
        await sharing.look()
        assert [await withheld(two) for _ in range(3)] == [False, False, True]


async def test_a_trip_at_one_replica_holds_at_the_other(database: Database) -> None:
    one = Station(database, FakeBank(), ManualClock(T0))
    async with station(database.url, dispatch=False) as two:
        await one.run(lambda at: braking.trip(at, "bank:ccb", "looks wrong", OPS))
        await BrakeSharing(two.database, two.brake).look()
        assert await withheld(two)
