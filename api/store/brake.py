"""The brake in the database: trips, which outlive the process since only a person re-arms, and the stops it counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, delete, func, select

from api.store.dialect import insert_if_new
from api.store.orders import decode_order
from api.store.tables import audit, brake_trips, orders, outbox
from models.control.brake import Cap, Stop, Trip, rule_of
from models.control.records import MACHINE
from models.control.states import OrderKind

TRIP: Final = "brake.trip"
REARM: Final = "brake.rearm"
"""Actions of the audit entries about the brake; their subject is the scope."""


def trips(connection: Connection) -> tuple[Trip, ...]:
    """Return the scopes in which automatic stops are suspended."""
    found = connection.execute(select(brake_trips))
    return tuple(Trip(scope=row.scope, cap=Cap(row.cap), at_us=row.at_us, count=row.hits) for row in found)


def record_trip(connection: Connection, trip: Trip) -> bool:
    """Store a trip; return whether its scope was free before."""
    statement = insert_if_new(connection, brake_trips).values(
        scope=trip.scope, cap=trip.cap.value, at_us=trip.at_us, hits=trip.count
    )
    return connection.execute(statement.returning(brake_trips.c.scope)).scalar_one_or_none() is not None


def clear_trips(connection: Connection, scopes: Iterable[str]) -> None:
    """Remove trips."""
    connection.execute(delete(brake_trips).where(brake_trips.c.scope.in_(list(scopes))))


def stops_since(connection: Connection, since_us: int, instance: str) -> list[Stop]:
    """Return the automatic stops ordered after ``since_us`` whose commands belong to ``instance``, oldest first.

    Each replica counts its own; one whose lease another has taken over counts as the other's.
    """
    ours = select(outbox.c.order_id).where(outbox.c.order_id == orders.c.order_id, outbox.c.owner == instance)
    statement = (
        select(orders.c.body)
        .where(orders.c.kind == OrderKind.PROTECTIVE_STOP.value, orders.c.created_us > since_us, ours.exists())
        .order_by(orders.c.created_us)
    )
    found = [decode_order(body) for body in connection.execute(statement).scalars()]
    return [Stop(each.created_us, each.bank, rule_of(each.reasons)) for each in found if each.maker == MACHINE.name]


def rearmed_us(connection: Connection, scopes: Iterable[str]) -> dict[str, int]:
    """Return when each of ``scopes`` was last re-armed, of those that ever were; UTC microseconds of the world."""
    statement = (
        select(audit.c.subject, func.max(audit.c.at_us).label("at_us"))
        .where(audit.c.action == REARM, audit.c.subject.in_(sorted(scopes)))
        .group_by(audit.c.subject)
    )
    return {row.subject: row.at_us for row in connection.execute(statement)}
