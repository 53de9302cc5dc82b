"""Drift of inputs and of error: an alarm for what is new, none for what ages, and nothing forgotten by a restart."""

from __future__ import annotations

import msgspec
import numpy as np

from models.risk.drift import CHECK_ROWS, SAMPLE_EVERY, WINDOW_ROWS, ErrorDrift, InputDrift
from models.risk.features import FEATURE_NAMES
from models.risk.learning.checkpoint import encode_plain
from models.risk.learning.learner import CLOCKS, Learner
from tests.learnkit import SMALL, made_up

FIRST_WINDOW = WINDOW_ROWS * SAMPLE_EVERY
"""Transfers until inputs have something to be compared with."""

NO_NOVELTY = msgspec.structs.replace(SMALL, use_novelty=False)
"""Half-space trees are slow to feed."""


def test_shifted_inputs_raise_an_alarm_and_a_new_reference_ends_it():
    rng = np.random.default_rng(2)
    watch = InputDrift(10)
    for _ in range(3):
        watch.observe(rng.normal(size=(4 * WINDOW_ROWS, 10)))
    watch.hold_reference()
    watch.observe(rng.normal(size=(4 * WINDOW_ROWS, 10)))
    assert not watch.alarm
    assert watch.shifted == ()
    shift = np.zeros(10)
    shift[3:6] = 2.0
    watch.observe(rng.normal(size=(4 * WINDOW_ROWS, 10)) + shift)
    assert watch.alarm
    assert watch.shifted == (3, 4, 5)
    watch.take_reference()
    assert not watch.alarm


SHIFTED = 20
"""Features that a planted drift moves: more than a tenth of them."""


def drifted(rows: int, *, seed: int) -> np.ndarray:
    features, _ = made_up(rows, seed=seed)
    features[:, :SHIFTED] += 2.0
    return features


def watching(rows: int) -> Learner:
    """Return a learner that has seen inputs, never a label, and so has no trees."""
    learner = Learner(seed=1, settings=NO_NOVELTY)
    for start in range(0, rows, 1_000):
        learner.observe(made_up(1_000, seed=50 + start)[0], at_us=start)
    return learner


def test_a_drift_before_the_first_trees_raises_the_alarm_and_a_restart_keeps_it():
    learner = watching(FIRST_WINDOW + 1_000)
    assert learner.health().alarms["inputs"] is False
    half_way = Learner.restore(learner.state_bytes())
    for each in (learner, half_way):
        each.observe(drifted(6_000, seed=60), at_us=1)
        assert each.health().alarms["inputs"], "a restart keeps the reference"
    assert half_way.health() == learner.health()
    restarted = Learner.restore(half_way.state_bytes())
    assert restarted.health().shifted_features == learner.health().shifted_features
    restarted.accept_inputs()
    assert not restarted.health().alarms["inputs"]


def test_a_young_reference_is_renewed_when_the_stream_is_twice_as_old_and_that_of_trees_is_not():
    """Profiles that fill shift a young stream by themselves; what trees have learned from stays as it was."""
    rng = np.random.default_rng(6)
    for held in (False, True):
        watch = InputDrift(10)
        if held:
            watch.hold_reference()
        watch.observe(rng.normal(size=(FIRST_WINDOW, 10)))
        watch.observe(rng.normal(size=(FIRST_WINDOW - 4, 10)) + 2.0)
        assert watch.alarm
        for _ in range(3):
            watch.observe(rng.normal(size=(4 * CHECK_ROWS, 10)) + 2.0)
        assert watch.alarm == held


def test_a_stream_that_ages_ever_more_slowly_is_no_alarm_and_a_real_shift_of_it_is():
    rng = np.random.default_rng(8)
    watch, level, rows = InputDrift(10), 0.0, FIRST_WINDOW
    watch.observe(rng.normal(size=(rows, 10)))
    for step in (0.9, 0.7, 0.55):
        level += step
        for _ in range(rows // 2_000):
            watch.observe(rng.normal(size=(2_000, 10)) + level)
            assert not watch.alarm
        rows *= 2
    moved = np.where(np.arange(10) < 3, 1.5, 0.0)
    watch.observe(rng.normal(size=(FIRST_WINDOW, 10)) + level + moved)
    assert watch.shifted == (0, 1, 2)


def test_what_has_shifted_once_is_seen_again_when_it_shifts_back():
    """New trees take a shift for normal; as much again is more than any stream ages."""
    rng = np.random.default_rng(9)
    watch, shift = InputDrift(10), np.where(np.arange(10) < 3, 1.5, 0.0)
    watch.observe(rng.normal(size=(FIRST_WINDOW, 10)))
    watch.hold_reference()
    for moved in (shift, 0.0 * shift, shift):
        watch.observe(rng.normal(size=(FIRST_WINDOW, 10)) + moved)
        assert watch.shifted == (0, 1, 2)
        watch.hold_reference()
        assert not watch.alarm


def test_how_long_somebody_has_been_known_is_no_drift():
    learner = watching(FIRST_WINDOW)
    moved = made_up(6_000, seed=61)[0]
    moved[:, (*CLOCKS, 20)] += 5.0
    learner.observe(moved, at_us=1)
    assert learner.health().shifted_features == (FEATURE_NAMES[20],)


def test_the_watch_on_inputs_is_bounded():
    rng = np.random.default_rng(7)
    watch = InputDrift(10)
    sizes = []
    for _ in range(4):
        watch.observe(rng.normal(size=(FIRST_WINDOW, 10)))
        sizes.append(len(encode_plain(watch.dump())))
    assert max(sizes) - min(sizes) < 64


def test_missed_frauds_raise_an_alarm():
    watch, rng = ErrorDrift(), np.random.default_rng(3)
    watch.learn(0.9 + 0.05 * rng.random(1_000), np.ones(1_000, bool))
    assert not any(watch.alarms.values())
    watch.learn(0.1 + 0.05 * rng.random(300), np.ones(300, bool))
    assert watch.alarms == {"error_fraud": True, "error_honest": False}


def test_errors_that_become_fewer_are_no_alarm():
    watch, rng = ErrorDrift(), np.random.default_rng(4)
    watch.learn(0.1 + 0.05 * rng.random(1_000), np.ones(1_000, bool))
    watch.learn(0.9 + 0.05 * rng.random(1_000), np.ones(1_000, bool))
    assert not any(watch.alarms.values())
