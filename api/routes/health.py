"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.replies import reply
from api.routes.common import runtime_of, world_time

router = APIRouter(tags=["operation"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz(request: Request) -> Response:
    """Return that the process works, what time it is in the world, and loudly whether the brake is tripped."""
    runtime = runtime_of(request)
    trips = runtime.brake.trips
    state = {"status": "advise_only" if trips else "ok", "brake_tripped": list(trips)}
    return reply(state | world_time(runtime))


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Return 200 if transfers can be taken and assessments are being read, else 503 with what is missing."""
    checks = await runtime_of(request).readiness()
    return reply({"ready": all(checks.values()), "checks": checks}, 200 if all(checks.values()) else 503)


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics")
async def metrics() -> Response:
    """Return all metrics in Prometheus' text format."""
    return Response(await asyncio.to_thread(generate_latest), media_type=CONTENT_TYPE_LATEST)
