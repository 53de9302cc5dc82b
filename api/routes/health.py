"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.replies import reply
from api.routes.common import runtime_of

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz(request: Request) -> Response:
    """Return that the process works, and loudly whether the brake is tripped."""
    brake = runtime_of(request).brake
    state = "advise_only" if brake.trips else "ok"
    return reply({"status": state, "brake_tripped": [trip.scope for trip in brake.trips.values()]})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Return 200 if transfers can be taken and assessments are being read, else 503 with what is missing."""
    checks = await runtime_of(request).readiness()
    return reply({"ready": all(checks.values()), "checks": checks}, 200 if all(checks.values()) else 503)


@router.get("/metrics")
async def metrics() -> Response:
    """Return all metrics in Prometheus' text format."""
    return Response(await asyncio.to_thread(generate_latest), media_type=CONTENT_TYPE_LATEST)
