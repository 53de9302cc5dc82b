"""Made-up feature rows for tests of detectors and learners: honest noise, frauds that stand out on a few features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.risk.cold import READ_FEATURES
from models.risk.features import FEATURE_INDEX, FEATURE_NAMES
from models.risk.learning.boosting import BoostingSettings
from models.risk.learning.learner import LearnerSettings

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TELLING = ("new_z", "new_gather", "payer_over_max", "new_spree")
QUIET = [FEATURE_INDEX[name] for name in READ_FEATURES]
"""What the label-free score reads besides surprise; it says little here, or that score would know everything."""

SMALL = LearnerSettings(
    boosting=BoostingSettings(trees=20, leaves=7, depth=4, least_leaf_rows=5),
    shortest_gap_rows=256,
    max_frauds=500,
    max_honest=2_000,
)
"""Learns within tests' time."""


def made_up(rows: int, *, seed: int, fraud_share: float = 0.05, flip: bool = False) -> tuple[Floats, Bools]:
    """Return rows (n x features) and labels; with ``flip`` the telling features mean the opposite."""
    rng = np.random.default_rng(seed)
    features = np.abs(rng.normal(1.0, 0.5, (rows, len(FEATURE_NAMES))))
    features[:, QUIET] *= 0.01
    fraud = rng.random(rows) < fraud_share
    for name in TELLING:
        column = features[:, FEATURE_INDEX[name]]
        column += (~fraud if flip else fraud) * rng.gamma(2.0, 0.7, rows)
    noise = rng.random(rows)
    features[:, FEATURE_INDEX["rule_risk"]] = 0.3 * noise + 0.1 * rng.random(rows) * (~fraud if flip else fraud)
    return np.round(features, 4), fraud
