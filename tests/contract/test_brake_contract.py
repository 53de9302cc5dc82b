"""The brake in the store, on both databases: what stands, what was counted, and who re-armed it."""

from __future__ import annotations

from sqlalchemy import Connection

from api.store import audit, brake, orders, outbox
from api.store.database import Database
from models.control.brake import Cap, Stop, Trip
from models.control.commands import command_of
from models.risk.assessment import Reason
from tests.controlkit import T0, order


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
