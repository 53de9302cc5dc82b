"""Detectors at work: frozen states score whole batches, each row alike in every batch.

Only elementwise arithmetic, table look-ups and sums along a row are used, so a
row's score has the same bits alone and among a thousand others (no BLAS).
Learning is elsewhere (`models.risk.learning`); these only read.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.risk.snapshot import ForestState, HalfSpaceState, LinearState, NoveltyState, ScaleState, TailsState

Rows = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

CLIP: Final = 6.0
"""Standardised features are cut here, so that one wild number cannot decide alone."""

TREES_WEIGHT: Final = 3.0
"""Weight of the half-space trees' surprise beside the sum of the tails' (ours)."""


def passed(values: Rows, rows: Rows) -> Places:
    """Return how many of the ascending ``values`` (k x m) each number of ``rows`` (n x k) reaches (n x k)."""
    places: Places = np.count_nonzero(rows[:, :, None] >= values[None, :, :], axis=2)
    return places


class Tails:
    """One-sided surprise of single features, after ECOD (Li et al. 2022).

    A value that only a share ``p`` of all transfers reaches gives ``ln(1/p)``:
    what is rare in this stream, on the risky side, is surprising; no labels needed.
    """

    def __init__(self, state: TailsState) -> None:
        self._columns = state.columns.astype(np.intp)
        self._signs, self._values, self._surprise = state.signs, state.values, state.surprise
        self._offsets = np.arange(len(state.columns)) * state.surprise.shape[1]

    def surprises(self, rows: Rows) -> Rows:
        """Return the surprise of each watched feature (n x k), all at least 0."""
        places = passed(self._values, rows[:, self._columns] * self._signs)
        taken: Rows = self._surprise.take(places + self._offsets)
        return taken


class HalfSpace:
    """River's half-space trees, walked for all rows and trees at once; equal to River's `score_one`."""

    def __init__(self, state: HalfSpaceState) -> None:
        self._state = state
        count, inner = state.features.shape
        self._features = state.features.astype(np.intp).ravel()
        self._thresholds, self._masses = state.thresholds.ravel(), state.masses.ravel()
        self._inner_at, self._nodes_at = np.arange(count) * inner, np.arange(count) * (2 * inner + 1)
        self._worth = (2.0 ** np.arange(state.height + 1))[:, None, None]

    def score(self, rows: Rows) -> Scores:
        """Return anomaly scores 0-1 of ``rows`` (n x k), each number within 0-1."""
        path = self._path(rows)
        path += self._nodes_at
        masses = self._masses.take(path)
        heavy = np.logical_and.accumulate(masses[:-1] >= self._state.size_limit, axis=0)
        masses *= self._worth
        masses[1:] *= heavy
        scores: Scores = 1.0 - masses.sum(axis=0).sum(axis=1) / self._state.max_score
        return scores

    def _path(self, rows: Rows) -> Places:
        """Return the node of each depth that each row passes in each tree (depths x n x trees)."""
        flat, row_at = np.ascontiguousarray(rows).ravel(), (np.arange(len(rows)) * rows.shape[1])[:, None]
        path = np.zeros((self._state.height + 1, len(rows), len(self._inner_at)), dtype=np.intp)
        for depth in range(self._state.height):
            place = path[depth] + self._inner_at
            goes_left = flat.take(self._features.take(place) + row_at) < self._thresholds.take(place)
            np.subtract(2 * path[depth] + 2, goes_left, out=path[depth + 1])
        return path


class Scale:
    """Turns one number into the surprise of reaching it."""

    def __init__(self, state: ScaleState) -> None:
        self._values, self._surprise = state.values, state.surprise

    def surprise(self, numbers: Scores) -> Scores:
        """Return ``ln(1 / share of transfers at or beyond)`` of each number (n)."""
        return self._surprise.take(np.searchsorted(self._values, numbers, side="right"))


class Novelty:
    """The label-free detector: how rarely a transfer looks as risky as this one, in surprise (ln)."""

    def __init__(self, state: NoveltyState) -> None:
        self.version = state.version
        self.columns = state.tails.columns
        self._tails = Tails(state.tails)
        self._trees = HalfSpace(state.trees) if state.trees is not None else None
        self._trees_scale = Scale(state.trees_scale) if state.trees_scale is not None else None
        self._sum_scale = Scale(state.sum_scale)

    def surprises(self, rows: Rows) -> Rows:
        """Return the surprise of each watched feature (n x k)."""
        return self._tails.surprises(rows)

    def total(self, surprises: Rows) -> Scores:
        """Return the sum of all surprises of each row (n), before its own scale."""
        total: Scores = surprises.sum(axis=1)
        if self._trees is not None and self._trees_scale is not None:
            total = total + TREES_WEIGHT * self._trees_scale.surprise(self._trees.score(unit(surprises)))
        return total

    def score(self, rows: Rows) -> Scores:
        """Return how surprising each row is (n), as ``ln(1 / share of transfers as risky)``."""
        return self._sum_scale.surprise(self.total(self.surprises(rows)))


def unit(surprises: Rows) -> Rows:
    """Return surprises on a scale of 0-1, as half-space trees want them; no transcendental, so no odd last bits."""
    scaled: Rows = surprises / (1.0 + surprises)
    return scaled


class Linear:
    """Logistic regression on standardised features."""

    def __init__(self, state: LinearState) -> None:
        self.version = state.version
        self._state = state

    def parts(self, rows: Rows) -> Rows:
        """Return what each feature adds to the logit (n x features)."""
        return standardised(rows, self._state.means, self._state.inverse_deviations) * self._state.weights

    def score(self, rows: Rows) -> Scores:
        """Return the logit of each row (n)."""
        logits: Scores = self.parts(rows).sum(axis=1) + self._state.bias
        return logits


def standardised(rows: Rows, means: Rows, inverse_deviations: Rows) -> Rows:
    """Return ``(rows - means) * inverse_deviations``, cut at `CLIP`."""
    return np.clip((rows - means) * inverse_deviations, -CLIP, CLIP)


class Forest:
    """Boosted trees compiled to flat arrays; equal to scikit-learn's decision function to rounding."""

    def __init__(self, state: ForestState) -> None:
        self.version = state.version
        self._state = state
        self._features = state.features.astype(np.intp)
        self._children = np.stack((state.right, state.left), axis=1).astype(np.intp).ravel()
        self._roots = state.roots.astype(np.intp)
        levels = range(int(state.depths[0]))
        self._at_level = [int(np.count_nonzero(state.depths > level)) for level in levels]
        """How many trees go on below each level; trees are sorted by depth, so it is a prefix."""

    def score(self, rows: Rows) -> Scores:
        """Return the margin (log-odds) of each row (n)."""
        margins: Scores = self._state.values.take(self.leaves(rows)).sum(axis=1) + self._state.baseline
        return margins

    def leaves(self, rows: Rows) -> Places:
        """Return the leaf each row reaches in each tree (n x trees)."""
        flat = np.ascontiguousarray(rows).ravel()
        row_at = (np.arange(len(rows)) * rows.shape[1])[:, None]
        nodes = np.repeat(self._roots[None, :], len(rows), axis=0)
        for width in self._at_level:
            nodes[:, :width] = self._step(nodes[:, :width], flat, row_at)
        return nodes

    def _step(self, nodes: Places, flat: Rows, row_at: Places) -> Places:
        goes_left = flat.take(self._features.take(nodes) + row_at) <= self._state.thresholds.take(nodes)
        return self._children.take(2 * nodes + goes_left)

    def parts(self, row: Rows) -> Rows:
        """Return what each feature adds to the margin of one row (features), after Saabas (2014).

        Every step of a path changes the mean contribution below the node; the
        change is credited to the feature asked there. Parts and the mean margin
        add up to the margin.
        """
        state, out = self._state, np.zeros(len(row))
        for root in self._roots:
            node = int(root)
            while state.left[node] != node:
                feature = int(state.features[node])
                child = int(state.left[node] if row[feature] <= state.thresholds[node] else state.right[node])
                out[feature] += state.means[child] - state.means[node]
                node = child
        return out
