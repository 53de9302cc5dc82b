"""A program's own ends are counted over its restarts, whatever happens to the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry.exits import ExitTally
from telemetry.metrics import PROGRAM_EXITS


@pytest.fixture(autouse=True)
def fresh_counter() -> None:
    PROGRAM_EXITS.clear()


def shown() -> dict[str, float]:
    (family,) = PROGRAM_EXITS.collect()
    return {sample.labels["reason"]: sample.value for sample in family.samples if sample.name.endswith("_total")}


def test_the_next_run_tells_of_the_last_ones(tmp_path: Path) -> None:
    path = tmp_path / "worker.exits"
    for reason in ("offset_gap", "offset_gap", "unconfirmed"):
        ExitTally(path, ("offset_gap", "unconfirmed", "brake")).load()
        PROGRAM_EXITS.clear()
        tally = ExitTally(path, ("offset_gap", "unconfirmed", "brake"))
        tally.load()
        tally.note(reason)
        PROGRAM_EXITS.clear()
    ExitTally(path, ("offset_gap", "unconfirmed", "brake")).load()
    assert shown() == {"offset_gap": 2, "unconfirmed": 1, "brake": 0}


def test_every_reason_is_visible_before_it_happens(tmp_path: Path) -> None:
    ExitTally(tmp_path / "none", ("offset_gap", "brake")).load()
    assert shown() == {"offset_gap": 0, "brake": 0}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"offset_gap": "many"}'])
def test_a_torn_file_counts_as_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "worker.exits"
    path.write_bytes(content)
    tally = ExitTally(path, ("offset_gap",))
    tally.load()
    assert shown() == {"offset_gap": 0}
    tally.note("offset_gap")
    ExitTally(path, ("offset_gap",)).load()
    assert shown() == {"offset_gap": 1}


def test_noting_never_fails(tmp_path: Path) -> None:
    ExitTally(tmp_path / "gone" / "worker.exits", ("brake",)).note("brake")
