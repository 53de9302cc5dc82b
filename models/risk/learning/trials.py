"""Scores on trial: what members said before a label came, and whether new trees beat the last good ones."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.risk.detectors import Forest
from models.risk.learning.checkpoint import Plain
from models.risk.snapshot import ForestState

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FRAUDS_KEPT: Final = 1_000
HONEST_KEPT: Final = 8_000
"""The latest tested labels that teach the blend."""

REFRESH_FRAUDS: Final = 10
REFRESH_HONEST: Final = 2_000
"""The blend is fitted anew after so many further tested labels of either kind."""

TRIAL_FRAUDS: Final = 20
"""New trees are judged against the last good ones once this many frauds have come."""

WORSE: Final = 2.0
"""Standard errors by which new trees' loss must be higher to lose their place."""

MARGIN_LIMIT: Final = 20.0


class Ring:
    """The latest ``limit`` rows."""

    def __init__(self, width: int, limit: int) -> None:
        self._rows: Floats = np.empty((limit, width))
        self.seen = 0

    def add(self, rows: Floats) -> None:
        """Take rows (n x width), the latest last."""
        rows = rows[-len(self._rows) :]
        places = (self.seen + np.arange(len(rows))) % len(self._rows)
        self._rows[places] = rows
        self.seen += len(rows)

    @property
    def rows(self) -> Floats:
        """The rows kept, in no particular order; a view."""
        return self._rows[: self.seen]

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here."""
        return {"rows": self.rows, "seen": self.seen}

    def load(self, state: Plain) -> None:
        """Go on from a state of `dump`."""
        self._rows[: len(state["rows"])] = state["rows"]
        self.seen = state["seen"]


class MemberTrials:
    """Members' logits of labelled transfers, as they were before the label was learned."""

    def __init__(self) -> None:
        self._frauds, self._honest = Ring(4, FRAUDS_KEPT), Ring(4, HONEST_KEPT)
        self._fitted_at = (0, 0)

    def add(self, logits: Floats, fraud: Bools, weights: Floats) -> None:
        """Take logits (n x 3), labels and weights (n)."""
        table = np.column_stack((logits, weights))
        self._frauds.add(table[fraud])
        self._honest.add(table[~fraud])

    def due(self) -> bool:
        """Return whether enough has come since `recent` was last asked for."""
        frauds, honest = self._frauds.seen - self._fitted_at[0], self._honest.seen - self._fitted_at[1]
        return frauds >= REFRESH_FRAUDS or honest >= REFRESH_HONEST

    def recent(self) -> tuple[Floats, Bools, Floats]:
        """Return logits, labels and weights of the tested labels kept.

        Each kind keeps its own stretch of time, so weights are scaled to hold the
        share of fraud at what it was over all tested labels.
        """
        self._fitted_at = (self._frauds.seen, self._honest.seen)
        table = np.concatenate((self._frauds.rows, self._honest.rows))
        fraud = np.arange(len(table)) < len(self._frauds.rows)
        stretch = np.where(
            fraud, *(max(ring.seen, 1) / max(len(ring.rows), 1) for ring in (self._frauds, self._honest))
        )
        kept_share = len(self._frauds.rows) / max(self._frauds.seen, 1)
        return table[:, :3], fraud, table[:, 3] * stretch * kept_share

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here."""
        return {"frauds": self._frauds.dump(), "honest": self._honest.dump(), "fitted_at": list(self._fitted_at)}

    def load(self, state: Plain) -> None:
        """Go on from a state of `dump`."""
        self._frauds.load(state["frauds"])
        self._honest.load(state["honest"])
        self._fitted_at = (state["fitted_at"][0], state["fitted_at"][1])


class ForestTrials:
    """New trees that serve already against those they replaced: the losses of both on labels neither has learned.

    For a learner on its own, as in a back-test. Where a contest of panels decides
    (`models.risk.contest`), no learner may have one: two judges would undo each other's work.
    """

    def __init__(self) -> None:
        self._replaced: ForestState | None = None
        self._rival: Forest | None = None
        self._differences: list[tuple[float, float]] = []
        self._frauds = 0

    def begin(self, replaced: ForestState | None) -> None:
        """Compare the trees in service from now on with those they replaced; with none there is nothing to judge."""
        self._replaced = replaced
        self._rival = Forest(replaced) if replaced is not None else None
        self._differences, self._frauds = [], 0

    def judge(self, rows: Floats, margins: Floats, fraud: Bools, weights: Floats) -> ForestState | None:
        """Compare log losses on newly labelled rows; return the replaced trees if they must come back."""
        if self._rival is None:
            return None
        gap = log_loss(margins, fraud) - log_loss(self._rival.score(rows), fraud)
        self._differences += list(zip(gap.tolist(), weights.tolist(), strict=True))
        self._frauds += int(fraud.sum())
        if self._frauds < TRIAL_FRAUDS:
            return None
        gaps, shares = np.array(self._differences).T
        back = self._replaced if is_worse(gaps, shares) else None
        self.begin(None)
        return back


def log_loss(margins: Floats, fraud: Bools) -> Floats:
    """Return the logarithmic loss of each margin (log-odds) given its label."""
    cut = np.clip(margins, -MARGIN_LIMIT, MARGIN_LIMIT)
    losses: Floats = np.log1p(np.exp(np.where(fraud, -cut, cut)))
    return losses


def is_worse(gaps: Floats, weights: Floats) -> bool:
    """Return whether weighted loss differences are above 0 by `WORSE` standard errors."""
    mean, error = mean_and_error(gaps, weights)
    return mean > WORSE * error


def mean_and_error(gaps: Floats, weights: Floats) -> tuple[float, float]:
    """Return the weighted mean of loss differences (n) and its standard error."""
    total = float(weights.sum())
    mean = float((gaps * weights).sum()) / total
    error = float(np.sqrt((weights**2 * (gaps - mean) ** 2).sum())) / total
    return mean, error
