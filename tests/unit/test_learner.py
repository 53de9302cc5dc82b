"""The learner: learns, tests before it learns, goes on from a checkpoint, and falls back."""

from __future__ import annotations

import numpy as np
import pytest

from models.risk.calibration import fit_blend, prior_weights
from models.risk.detectors import Forest
from models.risk.features import FEATURE_INDEX
from models.risk.learning.boosting import grow
from models.risk.learning.checkpoint import CheckpointError, decode_plain, encode_plain
from models.risk.learning.history import NO_KEY, Reservoir
from models.risk.learning.learner import Learner
from models.risk.learning.trials import ForestTrials, is_worse
from models.risk.panel import panel_from_snapshot
from tests.learnkit import SMALL, made_up

RISK = FEATURE_INDEX["rule_risk"]
DAY_US = 86_400_000_000


def taught(rows: int, *, seed: int, batch: int = 250) -> Learner:
    learner = Learner(seed=1, settings=SMALL)
    features, fraud = made_up(rows, seed=seed)
    for start in range(0, rows, batch):
        part = slice(start, start + batch)
        learner.observe(features[part], at_us=start)
        learner.learn(features[part], fraud[part], np.ones(len(features[part])))
        if learner.due(start):
            learner.refit(start)
    return learner


def separation(learner: Learner) -> float:
    fresh, fraud = made_up(4_000, seed=99)
    risks = np.array(learner.panel().score(fresh, fresh[:, RISK]).risks)
    return float(np.mean(risks[fraud][:, None] > risks[~fraud][None, :]))


def test_labels_make_the_panel_better_than_the_first_day():
    first_day = Learner(seed=1, settings=SMALL)
    features, _ = made_up(5_000, seed=2)
    first_day.observe(features, at_us=1)
    learned = taught(5_000, seed=2)
    assert learned.health().refits >= 2
    assert separation(learned) > separation(first_day)
    assert separation(learned) > 0.97


def test_weights_move_from_label_free_to_supervised():
    early, late = prior_weights(2, linear=True, forest=False), prior_weights(2_000, linear=True, forest=True)
    assert early[0] > 0.9
    assert late[0] < 0.05
    blend = taught(6_000, seed=3).health().blend
    assert blend["linear"] + blend["forest"] > blend["cold"]


def test_risks_mean_what_they_say():
    learner = taught(8_000, seed=4)
    fresh, fraud = made_up(20_000, seed=5)
    risks = np.array(learner.panel().score(fresh, fresh[:, RISK]).risks)
    sure, unlikely = risks > 0.9, risks < 0.1
    assert abs(risks[sure].mean() - fraud[sure].mean()) < 0.1
    assert abs(risks[unlikely].mean() - fraud[unlikely].mean()) < 0.01
    assert abs(risks.mean() - fraud.mean()) < 0.015


def test_a_restored_learner_goes_on_as_if_nothing_had_happened():
    whole = taught(3_000, seed=6)
    restored = Learner.restore(whole.state_bytes())
    assert restored.snapshots() == whole.snapshots()
    features, fraud = made_up(3_000, seed=7)
    for learner in (whole, restored):
        for start in range(0, 3_000, 300):
            part = slice(start, start + 300)
            learner.observe(features[part], at_us=start)
            learner.learn(features[part], fraud[part], np.full(300, 1.5))
        learner.refit(5)
    assert restored.snapshots() == whole.snapshots()
    assert restored.health().learned == whole.health().learned


def test_bytes_of_another_kind_are_no_checkpoint():
    for raw in (b"", b"\x00", b"garbage", b"\x81\xa6format\x02"):
        with pytest.raises(CheckpointError):
            Learner.restore(raw)


@pytest.mark.parametrize("older", [2, 3])
def test_a_checkpoint_of_an_older_format_is_refused_by_name(older: int):
    """The third format began without the watch on inputs."""
    state = decode_plain(Learner(seed=1, settings=SMALL).state_bytes()) | {"format": older}
    del state["inputs"]
    with pytest.raises(CheckpointError, match=rf"format and feature set \({older}, "):
        Learner.restore(encode_plain(state))


def test_a_published_snapshot_scores_like_the_learner():
    learner = taught(3_000, seed=8)
    (snapshot,) = learner.snapshots()
    fresh, _ = made_up(200, seed=9)
    panel = panel_from_snapshot(snapshot.payload)
    assert panel.version == snapshot.version == learner.panel().version
    assert panel.score(fresh, fresh[:, RISK]) == learner.panel().score(fresh, fresh[:, RISK])


def test_the_same_seed_and_calls_make_the_same_snapshot_and_another_seed_another():
    assert taught(2_000, seed=10).snapshots() == taught(2_000, seed=10).snapshots()
    assert Learner(seed=1).snapshots() == Learner(seed=2).snapshots(), "nothing learned, nothing to differ"


def test_a_refit_is_due_by_growth_and_by_time_but_not_too_soon():
    learner = Learner(seed=1, settings=SMALL)
    features, fraud = made_up(1_000, seed=11, fraud_share=0.019)
    learner.observe(features, at_us=DAY_US)
    learner.learn(features, fraud, np.ones(1_000))
    assert fraud.sum() < SMALL.first_forest_frauds
    assert not learner.due(DAY_US)
    learner.learn(features[fraud], fraud[fraud], np.ones(int(fraud.sum())))
    assert learner.due(DAY_US)
    learner.refit(DAY_US)
    learner.learn(features[fraud][:1], fraud[fraud][:1], np.ones(1))
    learner.observe(features, at_us=DAY_US)
    assert not learner.due(2 * DAY_US)
    assert learner.due(DAY_US + SMALL.longest_gap_us)


def test_new_trees_that_lose_to_the_last_good_ones_are_taken_out():
    good_rows, good = made_up(3_000, seed=12)
    bad_rows, bad = made_up(3_000, seed=12, flip=True)
    good_forest = grow(good_rows, good, np.ones(3_000), seed=1, settings=SMALL.boosting)
    bad_forest = grow(bad_rows, bad, np.ones(3_000), seed=1, settings=SMALL.boosting)
    fresh, fraud = made_up(1_000, seed=13)
    for new, back in ((bad_forest, good_forest), (good_forest, None)):
        trials = ForestTrials()
        trials.begin(good_forest)
        assert trials.judge(fresh, Forest(new).score(fresh), fraud, np.ones(1_000)) is back
        assert trials.judge(fresh, Forest(bad_forest).score(fresh), fraud, np.ones(1_000)) is None, "judged once"


@pytest.mark.parametrize("alone", [False, True])
def test_a_learner_swaps_trees_by_itself_only_if_it_was_given_a_judge(alone: bool):
    learner = Learner(seed=1, settings=SMALL, trials=ForestTrials() if alone else None)
    forests = {}
    for flip in (False, True):
        rows, fraud = made_up(3_000, seed=12, flip=flip)
        forests[flip] = grow(rows, fraud, np.ones(3_000), seed=1, settings=SMALL.boosting)
        learner.adopt(forests[flip])
    fresh, fraud = made_up(1_000, seed=13)
    learner.learn(fresh, fraud, np.ones(1_000))
    assert learner.state().forest is forests[not alone]
    assert learner.health().fallbacks == alone


def test_worse_needs_evidence():
    noise = np.random.default_rng(1).normal(0.0, 1.0, 400)
    assert not is_worse(noise, np.ones(400))
    assert is_worse(noise + 0.5, np.ones(400))


def test_a_reservoir_is_a_fair_sample_that_stands_for_all():
    sample = Reservoir(1, 500, seed=1)
    values = np.arange(5_000.0)[:, None]
    for start, stop in ((0, 3), (3, 499), (499, 2_000), (2_000, 5_000)):
        sample.offer(values[start:stop], np.full(stop - start, 2.0), np.arange(start, stop) + 1)
        if stop <= 500:
            assert sample.rows[:, 0].tolist() == list(range(stop)), "nothing is left out before it is full"
    assert len(sample) == 500
    assert sample.weights.sum() == pytest.approx(10_000.0)
    assert sample.rows.mean() == pytest.approx(2_500, abs=250)


def test_a_row_taken_back_leaves_a_fair_sample_of_the_others_and_favours_no_later_one():
    counts = np.zeros(401)
    for seed in range(300):
        sample = Reservoir(1, 20, seed=seed)
        numbers = np.arange(1, 201)
        sample.offer(numbers[:, None].astype(float), np.ones(200), numbers)
        kept = int(sample.take_back(np.arange(1, 101)))
        assert len(sample) == 20 - kept
        assert sample.weights.sum() == pytest.approx(200 - kept)
        later = np.arange(201, 401)
        sample.offer(later[:, None].astype(float), np.ones(200), later)
        assert len(sample) <= 20
        counts[sample.rows[:, 0].astype(int)] += 1
    assert not counts[1:101].any()
    assert counts[101:201].mean() == pytest.approx(counts[201:].mean(), rel=0.2)


def test_rows_without_a_key_are_never_taken_back():
    sample = Reservoir(1, 5, seed=1)
    sample.offer(np.ones((3, 1)), np.ones(3), np.array([NO_KEY, 7, NO_KEY]))
    assert sample.take_back(np.array([NO_KEY, 8])) == 0
    assert sample.take_back(np.array([7])) == 1
    assert len(sample) == 2


def keyed() -> tuple[Learner, np.ndarray, np.ndarray]:
    """Return a learner that has learned 300 transfers under the keys 1 to 300, and what it was told."""
    learner = Learner(seed=1, settings=SMALL)
    features, fraud = made_up(300, seed=21, fraud_share=0.2)
    learner.observe(features, at_us=1)
    learner.learn(features, fraud, np.ones(300), np.arange(1, 301))
    return learner, features, fraud


@pytest.mark.parametrize("was_fraud", [False, True])
def test_a_later_label_takes_the_place_of_the_earlier_one_in_what_trees_are_fitted_to(was_fraud: bool):
    learner, features, fraud = keyed()
    number = int(np.flatnonzero(fraud == was_fraud)[0])
    one = slice(number, number + 1)
    learner.learn(features[one], ~fraud[one], np.ones(1), np.array([number + 1]))
    job = learner.refit_job(5)
    said = job.fraud[(job.rows == features[number]).all(axis=1)]
    assert said.tolist() == [not was_fraud]
    assert len(job.rows) == 300
    frauds = int(fraud.sum()) + (-1 if was_fraud else 1)
    assert learner.health().learned == {"fraud": frauds, "honest": 300 - frauds}


def test_of_two_labels_in_one_batch_the_last_counts():
    learner = Learner(seed=1, settings=SMALL)
    rows = np.ones((3, made_up(1, seed=1)[0].shape[1]))
    learner.learn(rows, np.array([True, True, False]), np.ones(3), np.array([5, 6, 5]))
    assert learner.health().learned == {"fraud": 1, "honest": 1}


def test_a_fraud_taken_back_makes_one_refit_worth_it():
    learner, features, fraud = keyed()
    learner.refit_job(0)
    learner.observe(features, at_us=1)
    assert not learner.due(SMALL.longest_gap_us + 1)
    learner.take_back(np.array([int(np.flatnonzero(fraud)[0]) + 1]))
    assert learner.due(SMALL.longest_gap_us + 1)
    learner.refit(0)
    for later in (learner, Learner.restore(learner.state_bytes())):
        later.observe(features, at_us=1)
        assert not later.due(SMALL.longest_gap_us + 1)


@pytest.mark.parametrize("fits", [0, 1])
def test_a_checkpoint_made_during_a_fit_is_that_of_a_learner_that_has_not_begun_it(fits: int):
    features, fraud = made_up(300, seed=22, fraud_share=0.2)
    states = set()
    for begun in range(3):
        learner, *_ = keyed()
        for now_us in range(2, 2 + fits):
            learner.refit(now_us)
        learner.take_back(np.arange(1, 151))
        for now_us in range(5, 5 + begun):
            learner.refit_job(now_us)
        learner.observe(features, at_us=6)
        learner.learn(features, fraud, np.ones(300), np.arange(201, 501))
        states.add(learner.state_bytes())
    assert len(states) == 1


def test_a_fit_that_a_restart_cut_short_is_due_again_and_one_in_service_is_not():
    learner, *_ = keyed()
    assert learner.due(5)
    job = learner.refit_job(5)
    assert not learner.due(5), "while it runs"
    restored = Learner.restore(learner.state_bytes())
    assert restored.due(5)
    again = restored.refit_job(5)
    assert again.seed == job.seed
    assert np.array_equal(again.rows, job.rows)
    learner.adopt(job.run())
    assert not Learner.restore(learner.state_bytes()).due(5)


def test_a_restored_learner_still_knows_whose_labels_it_has():
    learner, features, fraud = keyed()
    restored = Learner.restore(learner.state_bytes())
    restored.take_back(np.arange(1, 301))
    assert restored.health().learned == {"fraud": 0, "honest": 0}


def test_the_blend_follows_the_evidence():
    rng = np.random.default_rng(4)
    fraud = rng.random(4_000) < 0.1
    useful = np.where(fraud, 2.0, -2.0) + rng.normal(size=4_000)
    noise = rng.normal(size=4_000)
    members = np.column_stack((noise, useful, noise[::-1]))
    blend = fit_blend(members, fraud, np.ones(4_000), prior=prior_weights(50, linear=True, forest=True))
    assert blend.weights[1] > 1.0
    assert (blend.weights >= 0).all()
    assert max(blend.weights[0], blend.weights[2]) < 0.2
    unlabelled = fit_blend(members[:0], fraud[:0], np.zeros(0), prior=np.array([1.0, 0.0, 0.0]))
    assert unlabelled.weights.tolist() == [1.0, 0.0, 0.0]
