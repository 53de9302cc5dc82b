"""Snapshots are data: what is read back is what was written, and nothing else is read at all."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.risk.features import FEATURE_INDEX, FEATURE_SET
from models.risk.learning.learner import Learner
from models.risk.panel import panel_from_snapshot
from models.risk.snapshot import (
    MAX_PAYLOAD_BYTES,
    PanelState,
    Snapshot,
    SnapshotError,
    check_state,
    decode_state,
    encode_state,
)
from models.signing import SignatureError, sign_snapshot, verify_snapshot
from tests.learnkit import SMALL, made_up

KEY = b"trainer's key"


@pytest.fixture(scope="module")
def state() -> PanelState:
    rows, fraud = made_up(6_000, seed=1)
    learner = Learner(seed=1, settings=SMALL)
    for start in range(0, 6_000, 1_000):
        learner.observe(rows[start : start + 1_000], at_us=start)
    learner.learn(rows, fraud, np.ones(len(rows)))
    learner.refit(1)
    learner.observe(rows, at_us=2)
    return learner.state()


def test_a_state_survives_its_bytes(state):
    payload = encode_state(state)
    assert encode_state(decode_state(payload)) == payload
    assert len(payload) < MAX_PAYLOAD_BYTES
    rows, _ = made_up(100, seed=2)
    risks = [panel_from_snapshot(payload).score(rows, rows[:, FEATURE_INDEX["rule_risk"]]) for _ in range(2)]
    assert risks[0] == risks[1]


def test_garbage_is_no_state(state):
    payload = encode_state(state)
    for raw in (b"", b"\x80", payload[:-1], payload + b"\0", b"\xff" * 100, bytes(MAX_PAYLOAD_BYTES + 1)):
        with pytest.raises(SnapshotError):
            decode_state(raw)


def test_no_byte_changed_at_random_can_break_the_reader(state):
    payload, rng = bytearray(encode_state(state)), np.random.default_rng(3)
    rows, _ = made_up(3, seed=4)
    read = 0
    for place in rng.integers(0, len(payload), 300):
        hurt = bytearray(payload)
        hurt[place] ^= int(rng.integers(1, 256))
        try:
            panel = panel_from_snapshot(bytes(hurt))
        except SnapshotError:
            continue
        read += 1
        with np.errstate(all="ignore"):
            assert len(panel.score(rows, rows[:, 0]).risks) == 3
    assert 0 < read < 300


def forest_with(state: PanelState, **changes: object) -> PanelState:
    return msgspec.structs.replace(state, forest=msgspec.structs.replace(state.forest, **changes))


def test_indices_that_point_outside_or_back_are_refused(state):
    forest = state.forest
    outside, back = forest.left.copy(), forest.left.copy()
    outside[0] = len(forest.left)
    inner = int(np.flatnonzero(forest.left != np.arange(len(forest.left)))[1])
    back[inner] = 0
    features = forest.features.copy()
    features[0] = -1
    for changes in ({"left": outside}, {"left": back}, {"features": features}, {"values": forest.values[:-1]}):
        with pytest.raises(SnapshotError):
            check_state(forest_with(state, **changes))
    not_finite = forest.values.copy()
    not_finite[-1] = np.nan
    with pytest.raises(SnapshotError):
        check_state(forest_with(state, values=not_finite))


def test_usual_values_travel_until_a_linear_state_holds_them(state):
    learner = Learner(seed=1, settings=SMALL)
    assert decode_state(encode_state(learner.state())).usual is None
    rows, _ = made_up(100, seed=5)
    learner.observe(rows, at_us=1)
    cold = decode_state(encode_state(learner.state()))
    assert cold.usual.shape == (cold.width,)
    assert (state.usual, state.linear is None) == (None, False)
    for wrong in (cold.usual[:-1], np.full(cold.width, np.inf)):
        with pytest.raises(SnapshotError):
            check_state(msgspec.structs.replace(cold, usual=wrong))


def test_a_snapshot_of_another_feature_set_is_refused(state):
    other = encode_state(msgspec.structs.replace(state, feature_set="f0"))
    with pytest.raises(SnapshotError, match="f0"):
        panel_from_snapshot(other)


def test_only_the_trainers_key_signs(state):
    snapshot = Snapshot(detector="panel", version="p-1", feature_set=FEATURE_SET, payload=encode_state(state))
    record = sign_snapshot(snapshot, key=KEY, created_us=1)
    verify_snapshot(record, key=KEY)
    for forged in (
        msgspec.structs.replace(record, payload=record.payload + b"\0"),
        msgspec.structs.replace(record, version="p-2"),
        msgspec.structs.replace(record, detector="other"),
        msgspec.structs.replace(record, digest="0" * 64),
        msgspec.structs.replace(record, signature=""),
    ):
        with pytest.raises(SignatureError):
            verify_snapshot(forged, key=KEY)
    with pytest.raises(SignatureError):
        verify_snapshot(record, key=b"another key")
