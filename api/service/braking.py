"""The brake and the database: what is recalled of it at a start, and re-arming it, a person's act."""

from __future__ import annotations

from sqlalchemy import Connection

from api.service.desk import Desk
from api.store import brake as brake_store
from models.control.brake import EVERYTHING, MINUTE_US, Brake, Trip, scopes_of
from models.control.records import Actor


def restore(connection: Connection, brake: Brake, *, now_us: int, instance: str) -> None:
    """Give a new brake the trips that stand, and the last minute's stops that ``instance`` ordered before it began."""
    brake.trips = {trip.scope: trip for trip in brake_store.trips(connection)}
    stops = brake_store.stops_since(connection, now_us - MINUTE_US, instance)
    scopes = {scope for stop in stops for scope in scopes_of(stop.bank, stop.rule)}
    brake.recall(stops, brake_store.rearmed_us(connection, scopes))


def rearm(desk: Desk, scope: str, reason: str, actor: Actor) -> list[Trip]:
    """Clear a scope, or with ``all`` every scope; return what was cleared."""
    stored = brake_store.trips(desk.connection)
    cleared = [trip for trip in stored if scope in (EVERYTHING, trip.scope)]
    brake_store.clear_trips(desk.connection, [trip.scope for trip in cleared])
    desk.note(brake_store.REARM, scope, actor, {"reason": reason, "cleared": [trip.scope for trip in cleared]})
    desk.effects.tally.rearmed.append(scope)
    return cleared
