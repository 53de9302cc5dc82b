"""The crash proof once, in CI; ``python -m tests.integration.crash_proof --times 10`` for the long run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.crash_proof import freeze_worker, join_and_leave, prove
from tests.streamkit import require_kafka

PATIENT_AGAIN_S = 45.0
"""A quiet machine takes less than `crash_proof.AGAIN_S`; with the engine's own session of 60 s none keeps this."""


@pytest.mark.kafka
@pytest.mark.slow
def test_nothing_is_lost_counted_or_ordered_twice_whoever_dies(tmp_path: Path) -> None:
    require_kafka()
    outcome = prove(tmp_path)
    print(outcome)
    assert outcome.accepted == outcome.assessed == 20_000
    assert outcome.proven
    assert outcome.profiles > 4_000
    assert outcome.executed == outcome.orders < outcome.stop_band
    assert outcome.scoring_again_s < PATIENT_AGAIN_S


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_that_wakes_up_given_up_does_no_harm(tmp_path: Path) -> None:
    require_kafka()
    outcome = prove(tmp_path, blows=freeze_worker, count=15_000)
    print(outcome)
    assert outcome.accepted == outcome.assessed == 15_000
    assert outcome.proven


@pytest.mark.kafka
@pytest.mark.slow
def test_planned_changes_need_no_end(tmp_path: Path) -> None:
    require_kafka()
    # A machine that stands still for some seconds must not end a worker here, as it should elsewhere.
    patience = {"session_timeout_s": 20.0, "confirm_timeout_s": 15.0}
    outcome = prove(tmp_path, blows=join_and_leave, count=15_000, **patience)
    print(outcome)
    assert outcome.accepted == outcome.assessed == 15_000
    assert outcome.proven
    assert outcome.exits == {}


@pytest.mark.kafka
@pytest.mark.slow
def test_warm_copies_on_disk_are_as_right_as_the_log(tmp_path: Path) -> None:
    require_kafka()
    outcome = prove(tmp_path, count=12_000, store="rocksdb", standby_replicas=1)
    print(outcome)
    assert outcome.accepted == outcome.assessed == 12_000
    assert outcome.proven
