"""A bounded memory of labelled transfers: all frauds, a fair sample of the honest.

A label that turns out to be wrong is taken back: rows carry the key of their transfer.
"""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import numpy.typing as npt

from models.risk.learning.checkpoint import Plain, random_state, restore_random

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.int64]

NO_KEY: Final = 0
"""Key of a row whose transfer nobody will speak of again; it is never taken back."""

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
        self._keys: Keys = np.empty(0, np.int64)
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

    def offer(self, rows: Floats, weights: Floats, keys: Keys) -> None:
        """Take rows (n x width), in place of random ones when full, so that each row had the same chance.

        A place that was given back is filled only by a row that draws it: later rows are not favoured.
        """
        room = max(0, min(self._limit - self._offered, len(rows)))
        if room:
            self._append(rows[:room], weights[:room], keys[:room])
        self._offered += room
        self.offered_weight += float(weights.sum())
        for number in range(room, len(rows)):
            self._offered += 1
            place = self._random.randrange(self._offered)
            if place < self.kept:
                self._rows[place], self._weights[place] = rows[number], weights[number]
                self._keys[place] = keys[number]
            elif place < self._limit:
                one = slice(number, number + 1)
                self._append(rows[one], weights[one], keys[one])

    def take_back(self, keys: Keys) -> int:
        """Forget the rows of these transfers as if they had never been offered; return how many were there."""
        gone = np.isin(self._keys[: self.kept], keys[keys != NO_KEY])
        if not gone.any():
            return 0
        found, stays = int(gone.sum()), ~gone
        self.offered_weight = max(0.0, self.offered_weight - float(self._weights[: self.kept][gone].sum()))
        self._rows, self._weights = self.rows[stays], self._weights[: self.kept][stays]
        self._keys = self._keys[: self.kept][stays]
        self.kept -= found
        self._offered -= found
        return found

    def _append(self, rows: Floats, weights: Floats, keys: Keys) -> None:
        self._make_room(len(rows))
        fresh = slice(self.kept, self.kept + len(rows))
        self._rows[fresh], self._weights[fresh], self._keys[fresh] = rows, weights, keys
        self.kept += len(rows)

    def _make_room(self, more: int) -> None:
        if self.kept + more <= len(self._rows):
            return
        size = min(max(2 * len(self._rows), self.kept + more, GROWTH), self._limit)
        self._rows = np.concatenate((self.rows, np.empty((size - self.kept, self._rows.shape[1]))))
        self._weights = np.concatenate((self._weights[: self.kept], np.empty(size - self.kept)))
        self._keys = np.concatenate((self._keys[: self.kept], np.empty(size - self.kept, np.int64)))

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here."""
        return {
            "rows": self.rows,
            "weights": self._weights[: self.kept],
            "keys": self._keys[: self.kept],
            "offered": self._offered,
            "offered_weight": self.offered_weight,
            "random": random_state(self._random),
        }

    def load(self, state: Plain) -> None:
        """Go on from a state of `dump`."""
        self._rows, self._weights, self._keys = state["rows"], state["weights"], state["keys"]
        self.kept, self._offered = len(self._rows), state["offered"]
        self.offered_weight = state["offered_weight"]
        restore_random(self._random, state["random"])


class History:
    """Labelled rows for refitting."""

    def __init__(self, width: int, *, seed: int, frauds: int = MAX_FRAUDS, honest: int = MAX_HONEST) -> None:
        self.frauds = Reservoir(width, frauds, seed=seed)
        self.honest = Reservoir(width, honest, seed=seed + 1)

    def add(self, rows: Floats, fraud: Bools, weights: Floats, keys: Keys) -> None:
        """Remember labelled rows (n x width); those of one transfer must not be in it yet (`take_back`)."""
        self.frauds.offer(rows[fraud], weights[fraud], keys[fraud])
        self.honest.offer(rows[~fraud], weights[~fraud], keys[~fraud])

    def take_back(self, keys: Keys) -> tuple[int, int]:
        """Forget what was said of these transfers; return how many frauds and honest ones were there.

        One that has left its sample again needs no taking back; only its weight in the sum stays.
        """
        return self.frauds.take_back(keys), self.honest.take_back(keys)

    def training_set(self) -> tuple[Floats, Bools, Floats]:
        """Return rows, labels and weights, frauds first."""
        rows = np.concatenate((self.frauds.rows, self.honest.rows))
        labels = np.concatenate((np.ones(len(self.frauds), bool), np.zeros(len(self.honest), bool)))
        return rows, labels, np.concatenate((self.frauds.weights, self.honest.weights))


def latest(keys: Keys) -> Bools:
    """Return which rows (n) hold the last word on their transfer.

    >>> latest(np.array([7, NO_KEY, 7, NO_KEY])).tolist()
    [False, True, True, True]
    """
    _, backwards = np.unique(keys[::-1], return_index=True)
    last: Bools = keys == NO_KEY
    last[len(keys) - 1 - backwards] = True
    return last
