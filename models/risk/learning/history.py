"""A bounded memory of labelled transfers: all frauds, a fair sample of the honest."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import numpy.typing as npt

from models.risk.learning.checkpoint import Plain, random_state, restore_random

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MAX_FRAUDS: Final = 20_000
"""Confirmed frauds kept; beyond this, new ones replace old ones at random."""

MAX_HONEST: Final = 20_000
"""Honest transfers kept: a uniform sample of all seen (reservoir, Vitter 1985)."""

GROWTH: Final = 1_024
"""Rows by which the arrays first grow; they double from there on."""


class Reservoir:
    """A uniform sample of at most ``limit`` rows of all rows offered; deterministic for a seed."""

    def __init__(self, width: int, limit: int, *, seed: int) -> None:
        self._limit = limit
        self._random = random.Random(seed)
        self._rows: Floats = np.empty((0, width))
        self._weights: Floats = np.empty(0)
        self.kept = 0
        self.offered_weight = 0.0
        """Total weight offered: how many transfers the kept rows stand for."""
        self._offered = 0

    def __len__(self) -> int:
        return self.kept

    @property
    def rows(self) -> Floats:
        """Rows kept (n x width); a view."""
        return self._rows[: self.kept]

    @property
    def weights(self) -> Floats:
        """Weights of the kept rows (n), scaled so that they add up to all weight offered."""
        own = self._weights[: self.kept]
        total = float(own.sum())
        return own * (self.offered_weight / total) if total else own

    def offer(self, rows: Floats, weights: Floats) -> None:
        """Take rows (n x width), in place of random ones when full, so that each row had the same chance."""
        room = min(self._limit - self.kept, len(rows))
        if room:
            self._make_room(room)
            fresh = slice(self.kept, self.kept + room)
            self._rows[fresh], self._weights[fresh] = rows[:room], weights[:room]
            self.kept += room
        self._offered += room
        self.offered_weight += float(weights.sum())
        for row, weight in zip(rows[room:], weights[room:].tolist(), strict=True):
            self._offered += 1
            place = self._random.randrange(self._offered)
            if place < self._limit:
                self._rows[place], self._weights[place] = row, weight

    def _make_room(self, more: int) -> None:
        if self.kept + more <= len(self._rows):
            return
        size = min(max(2 * len(self._rows), self.kept + more, GROWTH), self._limit)
        self._rows = np.concatenate((self.rows, np.empty((size - self.kept, self._rows.shape[1]))))
        self._weights = np.concatenate((self._weights[: self.kept], np.empty(size - self.kept)))

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here."""
        return {
            "rows": self.rows,
            "weights": self._weights[: self.kept],
            "offered": self._offered,
            "offered_weight": self.offered_weight,
            "random": random_state(self._random),
        }

    def load(self, state: Plain) -> None:
        """Go on from a state of `dump`."""
        self._rows, self._weights = state["rows"], state["weights"]
        self.kept, self._offered = len(self._rows), state["offered"]
        self.offered_weight = state["offered_weight"]
        restore_random(self._random, state["random"])


class History:
    """Labelled rows for refitting."""

    def __init__(self, width: int, *, seed: int, frauds: int = MAX_FRAUDS, honest: int = MAX_HONEST) -> None:
        self.frauds = Reservoir(width, frauds, seed=seed)
        self.honest = Reservoir(width, honest, seed=seed + 1)

    def add(self, rows: Floats, fraud: Bools, weights: Floats) -> None:
        """Remember labelled rows (n x width)."""
        self.frauds.offer(rows[fraud], weights[fraud])
        self.honest.offer(rows[~fraud], weights[~fraud])

    def training_set(self) -> tuple[Floats, Bools, Floats]:
        """Return rows, labels and weights, frauds first."""
        rows = np.concatenate((self.frauds.rows, self.honest.rows))
        labels = np.concatenate((np.ones(len(self.frauds), bool), np.zeros(len(self.honest), bool)))
        return rows, labels, np.concatenate((self.frauds.weights, self.honest.weights))
