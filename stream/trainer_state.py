"""A trainer's state in one file: learner, contest, what waits for a label, and the offsets all stand at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from models.risk.contest import Contest, ContestState
from models.risk.learning.checkpoint import CheckpointError
from models.risk.learning.learner import Learner
from models.risk.snapshot import SnapshotError
from stream.labels import Labels

log = structlog.get_logger(__name__)

Positions = dict[str, dict[int, int]]
"""Next offset by topic and partition."""


class TrainerState(msgspec.Struct, tag_field="format", tag=2):
    """Everything a trainer needs to go on."""

    learner: bytes
    labels: Labels
    positions: Positions
    contest: ContestState


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TrainerState).decode


def save_state(path: Path, learner: Learner, contest: Contest, labels: Labels, positions: Positions) -> None:
    """Replace the file in one step, once the new one is on the disk."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.write(_encode(TrainerState(learner.state_bytes(), labels, positions, contest.dump())))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class Restored(NamedTuple):
    """A trainer's state as it was saved."""

    learner: Learner
    contest: Contest
    labels: Labels
    positions: Positions


def load_state(path: Path) -> Restored | None:
    """Return what was saved; None if there is nothing, or it cannot serve: torn, or of other features."""
    try:
        state = _decode(path.read_bytes())
        learner = Learner.restore(state.learner)
        contest = Contest.load(state.contest, learner.panel())
        return Restored(learner, contest, state.labels, state.positions)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, CheckpointError, SnapshotError) as error:
        log.error("the trainer's state cannot serve; it learns anew", path=str(path), error=str(error))
        return None
