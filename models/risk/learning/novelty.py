"""The label-free detector learns: which values are rare on the risky side, alone and together."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from river import anomaly

from models.risk.detectors import HalfSpace, Novelty, Tails, unit
from models.risk.features import FEATURE_INDEX
from models.risk.learning.checkpoint import Plain, random_state, restore_random
from models.risk.snapshot import HalfSpaceState, NoveltyState, ScaleState, TailsState, digest_of

Floats = npt.NDArray[np.float64]

WATCHED: Final = {
    "rule_risk": 1,
    "amount": 1,
    "payer_pass": 1,
    "payer_quick": 1,
    "payer_taint": 1,
    "payer_idle": -1,
    "payer_over_max": 1,
    "payer_emptied": 1,
    "payer_new_payees_24h": 1,
    "alike_out": 1,
    "in_call": 1,
    "stranger_to_bank": 1,
    "device_changed": 1,
    "cash_channel": 1,
    "new_pass": 1,
    "new_z": 1,
    "new_spree": 1,
    "new_gather": 1,
    "payee_new_payers_24h": 1,
    "payee_taint": 1,
    "payee_z": 1,
    "payee_over_max": 1,
    "payee_share_24h": 1,
    "alike_in": 1,
}
"""Features watched without labels, and the side (1 high, -1 low) where the typologies of ``domain.md`` 3.2 put them."""

SAMPLE_ROWS: Final = 8_192
"""Transfers kept to know what is rare."""

LEAST_RATE: Final = 1 / 64
"""Once full, at least this share of new transfers replaces kept ones, so that old habits fade."""

WARM_ROWS: Final = 512
"""No opinion before this many transfers."""

TAIL_POINTS: Final = 40
TREES: Final = 25
TREE_HEIGHT: Final = 6
WINDOW: Final = 1_000
"""Half-space trees: examples until what was counted is put to use."""

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
        self._trees: Any = anomaly.HalfSpaceTrees(n_trees=TREES, height=TREE_HEIGHT, window_size=WINDOW, seed=seed)
        self._state: NoveltyState | None = None

    def observe(self, rows: Floats) -> None:
        """Learn from unlabelled rows (n x features)."""
        watched = rows[:, self._columns] * self._signs
        for row in watched:
            self._offer(row)
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
        state: Plain = {
            "sample": self._sample[: self._kept],
            "observed": self.observed,
            "frozen_at": self._frozen_at,
            "random": random_state(self._random),
            "masses": None,
        }
        if self._trees.trees:
            nodes = [node for tree in self._trees._tree_nodes for node in tree]
            state["masses"] = np.array([(node.l_mass, node.r_mass) for node in nodes], dtype=np.float64)
            state["counter"], state["first_window"] = self._trees.counter, self._trees._first_window
        return state

    def load(self, state: Plain, frozen: NoveltyState | None) -> None:
        """Go on from a state of `dump` and what `freeze` had returned."""
        self._kept = len(state["sample"])
        self._sample[: self._kept] = state["sample"]
        self.observed, self._frozen_at = state["observed"], state["frozen_at"]
        restore_random(self._random, state["random"])
        self._state, self._tails = frozen, frozen.tails if frozen is not None else None
        if state["masses"] is None:
            return
        self._trees.learn_one(dict.fromkeys(range(len(self._columns)), 0.0))  # builds the same trees for the seed
        nodes = [node for tree in self._trees._tree_nodes for node in tree]
        for node, (left, right) in zip(nodes, state["masses"].astype(int).tolist(), strict=True):
            node.l_mass, node.r_mass = left, right
        self._trees.counter, self._trees._first_window = state["counter"], state["first_window"]

    def _offer(self, row: Floats) -> None:
        if self._kept < SAMPLE_ROWS:
            self._sample[self._kept] = row
            self._kept += 1
        elif self._random.random() < max(SAMPLE_ROWS / (self.observed + 1), LEAST_RATE):
            self._sample[self._random.randrange(SAMPLE_ROWS)] = row

    def _teach(self, watched: Floats) -> None:
        if not len(watched):
            return
        assert self._tails is not None
        seen = Tails(_in_sample(self._tails)).surprises(watched)
        for row in unit(seen).tolist():
            self._trees.learn_one(dict(enumerate(row)))

    def _freeze(self) -> None:
        self._frozen_at = self.observed
        sample = self._sample[: self._kept]
        self._tails = tails_of(sample, self._columns, self._signs)
        surprises = Tails(_in_sample(self._tails)).surprises(sample)
        trees = compile_half_space(self._trees)
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


def compile_half_space(model: Any) -> HalfSpaceState | None:
    """Return River's half-space trees as flat arrays in heap order, None before their first full window."""
    if not model.trees or model._first_window:
        return None
    inner = 2**model.height - 1
    shape = (len(model.trees), inner)
    features, thresholds = np.zeros(shape, np.int32), np.zeros(shape)
    masses = np.zeros((len(model.trees), 2 * inner + 1))
    for tree, root in enumerate(model.trees):
        stack = [(0, root)]
        while stack:
            place, node = stack.pop()
            masses[tree, place] = node.r_mass
            if place < inner:
                features[tree, place], thresholds[tree, place] = node.feature, node.threshold
                stack += [(2 * place + 1, node.children[0]), (2 * place + 2, node.children[1])]
    return HalfSpaceState(
        height=model.height,
        size_limit=float(model.size_limit),
        max_score=float(model._max_score),
        features=features,
        thresholds=thresholds,
        masses=masses,
    )
