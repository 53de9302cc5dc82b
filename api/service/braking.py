"""The brake and the database: what is recalled of it at a start, and tripping and re-arming it, a person's acts."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from api.service.desk import Desk
from api.store import brake as brake_store
from models.control.brake import EVERYTHING, MINUTE_US, Brake, Cap, Trip, scopes_of
from models.control.records import Actor


def restore(connection: Connection, brake: Brake, *, now_us: int, instance: str) -> None:
    """Give a new brake the trips that stand, and the last minute's stops that ``instance`` ordered before it began."""
    brake.trips = {trip.scope: trip for trip in brake_store.trips(connection)}
    stops = brake_store.stops_since(connection, now_us - MINUTE_US, instance)
    scopes = {scope for stop in stops for scope in scopes_of(stop.bank, stop.rule)}
    brake.recall(stops, brake_store.rearmed_us(connection, scopes))


def trip(desk: Desk, scope: str, reason: str, actor: Actor) -> list[Trip]:
    """Suspend automatic stops in a scope by hand; return the trips that stand then. One that stood before stays."""
    by_hand = Trip(scope=scope, cap=Cap.BY_HAND, at_us=desk.now_us, count=0)
    if record(desk, by_hand, actor, reason=reason):
        desk.effects.tally.trips[scope] = by_hand
    return list(brake_store.trips(desk.connection))


def record(desk: Desk, trip: Trip, actor: Actor, **told: str) -> bool:
    """Store a trip, with what is ``told`` of it in the audit trail; return whether its scope was free before."""
    if not brake_store.record_trip(desk.connection, trip):
        return False
    desk.note(brake_store.TRIP, trip.scope, actor, told | msgspec.structs.asdict(trip))
    desk.effects.tripped.append(trip)
    return True


def rearm(desk: Desk, scope: str, reason: str, actor: Actor) -> list[Trip]:
    """Clear a scope, or with ``all`` every scope; return what was cleared."""
    stored = brake_store.trips(desk.connection)
    cleared = [trip for trip in stored if scope in (EVERYTHING, trip.scope)]
    brake_store.clear_trips(desk.connection, [trip.scope for trip in cleared])
    desk.note(brake_store.REARM, scope, actor, {"reason": reason, "cleared": [trip.scope for trip in cleared]})
    desk.effects.tally.rearmed.append(scope)
    return cleared
