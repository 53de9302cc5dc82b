"""The label-free score: what raises it, what lowers it, and what is taken at its word."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.risk.calibration import sigmoid
from models.risk.cold import GROUNDS, READ_FEATURES, cold_logits, cold_parts
from models.risk.columns import FEATURE_INDEX, FEATURE_NAMES, RULE_RISK
from models.risk.rules.book import RULES, risk_of
from models.risk.rules.settings import DEFAULT_RULES

Floats = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
SURPRISES = st.floats(0.0, 10.0)
RISKS = st.floats(0.0, 1.0)

CONCLUSIVE = [rule for rule in RULES if rule.code in ("C01", "C02")]


def signs_of(name: str) -> set[float]:
    """Return the signs of a feature's weights in all grounds."""
    weights = [part.get(name, 0.0) for ground in GROUNDS for part in (ground.features, ground.stained)]
    return {float(np.sign(weight)) for weight in weights if weight}


def made(seed: int, rows: int = 1) -> Floats:
    """Return rows (n x features), each feature within 0-1, as shares are."""
    return np.random.default_rng(seed).random((rows, len(FEATURE_NAMES)))


def logit_of(row: Floats, risk: float, surprise: float | None) -> float:
    known = None if surprise is None else np.array([surprise])
    return float(cold_logits(row[None, :], np.array([risk]), known)[0])


@given(seed=SEEDS, risk=RISKS, surprise=st.none() | SURPRISES, name=st.sampled_from(READ_FEATURES), more=RISKS)
def test_a_feature_speaks_to_one_side_in_every_ground(seed, risk, surprise, name, more):
    row = made(seed)[0]
    moved = row.copy()
    moved[FEATURE_INDEX[name]] += more
    (sign,) = signs_of(name)
    assert sign * (logit_of(moved, risk, surprise) - logit_of(row, risk, surprise)) >= -1e-9


@given(seed=SEEDS, risks=st.tuples(RISKS, RISKS), surprises=st.tuples(SURPRISES, SURPRISES))
def test_more_risk_by_rules_and_more_surprise_never_lower_it(seed, risks, surprises):
    row = made(seed)[0]
    low = logit_of(row, min(risks), min(surprises))
    assert logit_of(row, max(risks), min(surprises)) >= low - 1e-9
    assert logit_of(row, min(risks), max(surprises)) >= low - 1e-9


@given(seed=SEEDS, scale=st.floats(1.0, 1e6), surprise=st.none() | SURPRISES)
def test_it_is_finite_for_wild_features_and_alike_alone_and_among_others(seed, scale, surprise):
    rows = made(seed, 5) * scale
    known = None if surprise is None else np.full(5, surprise)
    together = cold_logits(rows, rows[:, RULE_RISK] / scale, known)
    assert np.isfinite(together).all()
    alone = [logit_of(row, row[RULE_RISK] / scale, surprise) for row in rows]
    assert alone == together.tolist()


@pytest.mark.parametrize("rule", CONCLUSIVE, ids=lambda rule: rule.code)
@given(seed=SEEDS, surprise=st.none() | SURPRISES)
def test_a_conclusive_rule_alone_puts_a_transfer_into_the_stop_band(rule, seed, surprise):
    """A stop needs the band as well as the ground, so nothing may talk the ground down."""
    row = made(seed)[0] * 20.0
    weight = getattr(DEFAULT_RULES, rule.section).weight
    risk = round(risk_of(((RULES.index(rule), weight),), DEFAULT_RULES.base), 4)
    assert sigmoid(np.array([logit_of(row, risk, surprise)]))[0] >= DEFAULT_RULES.bands.stop


def test_rules_that_fire_hard_are_taken_at_their_word_until_it_is_known_what_is_usual():
    row = np.zeros(len(FEATURE_NAMES))
    for name in ("payer_since_in", "payee_since_in"):
        row[FEATURE_INDEX[name]] = 20.0
    first, later = (sigmoid(np.array([logit_of(row, 0.9, known)]))[0] for known in (None, 0.0))
    assert first > DEFAULT_RULES.bands.stop
    assert later < 0.05


@given(seed=SEEDS)
def test_where_one_ground_speaks_for_all_the_parts_are_the_difference_to_the_usual(seed):
    """So surprising a transfer that no other ground counts; what the surprise is made of is told beside."""
    row, usual = made(seed, 2)
    row[RULE_RISK] = usual[RULE_RISK] = 0.0
    parts = cold_parts(row, usual, np.array([30.0]), np.zeros(len(row)))
    wanted = logit_of(row, 0.0, 30.0) - logit_of(usual, 0.0, 30.0)
    assert parts.sum() == pytest.approx(wanted, abs=1e-3)
