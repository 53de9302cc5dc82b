"""Re-arming the brake: a person's act, recorded."""

from __future__ import annotations

from api.service.desk import Desk
from api.store import brake as brake_store
from models.control.brake import EVERYTHING, Brake, Trip
from models.control.records import Actor
from telemetry import metrics


def rearm(desk: Desk, brake: Brake, scope: str, reason: str, actor: Actor) -> list[Trip]:
    """Clear a scope, or with ``all`` every scope; return what was cleared."""
    stored = brake_store.trips(desk.connection)
    cleared = [trip for trip in stored if scope in (EVERYTHING, trip.scope)]
    brake_store.clear_trips(desk.connection, [trip.scope for trip in cleared])
    desk.note("brake.rearm", scope, actor, {"reason": reason, "cleared": [trip.scope for trip in cleared]})
    brake.rearm(scope)
    metrics.BRAKE_TRIPPED.set(1 if brake.trips else 0)
    return cleared
