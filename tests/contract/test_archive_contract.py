"""What the archive of snapshots promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sqlalchemy import text

from api.store import snapshots
from api.store.database import Database
from models.risk.archive import ArchiveError
from models.risk.columns import FEATURE_NAMES, FEATURE_SET
from models.risk.learning.learner import Learner
from models.risk.snapshot import LinearState, Snapshot, encode_state
from models.signing import sign_snapshot, verify_snapshot
from models.wire import ModelSnapshot
from tests.learnkit import SMALL, made_up


def published(*, moved: float, version: str) -> ModelSnapshot:
    """Return a signed snapshot whose linear detector has ``moved``; the rest of it stays the same."""
    width = len(FEATURE_NAMES)
    rows, _ = made_up(1_000, seed=1)
    learner = Learner(seed=1, settings=SMALL)
    learner.observe(rows, at_us=1)
    linear = LinearState(
        version="l", means=np.zeros(width), inverse_deviations=np.ones(width), weights=np.full(width, moved), bias=0.0
    )
    payload = encode_state(msgspec.structs.replace(learner.state(), linear=linear))
    snapshot = Snapshot(detector="panel", version=version, feature_set=FEATURE_SET, payload=payload)
    return sign_snapshot(snapshot, key=b"k", created_us=7)


async def test_snapshots_come_back_as_signed_and_keep_equal_parts_once(database: Database) -> None:
    records = [published(moved=1.0, version="p-1"), published(moved=2.0, version="p-2")]
    for record in [*records, records[0]]:
        await database.write(lambda c, record=record: snapshots.keep(c, record))
    for record in records:
        found = await database.read(lambda c, record=record: snapshots.find(c, "panel", record.version))
        assert found == record
        verify_snapshot(found, key=b"k")
    parts = await database.read(lambda c: c.execute(text("SELECT count(*) FROM snapshot_parts")).scalar_one())
    assert parts == 3, "one label-free detector, two linear ones"
    assert await database.read(lambda c: snapshots.find(c, "panel", "p-3")) is None
    await database.write(lambda c: c.execute(text("DELETE FROM snapshot_parts")))
    with pytest.raises(ArchiveError):
        await database.read(lambda c: snapshots.find(c, "panel", "p-1"))
