"""Archive of signed snapshots: every version that workers may have scored with."""

from __future__ import annotations

import zlib

from sqlalchemy import Connection, select

from api.store.dialect import insert_if_new
from api.store.tables import snapshot_parts, snapshots
from models.risk.archive import cut, joined, wanted
from models.wire import ModelSnapshot


def keep(connection: Connection, record: ModelSnapshot) -> None:
    """Archive a snapshot; one that is there already stays. Raise `ArchiveError` for a payload that is none."""
    made = cut(record.payload)
    parts = [{"digest": digest, "body": zlib.compress(body)} for digest, body in made.parts.items()]
    if parts:
        connection.execute(insert_if_new(connection, snapshot_parts), parts)
    values = {
        "detector": record.detector,
        "version": record.version,
        "feature_set": record.feature_set,
        "created_wall_us": record.created_us,
        "digest": record.digest,
        "signature": record.signature,
        "frame": made.frame,
    }
    connection.execute(insert_if_new(connection, snapshots).values(**values))


def find(connection: Connection, detector: str, version: str) -> ModelSnapshot | None:
    """Return an archived snapshot as it was published, or ``None``; raise `ArchiveError` if a part is lost."""
    named = (snapshots.c.detector == detector, snapshots.c.version == version)
    row = connection.execute(select(snapshots).where(*named)).one_or_none()
    if row is None:
        return None
    chosen = snapshot_parts.c.digest.in_(wanted(row.frame))
    parts = {
        each.digest: zlib.decompress(each.body) for each in connection.execute(select(snapshot_parts).where(chosen))
    }
    return ModelSnapshot(
        detector=row.detector,
        version=row.version,
        feature_set=row.feature_set,
        created_us=row.created_wall_us,
        payload=joined(row.frame, parts),
        digest=row.digest,
        signature=row.signature,
    )
