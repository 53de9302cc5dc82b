"""What a worker is made of by its settings, and what it tells of itself after its partitions have gone to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

import stream.engine
from models.risk.scorer import Scorer
from stream.controls import Controls
from stream.engine import ScoringEngine
from stream.exitcodes import ExitCode
from stream.settings import WorkerSettings
from telemetry.clock import Clock
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


@pytest.mark.parametrize(("speed", "world_s"), [(1.0, 300), (1000.0, 2000)])
def test_a_worker_takes_what_the_api_takes_in_a_fast_world(
    speed: float, world_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    class Heard(stream.engine.DebitStage):
        def __init__(self, tools: Any, *, clock: Clock, future_tolerance_us: int) -> None:
            told.append(future_tolerance_us)
            super().__init__(tools, clock=clock, future_tolerance_us=future_tolerance_us)

    monkeypatch.setattr(stream.engine, "DebitStage", Heard)
    settings = WorkerSettings(broker=NOBODY, data_dir=tmp_path, clock=f"0:0:{speed}")
    ScoringEngine(settings, controls=Controls(), scorer=Scorer, end=end)
    assert told == [world_s * 1_000_000]
