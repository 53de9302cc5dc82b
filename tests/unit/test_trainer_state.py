"""A trainer's state: what is read back is what was saved, and less than all of it is not read at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from models.risk.contest import Contest
from models.risk.learning.learner import Learner
from stream.labels import Labels
from stream.trainer_state import load_state, save_state
from tests.learnkit import made_up

POSITIONS = {"assessments": {0: 7, 3: 1}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    learner, path = Learner(seed=1), tmp_path / "trainer.state"
    contest = Contest(learner.panel())
    learner.observe(made_up(200, seed=2)[0], at_us=1)
    contest.challenge(learner.panel(), 5)
    save_state(path, learner, contest, Labels(maturity_us=9), POSITIONS)
    return path


def rewrite(path: Path, change: Any) -> None:
    state = msgspec.msgpack.decode(path.read_bytes())
    change(state)
    path.write_bytes(msgspec.msgpack.encode(state))


def test_all_of_it_comes_back(saved: Path) -> None:
    rewrite(saved, lambda _state: None)
    restored = load_state(saved)
    assert restored is not None
    assert (restored.positions, restored.labels) == (POSITIONS, Labels(maturity_us=9))
    assert restored.contest.on_trial
    assert restored.contest.champion.version != restored.learner.panel().version


@pytest.mark.parametrize("part", ["learner", "labels", "positions", "contest"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_state_that_lacks_a_part_does_not_serve(saved: Path, part: str, empty: bool) -> None:
    rewrite(saved, lambda state: state.update({part: None}) if empty else state.pop(part))
    with capture_logs() as lines:
        assert load_state(saved) is None
    (line,) = lines
    assert line["log_level"] == "error"
    assert part in line["error"]
