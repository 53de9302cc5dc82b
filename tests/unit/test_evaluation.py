"""The judge: equal to scikit-learn where it has an opinion, counted by hand where it has none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from models.risk.evaluation import (
    Judged,
    _weighted_precision,
    alert_order,
    auc_pr_interval,
    calibration,
    figures,
    precision_recall_points,
    recall_by_budget,
    typology_figures,
)


def judged(risks, fraud, amounts=None, cases=None, typologies=None) -> Judged:
    count = len(risks)
    return Judged(
        risks=np.array(risks, float),
        fraud=np.array(fraud, bool),
        amounts_fen=np.array(amounts if amounts is not None else [100] * count, np.int64),
        cases=np.array(cases if cases is not None else [-1] * count, np.int64),
        typologies=np.array(typologies if typologies is not None else [""] * count, str),
    )


def random_set(seed: int, count: int = 2_000) -> Judged:
    rng = np.random.default_rng(seed)
    fraud = rng.random(count) < 0.05
    risks = np.round(np.clip(rng.normal(0.2 + 0.3 * fraud, 0.15), 0, 1), 2)
    return judged(risks, fraud, cases=np.where(fraud, rng.integers(0, 12, count), -1))


def test_a_hand_counted_ranking():
    rows = 1_000
    risks = np.linspace(1.0, 0.0, rows)
    fraud = np.zeros(rows, bool)
    fraud[[0, 3, 7, 500]] = True
    amounts = np.full(rows, 100)
    amounts[3] = 700
    cases = np.full(rows, -1)
    cases[[0, 3]], cases[[7, 500]] = 0, 1
    found = figures(judged(risks, fraud, amounts, cases), seed=1)
    assert found.recall == {"0.1%": 0.25, "0.5%": 0.5, "1%": 0.75}
    assert found.precision == {"0.1%": 1.0, "0.5%": 0.4, "1%": 0.3}
    assert found.case_recall == {"0.1%": 0.5, "0.5%": 0.5, "1%": 1.0}
    assert found.money_recall == {"0.1%": 0.1, "0.5%": 0.8, "1%": 0.9}


def test_ties_are_alerted_in_arrival_order():
    assert alert_order(np.array([0.5, 0.7, 0.5, 0.5])).tolist() == [1, 0, 2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_areas_are_those_of_scikit_learn(seed):
    one = random_set(seed)
    assert figures(one, seed=1).auc_pr == pytest.approx(average_precision_score(one.fraud, one.risks), abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_precision_is_scikit_learns_with_ties(seed):
    one = random_set(seed)
    order = alert_order(one.risks)
    risks, fraud = one.risks[order], one.fraud[order]
    weights = np.random.default_rng(seed).integers(0, 4, int(fraud.sum()))
    ends = np.searchsorted(-risks, -risks[fraud], side="right")
    false_until = np.cumsum(~fraud)[ends - 1]
    mine = _weighted_precision(weights, false_until, np.searchsorted(ends, ends, side="right") - 1)
    all_weights = np.ones(len(risks))
    all_weights[fraud] = weights
    assert mine == pytest.approx(average_precision_score(fraud, risks, sample_weight=all_weights), abs=1e-9)


def test_the_interval_holds_the_figure_and_is_wider_with_fewer_cases():
    one = random_set(4)
    seen_case = np.where(one.fraud, np.arange(len(one.fraud)) % 2, -1)
    risks = np.where(seen_case == 0, 0.99, np.where(seen_case == 1, 0.01, one.risks))
    many, few = judged(risks, one.fraud), judged(risks, one.fraud, cases=seen_case)
    low, high = auc_pr_interval(one, seed=1)
    assert low <= average_precision_score(one.fraud, one.risks) <= high
    assert auc_pr_interval(one, seed=1) == (low, high)
    spread = [upper - lower for lower, upper in (auc_pr_interval(part, seed=1) for part in (many, few))]
    assert spread[0] < spread[1]


def test_without_fraud_there_is_no_area():
    found = figures(judged([0.1, 0.2], [False, False]), seed=1)
    assert (found.auc_pr, found.roc_auc, found.auc_pr_ci95) == (None, None, None)
    assert set(found.recall.values()) | set(found.precision.values()) | set(found.money_recall.values()) == {None}
    assert precision_recall_points(judged([0.1], [False])) == []


def test_a_budget_too_small_for_one_alert_has_no_precision():
    found = figures(judged([0.1] * 300, [True] + [False] * 299), seed=1)
    assert (found.precision["0.1%"], found.recall["0.1%"]) == (None, 0.0)
    assert found.precision["1%"] is not None


def test_typologies_are_counted_within_the_budgets_of_all_rows():
    risks = np.linspace(1.0, 0.0, 400)
    fraud = np.zeros(400, bool)
    fraud[[0, 1, 399]] = True
    kinds = np.where(np.arange(400) == 0, "split", np.where(fraud, "pool", ""))
    found = typology_figures(judged(risks, fraud, typologies=kinds))
    assert {name: (part.rows, part.recall["1%"]) for name, part in found.items()} == {
        "split": (1, 1.0),
        "pool": (2, 0.5),
    }


def test_calibration_sees_overconfidence():
    rng = np.random.default_rng(5)
    risks = rng.random(20_000)
    honest = calibration(judged(risks, rng.random(20_000) < risks))
    boastful = calibration(judged(risks, rng.random(20_000) < risks / 2))
    assert honest.ece < 0.02
    assert boastful.ece > 0.2
    assert honest.brier < boastful.brier
    assert sum(rows for *_, rows in honest.bins) == 20_000


def test_curves_for_the_report():
    one = random_set(6)
    points = precision_recall_points(one)
    assert points[0][0] == 1.0 or points[-1][0] == 1.0
    assert recall_by_budget(one, np.array([0.0, 1.0])) == [(0.0, 0.0), (1.0, 1.0)]
