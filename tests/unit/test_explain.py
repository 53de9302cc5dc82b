"""Any decision can be computed again from what was recorded, and told in words."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band, ListLevel
from models.risk.cold import COLUMNS
from models.risk.columns import FEATURE_INDEX, FEATURE_NAMES, FEATURE_SET, all_columns
from models.risk.detectors import Forest
from models.risk.explain import UnexplainableError, explain, log_odds_parts
from models.risk.learning.learner import Learner
from models.risk.panel import TrainedPanel, panel_from_snapshot
from models.risk.scorer import Scorer
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


def test_the_whole_way_to_the_band_is_computed_again_lists_too(panel):
    rows, fraud = made_up(300, seed=6)
    scorer = Scorer(panel=panel)
    for row in rows[fraud][:10]:
        spoken = panel.score(row[None, :], row[None, FEATURE_INDEX["rule_risk"]])
        for level in ListLevel:
            lists = AccountLists(payee=level)
            one = assessed(panel, row)
            listed, band, _ = scorer.decide(spoken.risks[0], lists, one.transfer.amount_fen)
            one = msgspec.structs.replace(one, risk=listed, band=band, lists=lists, rule_book=scorer.rule_book)
            found = explain(one, panel)
            assert found.complete
            assert found.agrees
            assert found.checks[-1].recomputed == listed
            assert not explain(msgspec.structs.replace(one, risk=listed + 1e-9), panel).agrees
            other = Band.WATCH if band is not Band.WATCH else Band.STOP
            assert not explain(msgspec.structs.replace(one, band=other), panel).agrees


def test_a_changed_feature_or_score_does_not_agree(panel):
    rows, _ = made_up(5, seed=7)
    for row in rows:
        one = assessed(panel, row)
        changed = row.copy()
        changed[FEATURE_INDEX["payer_pass"]] += 3.0
        assert not explain(msgspec.structs.replace(one, features=tuple(changed.tolist())), panel).agrees
        raised = tuple(msgspec.structs.replace(score, score=score.score / 2 + 0.3) for score in one.scores)
        assert not explain(msgspec.structs.replace(one, scores=raised), panel).agrees


def test_rules_alone_need_no_snapshot(panel):
    rows, _ = made_up(1, seed=8)
    risk = float(rows[0, FEATURE_INDEX["rule_risk"]])
    scorer, one = Scorer(), assessed(panel, rows[0])
    band = scorer.decide(risk, AccountLists(), one.transfer.amount_fen)[1]
    one = msgspec.structs.replace(one, scores=(), risk=risk, band=band)
    one = msgspec.structs.replace(one, rule_book=scorer.rule_book)
    found = explain(one, None)
    assert (found.panel, found.agrees, found.complete) == ("rules-only", True, True)
    with pytest.raises(UnexplainableError):
        explain(assessed(panel, rows[0]), None)


def test_another_rule_book_is_said_not_guessed(panel):
    rows, _ = made_up(1, seed=9)
    found = explain(assessed(panel, rows[0]), panel)
    assert not found.complete
    assert found.agrees
    assert "risk" in {check.name for check in found.checks}, "no list has raised it, so it does not depend on the book"
    forged = msgspec.structs.replace(assessed(panel, rows[0]), risk=0.123)
    assert not explain(forged, panel).agrees
    listed = msgspec.structs.replace(assessed(panel, rows[0]), lists=AccountLists(payee=ListLevel.GREY))
    assert "risk" not in {check.name for check in explain(listed, panel).checks}


def test_where_nothing_can_be_computed_again_nothing_agrees(panel):
    rows, _ = made_up(1, seed=11)
    lists = AccountLists(payee=ListLevel.GREY)
    one = msgspec.structs.replace(assessed(panel, rows[0]), scores=(), lists=lists, rule_book="r0-other")
    found = explain(one, None)
    assert (found.checks, found.agrees) == ((), False)


def test_the_time_of_day_is_one_thing_to_a_person_and_no_factor_is_absurd(panel):
    rows, _ = made_up(20, seed=10)
    angle = 2 * np.pi * (3 * 60 + 23) / 1440
    rows[:, FEATURE_INDEX["hour_sin"]] = np.round(np.sin(angle), 4)
    rows[:, FEATURE_INDEX["hour_cos"]] = np.round(np.cos(angle), 4)
    rows[:, FEATURE_INDEX["rule_risk"]] = 1.0
    rows[:, list(COLUMNS)] = 0.0
    cold = TrainedPanel(msgspec.structs.replace(panel.state, novelty=None, linear=None, forest=None), version="x")
    for row in rows:
        told = explain(assessed(panel, row), panel, most=len(row)).contributions
        assert "hour_cos" not in {part.feature for part in told}
        assert all("03:23" in part.zh and "03:23" in part.en for part in told if part.feature == "hour_sin")
        (rule,) = [part for part in explain(assessed(cold, row), cold).contributions if part.feature == "rule_risk"]
        assert "1000倍以上" in rule.zh
        assert "more than 1000 times" in rule.en


def test_before_any_label_contributions_tell_the_usual_value_of_what_was_seen():
    """The first day: nothing is labelled, so the running means of all transfers are what is usual."""
    rows, _ = made_up(3_000, seed=12)
    rows[:, FEATURE_INDEX["payer_taint"]] = 0.02
    rows[:, [FEATURE_INDEX["hour_sin"], FEATURE_INDEX["hour_cos"]]] = (1.0, 0.0)
    learner = Learner(seed=1, settings=SMALL)
    learner.observe(rows, at_us=1)
    cold = panel_from_snapshot(learner.snapshots()[0].payload)
    assert cold.state.linear is None
    odd = rows[0].copy()
    odd[FEATURE_INDEX["payer_taint"]] = 0.9
    told = {part.feature: part for part in explain(assessed(cold, odd), cold, most=len(odd)).contributions}
    assert "90%（通常2%）" in told["payer_taint"].zh
    assert "90% (usually 2%)" in told["payer_taint"].en
    assert all("（通常" in part.zh and "(usually" in part.en for part in told.values())
    assert not any("not known" in part.en for part in told.values())


def test_the_usual_transfer_adds_nothing_by_the_weights_of_the_label_free_score():
    rows, _ = made_up(3_000, seed=13)
    learner = Learner(seed=1, settings=SMALL)
    learner.observe(rows, at_us=1)
    cold = learner.panel()
    unwatched = [column for column in COLUMNS if column not in cold.novelty.columns]
    assert unwatched
    assert log_odds_parts(cold.usual, cold)[unwatched] == pytest.approx(np.zeros(len(unwatched)), abs=1e-12)
    assert np.abs(log_odds_parts(rows[0], cold)[unwatched]).max() > 0.01


def test_a_panel_that_has_seen_nothing_says_that_it_knows_no_usual_value():
    rows, _ = made_up(1, seed=14)
    empty = panel_from_snapshot(Learner(seed=1).snapshots()[0].payload)
    told = explain(assessed(empty, rows[0]), empty).contributions
    assert told
    assert all("（通常未知）" in part.zh and "(usually not known yet)" in part.en for part in told)
