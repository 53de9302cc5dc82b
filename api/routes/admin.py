"""For operators: brake, counts, verification, audit trail."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.replies import answers, reply
from api.routes.common import Operator, Staff, runtime_of, transact, world_time
from api.schemas import RearmBody, TripBody
from api.service import braking
from api.store import audit, orders, outbox, transfers
from api.verify import Verification, verify
from telemetry.clock import wall_us

router = APIRouter(prefix="/v1", tags=["operation"])


@router.post("/admin/brake:trip")
async def trip(request: Request, body: TripBody, caller: Operator) -> Response:
    """Suspend automatic stops at once, in one scope or everywhere: Sluice only advises there until it is re-armed.

    Stops in force stay. Other replicas follow within seconds.
    """
    standing = await transact(request, lambda desk: braking.trip(desk, body.scope, body.reason, caller.actor))
    return reply({"tripped": standing})


@router.post("/admin/brake:rearm")
async def rearm(request: Request, body: RearmBody, caller: Operator) -> Response:
    """Re-arm automatic stops, in one scope or everywhere."""
    brake = runtime_of(request).brake
    cleared = await transact(request, lambda desk: braking.rearm(desk, body.scope, body.reason, caller.actor))
    return reply({"cleared": cleared, "tripped": list(brake.trips.values())})


@router.get("/admin/brake")
async def brake_state(request: Request, _caller: Staff) -> Response:
    """Return the brake's limits and what is tripped."""
    brake = runtime_of(request).brake
    return reply({"limits": brake.limits, "tripped": list(brake.trips.values())})


@router.get("/stats")
async def stats(request: Request, _caller: Staff) -> Response:
    """Return world time, and counts of transfers and of orders by kind and state.

    ``settled`` says that every accepted transfer is assessed and every bank has answered every command.
    """
    runtime = runtime_of(request)
    counts = await runtime.database.read(_stats)
    return reply(counts | world_time(runtime))


def _stats(connection: Connection) -> dict[str, Any]:
    by_kind: dict[str, dict[str, int]] = {"protective_stop": {}, "stop": {}, "freeze": {}}
    for kind, state, _bank, number, _since in orders.counts(connection):
        by_kind[kind][state] = by_kind[kind].get(state, 0) + number
    open_commands = sum(number for _, number, _ in outbox.ages(connection))
    return {
        "transfers": transfers.count_transfers(connection),
        "orders": by_kind,
        "outbox_open": open_commands,
        "settled": not open_commands and not transfers.unassessed(connection, wall_us(), 1),
    }


@router.get("/verify", responses=answers(Verification, "What was checked and what is wrong."))
async def verify_now(
    request: Request, _caller: Staff, settle_s: float = Query(default=30.0, ge=0, le=3600)
) -> Response:
    """Check the audit chain, orders against the banks, accepted against assessed transfers."""
    runtime = runtime_of(request)
    return reply(await verify(runtime.database, runtime.gateway, runtime.clock, settle_us=int(settle_s * 1e6)))


@router.get("/reconciliation", responses=answers(Verification, "What was checked and what is wrong."))
async def reconciliation(request: Request, caller: Staff) -> Response:
    """The same check, by its operational name."""
    return await verify_now(request, caller, settle_s=30.0)


@router.get("/audit")
async def audit_trail(
    request: Request,
    _caller: Staff,
    after: int = Query(default=0, ge=0, le=2**62),
    limit: int = Query(default=100, ge=1, le=1_000),
) -> Response:
    """Return audit entries after a sequence number, oldest first."""
    entries = await runtime_of(request).database.read(lambda connection: audit.read(connection, after, limit))
    return reply({"entries": entries})
