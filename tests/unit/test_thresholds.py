"""Thresholds from an alert budget and from costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.risk.thresholds import AlertBudget, AlertThreshold, CostSettings, threshold_for_budget, threshold_for_cost


def test_a_budget_gives_a_threshold() -> None:
    risks = np.linspace(0.0, 1.0, 1_001)
    assert (risks >= threshold_for_budget(risks, 0.01)).sum() == 10
    assert threshold_for_budget(np.empty(0), 0.01) == 1.0


@given(st.integers(1, 10**10), st.integers(1, 10**6), st.floats(0.01, 1.0))
def test_at_the_cost_threshold_stopping_costs_what_it_saves(
    amount_fen: int, false_fen: int, recoverable: float
) -> None:
    risk = threshold_for_cost(amount_fen, CostSettings(false_stop_fen=false_fen, recoverable=recoverable))
    assert risk * recoverable * amount_fen == pytest.approx((1.0 - risk) * false_fen)


def test_no_opinion_before_enough_was_seen() -> None:
    threshold = AlertThreshold(AlertBudget(least=10))
    threshold.observe([0.9] * 9)
    assert threshold.watch_from(at_most=0.8) is None
    threshold.observe([0.9])
    assert threshold.watch_from(at_most=0.8) == 0.8


def test_the_budget_holds_when_risks_drift() -> None:
    dice = np.random.default_rng(1)
    threshold = AlertThreshold(AlertBudget(share=0.01, window=5_000))
    for level in (0.3, 0.6, 0.2):
        threshold.observe((dice.random(20_000) * level).tolist())
        watch_from = threshold.watch_from(at_most=0.8)
        assert watch_from is not None
        alerted = (dice.random(20_000) * level >= watch_from).mean()
        assert 0.005 < alerted < 0.015


def test_a_quiet_day_does_not_make_everything_an_alert() -> None:
    threshold = AlertThreshold(AlertBudget())
    threshold.observe([0.0001 * (n % 7) for n in range(20_000)])
    assert threshold.watch_from(at_most=0.8) == AlertBudget().floor
