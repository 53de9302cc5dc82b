"""The archive of detectors: what a decision was made with."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Request, Response

from api.errors import NotFound
from api.replies import answers, reply
from api.routes.common import Staff, runtime_of
from api.store import snapshots
from models.risk.archive import ArchiveError
from models.wire import ModelSnapshot

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1", tags=["detection"])

DetectorPath = Annotated[str, Path(pattern=r"^[a-z\-]{1,32}$", examples=["panel"])]
VersionPath = Annotated[str, Path(pattern=r"^[0-9A-Za-z_.\-]{1,64}$", examples=["p-0123456789ab"])]


@router.get(
    "/snapshots/{detector}/{version}", responses=answers(ModelSnapshot, "The snapshot as the trainer signed it.")
)
async def get_snapshot(request: Request, detector: DetectorPath, version: VersionPath, _caller: Staff) -> Response:
    """Return a snapshot that was in service, byte for byte; whoever has the trainer's key can check its signature."""
    database = runtime_of(request).database
    try:
        found = await database.read(lambda connection: snapshots.find(connection, detector, version))
    except ArchiveError as error:
        log.error("an archived snapshot cannot be put together", detector=detector, version=version, error=str(error))
        raise NotFound("snapshot_incomplete", f"snapshot {version} of {detector}: {error}") from error
    if found is None:
        raise NotFound("unknown_snapshot", f"there is no snapshot {version} of {detector}")
    return reply(found)
