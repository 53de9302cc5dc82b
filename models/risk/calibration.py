"""From several scores to one probability: Bayesian logistic combination.

The combination is a logistic regression of the label on the members' logits,
with a Gaussian prior around the weights of the first day, so the weights move
from the label-free member to the supervised ones exactly as fast as labels
justify (a Platt scaling whose slope is split among the members).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.risk.snapshot import BlendState, digest_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MEMBERS: Final = ("cold", "linear", "forest")
"""Order of the members' logits in a blend."""

LOGIT_LIMIT: Final = 20.0
RISK_DECIMALS: Final = 9
"""Risks are rounded here, so that an odd last bit of ``exp`` on another processor does not show."""

PRIOR_PRECISION: Final = 8.0
"""Strength of the prior on each weight; 8 is the evidence of a few dozen well placed frauds (ours)."""

INTERCEPT_PRECISION: Final = 0.1
NEWTON_STEPS: Final = 30
CONVERGED: Final = 1e-9
HALF_TRUST: Final = 40.0
"""After this many confirmed frauds the prior trusts labels as much as the label-free score (ours)."""


def sigmoid(logits: Floats) -> Floats:
    """Return ``1 / (1 + exp(-logit))``, logits cut at +-`LOGIT_LIMIT`, rounded to `RISK_DECIMALS`."""
    cut = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    return np.round(1.0 / (1.0 + np.exp(-cut)), RISK_DECIMALS)


def blend_logits(members: Floats, weights: Floats, intercept: float) -> Floats:
    """Return combined logits (n) of the members' logits (n x 3)."""
    logits: Floats = (members * weights).sum(axis=1) + intercept
    return logits


def prior_weights(frauds: int, *, linear: bool, forest: bool) -> Floats:
    """Return the weights to expect after so many confirmed frauds, by which supervised members exist."""
    trust = frauds / (frauds + HALF_TRUST) if linear or forest else 0.0
    parts = max(int(linear) + int(forest), 1)
    return np.array([1.0 - trust, trust / parts * linear, trust / parts * forest])


def fit_blend(members: Floats, fraud: Bools, weights: Floats, *, prior: Floats) -> BlendState:
    """Return the most probable weights, none negative, given labelled members' logits (n x 3).

    Newton's method; a weight that would turn negative is held at 0. ``weights``
    (n) say how many transfers each row stands for. Without both labels the prior stays.
    """
    held = prior <= 0.0
    solution = np.append(prior, 0.0)
    if fraud.any() and not fraud.all():
        for _ in range(len(MEMBERS)):
            solution = _newton(members, fraud, weights, prior=prior, held=held)
            if not (solution[:-1] < 0.0).any():
                break
            held = held | (solution[:-1] < 0.0)
        solution[:-1] = np.where(held, 0.0, np.maximum(solution[:-1], 0.0))
    raw = solution.tobytes()
    return BlendState(
        version=f"blend-{digest_of(raw)[:12]}", weights=solution[:-1].copy(), intercept=float(solution[-1])
    )


def _newton(members: Floats, fraud: Bools, weights: Floats, *, prior: Floats, held: Bools) -> Floats:
    free = np.append(~held, True)
    design = np.column_stack((members, np.ones(len(members))))[:, free]
    centre = np.append(prior, 0.0)[free]
    precision = np.append(np.full(len(prior), PRIOR_PRECISION), INTERCEPT_PRECISION)[free]
    solution = centre.copy()
    for _ in range(NEWTON_STEPS):
        risk = 1.0 / (1.0 + np.exp(-np.clip(design @ solution, -LOGIT_LIMIT, LOGIT_LIMIT)))
        slope = design.T @ (weights * (risk - fraud)) + precision * (solution - centre)
        curve = design.T @ (design * (weights * risk * (1.0 - risk))[:, None]) + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        solution = solution - np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < CONVERGED:
            break
    out = np.zeros(len(free))
    out[free] = solution
    return out
