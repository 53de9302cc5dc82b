"""The label-free detector learns: which values are rare on the risky side, alone and together."""

from __future__ import annotations

import random
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.detectors import HalfSpace, Novelty, Tails, unit
from models.risk.features import FEATURE_INDEX
from models.risk.learning.checkpoint import Plain, random_state, restore_random
from models.risk.learning.halfspace import HalfSpaceCounter
from models.risk.snapshot import NoveltyState, ScaleState, TailsState, digest_of

Floats = npt.NDArray[np.float64]

WATCHED: Final = {
    "rule_risk": 1,
    "amount": 1,
    "payer_pass": 1,
    "payer_quick": 1,
    "payer_taint": 1,
    "payer_idle": -1,
    "payer_emptied": 1,
    "payer_new_payees_24h": 1,
    "in_call": 1,
    "stranger_to_bank": 1,
    "device_changed": 1,
    "cash_channel": 1,
    "new_pass": 1,
    "new_spree": 1,
    "new_gather": 1,
    "payee_new_payers_24h": 1,
    "payee_taint": 1,
}
"""Features watched without labels, and the side (1 high, -1 low) where ``docs/sources.md#mule-signs`` puts them.

None of an account's habit of amounts, beyond the amount itself: rare sums are what honest people pay once in a while.
"""

SAMPLE_ROWS: Final = 8_192
"""Transfers kept to know what is rare."""

LEAST_RATE: Final = 1 / 64
"""Once full, at least this share of new transfers replaces kept ones, so that old habits fade."""

WARM_ROWS: Final = 512
"""No opinion before this many transfers."""

TAIL_POINTS: Final = 40
LEARN_EVERY: Final = 4
"""The half-space trees learn from every fourth transfer."""

NEXT_FREEZE: Final = 1.5
FREEZE_ROWS: Final = 32_768
"""What is rare is counted anew after 1.5 times as many transfers, and at least every this many."""


class NoveltyLearner:
    """Keeps a fading sample of all transfers, and River's half-space trees over their surprises."""

    def __init__(self, *, seed: int) -> None:
        self._columns = np.array([FEATURE_INDEX[name] for name in WATCHED], dtype=np.int32)
        self._signs = np.array([float(sign) for sign in WATCHED.values()])
        self._random = random.Random(seed)
        self._sample: Floats = np.empty((SAMPLE_ROWS, len(self._columns)))
        self._kept = 0
        self.observed = 0
        self._frozen_at = 0
        self._tails: TailsState | None = None
        self._trees = HalfSpaceCounter(len(self._columns), seed=seed)
        self._state: NoveltyState | None = None

    def observe(self, rows: Floats) -> None:
        """Learn from unlabelled rows (n x features)."""
        watched = rows[:, self._columns] * self._signs
        self._offer(watched)
        if self._tails is not None:
            self._teach(watched[-self.observed % LEARN_EVERY :: LEARN_EVERY])
        self.observed += len(rows)
        step = min(self._frozen_at * NEXT_FREEZE, self._frozen_at + FREEZE_ROWS)
        if self.observed >= max(step, WARM_ROWS):
            self._freeze()

    def freeze(self) -> NoveltyState | None:
        """Return the state that scores, None while too few transfers have been seen."""
        return self._state

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here, but for what `freeze` returns."""
        return {
            "sample": self._sample[: self._kept],
            "observed": self.observed,
            "frozen_at": self._frozen_at,
            "random": random_state(self._random),
            "trees": self._trees.dump(),
        }

    def load(self, state: Plain, frozen: NoveltyState | None) -> None:
        """Go on from a state of `dump` and what `freeze` had returned."""
        self._kept = len(state["sample"])
        self._sample[: self._kept] = state["sample"]
        self.observed, self._frozen_at = state["observed"], state["frozen_at"]
        restore_random(self._random, state["random"])
        self._state, self._tails = frozen, frozen.tails if frozen is not None else None
        self._trees.load(state["trees"])

    def _offer(self, watched: Floats) -> None:
        room = min(SAMPLE_ROWS - self._kept, len(watched))
        self._sample[self._kept : self._kept + room] = watched[:room]
        self._kept += room
        rate = max(SAMPLE_ROWS / (self.observed + 1), LEAST_RATE)
        for row in watched[room:]:
            if self._random.random() < rate:
                self._sample[self._random.randrange(SAMPLE_ROWS)] = row

    def _teach(self, watched: Floats) -> None:
        if len(watched):
            assert self._tails is not None
            self._trees.learn(unit(Tails(_in_sample(self._tails)).surprises(watched)))

    def _freeze(self) -> None:
        self._frozen_at = self.observed
        sample = self._sample[: self._kept]
        self._tails = tails_of(sample, self._columns, self._signs)
        surprises = Tails(_in_sample(self._tails)).surprises(sample)
        trees = self._trees.freeze()
        trees_scale = scale_of(HalfSpace(trees).score(unit(surprises))) if trees is not None else None
        draft = NoveltyState(
            version="",
            tails=self._tails,
            trees=trees,
            trees_scale=trees_scale,
            sum_scale=ScaleState(values=np.empty(0), surprise=np.zeros(1)),
        )
        state = msgspec.structs.replace(draft, sum_scale=scale_of(Novelty(draft).total(surprises)))
        raw = self._tails.values.tobytes() + state.sum_scale.values.tobytes()
        self._state = msgspec.structs.replace(state, version=f"novelty-{digest_of(raw)[:12]}")


def _in_sample(tails: TailsState) -> TailsState:
    """Return tails that read a sample's own columns, already turned to their risky side."""
    count = len(tails.columns)
    return msgspec.structs.replace(tails, columns=np.arange(count, dtype=np.int32), signs=np.ones(count))


def tails_of(sample: Floats, columns: npt.NDArray[np.int32], signs: Floats) -> TailsState:
    """Return one-sided tails of a sample (n x k, turned to the risky side)."""
    scales = [scale_of(sample[:, place]) for place in range(sample.shape[1])]
    width = max(len(scale.values) for scale in scales)
    values, surprise = np.full((len(scales), width), np.inf), np.zeros((len(scales), width + 1))
    for place, scale in enumerate(scales):
        values[place, : len(scale.values)] = scale.values
        surprise[place, : len(scale.surprise)] = scale.surprise
        surprise[place, len(scale.surprise) :] = scale.surprise[-1]
    return TailsState(columns=columns, signs=signs, values=values, surprise=surprise)


def scale_of(numbers: Floats) -> ScaleState:
    """Return the surprise ``ln((n + 2) / (count at or beyond + 1))`` at up to `TAIL_POINTS` values.

    The values are those at tail shares evenly spaced on a logarithmic scale, so
    the rare end is resolved finest. The commonest value of a count gives about 0.
    """
    ordered, count = np.sort(numbers), len(numbers)
    shares = np.geomspace(1.0, 1.0 / count, TAIL_POINTS)
    values = np.unique(ordered[np.minimum((count * (1.0 - shares)).astype(np.int64), count - 1)])
    beyond = count - np.searchsorted(ordered, values, side="left")
    return ScaleState(values=values, surprise=np.concatenate(([0.0], np.log((count + 2) / (beyond + 1)))))
