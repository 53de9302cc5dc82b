"""Frozen detectors: equal to the libraries they come from, and alike in every batch."""

from __future__ import annotations

import numpy as np
import pytest
from river import anomaly, preprocessing
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from models.risk.detectors import Forest, HalfSpace, Linear, Novelty, Scale, unit
from models.risk.features import FEATURE_INDEX
from models.risk.learning.boosting import BoostingSettings, codes_of, compile_trees, edges_of, grow
from models.risk.learning.halfspace import HalfSpaceCounter
from models.risk.learning.learner import Learner
from models.risk.learning.novelty import WATCHED, NoveltyLearner, scale_of
from models.risk.learning.online import HONEST_KEPT, OBSERVE_EVERY, OnlineLinear
from tests.learnkit import SMALL, made_up


def test_compiled_trees_say_what_scikit_learn_says():
    rows, fraud = made_up(3_000, seed=1)
    edges = edges_of(rows)
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=1)
    with threadpool_limits(limits=1, user_api="openmp"):
        model.fit(codes_of(rows, edges), fraud)
    fresh, _ = made_up(2_000, seed=2)
    wanted = model.decision_function(codes_of(fresh, edges))
    every = np.arange(rows.shape[1])
    assert np.abs(Forest(compile_trees(model, edges, every)).score(fresh) - wanted).max() < 1e-9
    at_edges = np.tile([cuts[len(cuts) // 2] for cuts in edges], (5, 1))
    assert np.allclose(
        Forest(compile_trees(model, edges, every)).score(at_edges), model.decision_function(codes_of(at_edges, edges))
    )


def test_the_parts_of_a_margin_add_up_to_it():
    rows, fraud = made_up(2_000, seed=3)
    state = grow(rows, fraud, np.ones(len(rows)), seed=1, settings=SMALL.boosting)
    forest = Forest(state)
    mean = float(state.means[state.roots].sum()) + state.baseline
    for row in rows[:20]:
        assert forest.parts(row).sum() + mean == pytest.approx(forest.score(row[None, :])[0], abs=1e-9)


def test_trees_depend_on_the_seed_and_rows_alone_not_on_threads():
    rows, fraud = made_up(2_000, seed=4)
    one, two = (
        grow(rows, fraud, np.ones(len(rows)), seed=5, settings=BoostingSettings(trees=10, threads=threads))
        for threads in (1, 2)
    )
    assert one.version == two.version
    assert np.array_equal(one.values, two.values)


def test_features_that_never_vary_cost_nothing_and_change_nothing():
    rows, fraud = made_up(2_000, seed=14)
    rows[:, :5] = 3.0
    state = grow(rows, fraud, np.ones(len(rows)), seed=1, settings=SMALL.boosting)
    asked = set(state.features[state.left != np.arange(len(state.left))].tolist())
    assert asked
    assert min(asked) >= 5
    constant = grow(np.ones_like(rows), fraud, np.ones(len(rows)), seed=1, settings=SMALL.boosting)
    assert np.ptp(Forest(constant).score(rows)) == 0.0


def test_half_space_trees_counted_in_batches_say_what_river_says():
    rng = np.random.default_rng(6)
    model = anomaly.HalfSpaceTrees(n_trees=7, height=5, window_size=100, seed=3)
    ours = HalfSpaceCounter(4, seed=3, trees=7, height=5, window=100)
    assert ours.freeze() is None
    rows = rng.random((250, 4))
    for row in rows.tolist():
        model.learn_one(dict(enumerate(row)))
    for start, stop in ((0, 1), (1, 90), (90, 230), (230, 250)):
        ours.learn(rows[start:stop])
    state = ours.freeze()
    assert state is not None
    fresh = rng.random((300, 4))
    wanted = [model.score_one(dict(enumerate(row))) for row in fresh.tolist()]
    assert np.allclose(HalfSpace(state).score(fresh), wanted, rtol=0, atol=1e-12)


def test_means_and_deviations_are_those_of_rivers_scaler():
    rows, _ = made_up(1_000, seed=15)
    learner, scaler = OnlineLinear(rows.shape[1]), preprocessing.StandardScaler()
    for start, stop in ((0, 3), (3, 500), (500, 501), (501, 1_000)):
        learner.observe(rows[start:stop])
    for row in rows[::OBSERVE_EVERY].tolist():
        scaler.learn_one(dict(enumerate(row)))
    learner.learn(rows[:1], np.ones(1, bool), np.ones(1))
    state = learner.freeze()
    assert state is not None
    assert np.allclose(state.means, list(scaler.means.values()), rtol=1e-12)
    assert np.allclose(state.inverse_deviations, np.array(list(scaler.vars.values())) ** -0.5, rtol=1e-9)


def test_the_frozen_linear_model_says_what_river_says():
    rows, fraud = made_up(2_000, seed=7)
    learner = OnlineLinear(rows.shape[1])
    learner.observe(rows)
    learner.learn(rows, fraud, np.ones(len(rows)))
    state = learner.freeze()
    assert state is not None
    scaled = np.clip((rows[0] - state.means) * state.inverse_deviations, -6, 6)
    wanted = learner._model.predict_proba_one(dict(enumerate(scaled.tolist())))[True]
    logit = Linear(state).score(rows[:1])[0] - np.log(HONEST_KEPT)
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(wanted, abs=1e-9)


def test_every_member_scores_a_row_alike_alone_and_among_others():
    rows, fraud = made_up(6_000, seed=8)
    learner = Learner(seed=1, settings=SMALL)
    learner.observe(rows, at_us=1)
    learner.learn(rows, fraud, np.ones(len(rows)))
    learner.refit(2)
    learner.observe(rows, at_us=3)
    panel, risk = learner.panel(), FEATURE_INDEX["rule_risk"]
    assert panel.novelty is not None
    assert panel.linear is not None
    assert panel.forest is not None
    fresh, _ = made_up(400, seed=9)
    together = panel.score(fresh, fresh[:, risk])
    alone = [panel.score(row[None, :], row[None, risk]) for row in fresh]
    assert [one.risks[0] for one in alone] == together.risks
    assert [one.scores[0] for one in alone] == together.scores
    odd = [panel.score(part, part[:, risk]).risks for part in (fresh[:7], fresh[7:200], fresh[200:])]
    assert [risk for part in odd for risk in part] == together.risks


def test_rare_values_on_the_risky_side_surprise_and_common_ones_do_not():
    scale = scale_of(np.array([0.0] * 900 + [1.0] * 90 + [5.0] * 10))
    zero, one, five, more = Scale(scale).surprise(np.array([0.0, 1.0, 5.0, 9.0]))
    assert zero == pytest.approx(0.0, abs=0.01)
    assert one == pytest.approx(np.log(1002 / 101), abs=1e-9)
    assert five == more == pytest.approx(np.log(1002 / 11), abs=1e-9)


def test_novelty_needs_no_labels_to_put_frauds_on_top():
    rows, _ = made_up(20_000, seed=10, fraud_share=0.01)
    learner = NoveltyLearner(seed=1)
    assert learner.freeze() is None
    for start in range(0, len(rows), 500):
        learner.observe(rows[start : start + 500])
    state = learner.freeze()
    assert state is not None
    assert state.trees is not None
    fresh, labels = made_up(5_000, seed=11, fraud_share=0.01)
    scores = Novelty(state).score(fresh)
    top = np.argsort(-scores)[:50]
    assert labels[top].mean() > 20 * labels.mean()
    assert len(state.tails.columns) == len(WATCHED)
    assert (unit(Novelty(state).surprises(fresh)) < 1).all()
