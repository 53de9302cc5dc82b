"""Any decision can be computed again from what was recorded, and told in words."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.money.types import Transfer
from models.risk.assessment import Assessment, Band
from models.risk.columns import FEATURE_INDEX, FEATURE_NAMES, FEATURE_SET, all_columns
from models.risk.detectors import Forest
from models.risk.explain import UnexplainableError, explain, log_odds_parts
from models.risk.learning.learner import Learner
from models.risk.panel import TrainedPanel, panel_from_snapshot
from models.risk.wording import NAMES_ZH, in_words
from tests.learnkit import SMALL, made_up

TRANSFER = Transfer(
    transfer_id="t1",
    payer_bank="a",
    payer_account="1",
    payee_bank="b",
    payee_account="2",
    amount_fen=100,
    occurred_us=1_700_000_000_000_000,
)


@pytest.fixture(scope="module")
def panel() -> TrainedPanel:
    rows, fraud = made_up(6_000, seed=1)
    learner = Learner(seed=1, settings=SMALL)
    learner.observe(rows, at_us=1)
    learner.learn(rows, fraud, np.ones(len(rows)))
    learner.refit(1)
    return panel_from_snapshot(learner.snapshots()[0].payload)


def assessed(panel: TrainedPanel, row: np.ndarray) -> Assessment:
    spoken = panel.score(row[None, :], row[None, FEATURE_INDEX["rule_risk"]])
    return Assessment(
        transfer=TRANSFER,
        risk=spoken.risks[0],
        band=Band.ALLOW,
        reasons=(),
        features=tuple(row.tolist()),
        feature_set=FEATURE_SET,
        rule_book="r",
        scores=spoken.scores[0],
    )


def test_recorded_features_and_the_named_snapshot_give_the_same_risk_after_the_wire(panel):
    rows, _ = made_up(200, seed=2)
    for row in rows:
        raw = msgspec.json.encode(assessed(panel, row))
        found = explain(msgspec.json.decode(raw, type=Assessment), panel)
        assert found.agrees
        assert found.contributions


def test_frauds_are_explained_by_what_makes_them_frauds(panel):
    rows, fraud = made_up(2_000, seed=3)
    risks = panel.score(rows, rows[:, FEATURE_INDEX["rule_risk"]]).risks
    worst = max(np.flatnonzero(fraud), key=lambda place: risks[place])
    told = explain(assessed(panel, rows[worst]), panel).contributions
    assert {part.feature for part in told[:4]} & {"payer_pass", "new_gather", "payer_taint", "new_spree"}
    assert "升高风险" in told[0].zh
    assert "（通常" in told[0].zh
    assert "raises the odds" in told[0].en
    assert "usually" in told[0].en


def test_parts_of_the_supervised_members_are_exact(panel):
    rows, _ = made_up(30, seed=4)
    only = msgspec.structs.replace(
        panel.state, blend=msgspec.structs.replace(panel.state.blend, weights=np.array([0.0, 0.6, 0.4]))
    )
    one = TrainedPanel(only, version="x")
    forest = panel.state.forest
    base = 0.6 * panel.state.linear.bias + 0.4 * (forest.means[forest.roots].sum() + forest.baseline)
    for row in rows:
        logit = 0.6 * one.linear.score(row[None, :])[0] + 0.4 * Forest(forest).score(row[None, :])[0]
        assert log_odds_parts(row, one).sum() + base == pytest.approx(logit, abs=1e-9)


def test_another_panel_or_other_features_are_not_explained(panel):
    rows, _ = made_up(1, seed=5)
    one = assessed(panel, rows[0])
    with pytest.raises(UnexplainableError):
        explain(one, TrainedPanel(panel.state, version="p-other"))
    with pytest.raises(UnexplainableError):
        explain(msgspec.structs.replace(one, scores=()), panel)
    with pytest.raises(UnexplainableError):
        explain(msgspec.structs.replace(one, feature_set="f0"), panel)


def test_every_feature_has_words_in_both_languages():
    assert set(NAMES_ZH) >= set(FEATURE_NAMES)
    for column in all_columns():
        assert column.meaning
        for value in (-1.0, 0.0, 0.7, 5.0, 20.0):
            zh, en = in_words(column, value)
            assert zh
            assert en
