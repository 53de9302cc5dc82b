"""Trips of the brake: they outlive the process, since only a person re-arms."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from api.store.dialect import insert_if_new
from api.store.tables import brake_trips
from models.control.brake import Cap, Trip


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
