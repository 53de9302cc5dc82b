"""The online base: River's scaler and logistic regression, frozen into flat arrays."""

from __future__ import annotations

from math import log
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from river import linear_model, optim
from river.utils import VectorDict

from models.risk.detectors import standardised
from models.risk.learning.checkpoint import Plain
from models.risk.snapshot import LinearState, digest_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEARNING_RATE: Final = 0.003
HONEST_KEPT: Final = 0.25
"""Share of honest transfers learned from; the intercept is corrected for it (King and Zeng 2001)."""

OBSERVE_EVERY: Final = 4
"""Means and deviations are learned from every fourth transfer."""

MOST_WEIGHT: Final = 8.0
"""One example moves the weights at most as much as this many."""

LEAST_VARIANCE: Final = 1e-9


class Spread:
    """Mean and variance of each column, merged batch by batch (Chan, Golub and LeVeque 1983).

    The same numbers as River's `StandardScaler` learns row by row.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.means: Floats = np.zeros(width)
        self.variances: Floats = np.zeros(width)

    def learn(self, rows: Floats) -> None:
        """Take rows (n x width)."""
        if not len(rows):
            return
        total = self.count + len(rows)
        share = len(rows) / total
        gap = rows.mean(axis=0) - self.means
        self.variances = (1.0 - share) * self.variances + share * rows.var(axis=0) + share * (1.0 - share) * gap**2
        self.means = self.means + share * gap
        self.count = total


class OnlineLinear:
    """Learns at once from every label; knows means and deviations from every transfer."""

    def __init__(self, width: int) -> None:
        self._names = list(range(width))
        self._spread = Spread(width)
        self._model: Any = linear_model.LogisticRegression(optim.SGD(LEARNING_RATE))
        self._observed = 0
        self._credit = 0.0
        self.learned = 0

    def observe(self, rows: Floats) -> None:
        """Learn how the features are spread from every `OBSERVE_EVERY`-th row."""
        first = -self._observed % OBSERVE_EVERY
        self._observed += len(rows)
        self._spread.learn(rows[first::OBSERVE_EVERY])

    def learn(self, rows: Floats, fraud: Bools, weights: Floats) -> None:
        """Learn from labelled rows: from all frauds, and from `HONEST_KEPT` of the honest."""
        scaled = standardised(rows, self._spread.means, self.inverse_deviations()).tolist()
        for row, is_fraud, weight in zip(scaled, fraud.tolist(), weights.tolist(), strict=True):
            share = min(weight, MOST_WEIGHT)
            if not is_fraud:
                self._credit += weight * HONEST_KEPT
                if self._credit < 1.0:
                    continue
                share = min(float(int(self._credit)), MOST_WEIGHT)
                self._credit = min(self._credit - share, MOST_WEIGHT)
            self._model.learn_one(dict(zip(self._names, row, strict=True)), is_fraud, share)
            self.learned += 1

    def inverse_deviations(self) -> Floats:
        """Return one over the standard deviation of each feature (f), 0 where it has not varied."""
        variances = self._spread.variances
        varied = variances > LEAST_VARIANCE
        return np.where(varied, 1.0 / np.sqrt(np.where(varied, variances, 1.0)), 0.0)

    def usual(self) -> Floats | None:
        """Return the mean of each feature (f) over the transfers observed, labelled or not; None before the first."""
        return self._spread.means if self._spread.count else None

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here."""
        known = self._model.weights
        return {
            "count": self._spread.count,
            "means": self._spread.means,
            "variances": self._spread.variances,
            "weights": np.array([known.get(name, 0.0) for name in self._names]),
            "intercept": float(self._model.intercept),
            "steps": int(self._model.optimizer.n_iterations),
            "observed": self._observed,
            "credit": self._credit,
            "learned": self.learned,
        }

    def load(self, state: Plain) -> None:
        """Go on from a state of `dump`."""
        names = self._names
        spread = self._spread
        spread.count, spread.means, spread.variances = state["count"], state["means"], state["variances"]
        self._model._weights = VectorDict(dict(zip(names, state["weights"].tolist(), strict=True)))
        self._model.intercept = state["intercept"]
        self._model.optimizer.n_iterations = state["steps"]
        self._observed, self._credit, self.learned = state["observed"], state["credit"], state["learned"]

    def freeze(self) -> LinearState | None:
        """Return the state that scores, None before the first example."""
        if not self.learned:
            return None
        known = self._model.weights
        weights = np.array([known.get(name, 0.0) for name in self._names])
        means, inverse = self._spread.means, self.inverse_deviations()
        bias = float(self._model.intercept) + log(HONEST_KEPT)
        raw = weights.tobytes() + means.tobytes() + inverse.tobytes() + str(bias).encode()
        return LinearState(
            version=f"linear-{digest_of(raw)[:12]}", means=means, inverse_deviations=inverse, weights=weights, bias=bias
        )
