"""What a worker tells of itself after its partitions have gone to another."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from models.risk.scorer import Scorer
from stream.controls import Controls
from stream.engine import ScoringEngine
from stream.exitcodes import ExitCode
from stream.settings import WorkerSettings
from telemetry.metrics import CONSUMER_LAG

NOBODY = "127.0.0.1:1"


def end(code: ExitCode, reason: str) -> NoReturn:
    raise AssertionError(f"{code}: {reason}")


async def test_a_worker_tells_no_lag_of_partitions_it_has_let_go(tmp_path: Path) -> None:
    settings = WorkerSettings(broker=NOBODY, data_dir=tmp_path)
    engine = ScoringEngine(settings, controls=Controls(), scorer=Scorer, end=end)
    CONSUMER_LAG.labels("transfers", "0").set(7)
    await engine._on_revoked()
    assert [sample for family in CONSUMER_LAG.collect() for sample in family.samples] == []
