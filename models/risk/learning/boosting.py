"""Boosted trees refitted on a schedule, and their compilation to flat arrays."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from models.risk.snapshot import MAX_DEPTH, ForestState, digest_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class BoostingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Size and restraint of the trees (ours; many shallow, well filled leaves, since frauds are few)."""

    trees: int = 80
    learning_rate: float = 0.1
    leaves: int = 15
    depth: int = 8
    least_leaf_rows: int = 40
    l2: float = 5.0
    threads: int = 1
    """OpenMP threads of one fit; more only help on idle cores, since waiting threads spin."""


CODES: Final = 128
"""Values that the trees can tell apart in one feature."""

DEFAULT_BOOSTING: Final = BoostingSettings()


def grow(
    rows: Floats, fraud: Bools, weights: Floats, *, seed: int, settings: BoostingSettings = DEFAULT_BOOSTING
) -> ForestState:
    """Fit boosted trees to ``rows`` (n x features) and return them compiled; deterministic for a seed.

    ``weights`` (n) say how many transfers a row stands for. Needs both labels,
    else scikit-learn raises ``ValueError``.
    """
    model = HistGradientBoostingClassifier(
        max_iter=settings.trees,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        max_depth=settings.depth,
        min_samples_leaf=settings.least_leaf_rows,
        l2_regularization=settings.l2,
        max_bins=CODES,
        early_stopping=False,
        random_state=seed,
    )
    edges = edges_of(rows)
    telling = np.array([column for column, cuts in enumerate(edges) if len(cuts)] or [0])
    codes = codes_of(rows, edges)[:, telling]
    with threadpool_limits(limits=settings.threads, user_api="openmp"):
        model.fit(codes, fraud, sample_weight=weights)
    return compile_trees(model, edges, telling)


def edges_of(rows: Floats) -> list[Floats]:
    """Return the values at which each feature is cut into at most `CODES` codes, evenly filled; none if it is constant.

    scikit-learn would find such values itself, but with weights it takes a
    percentile for each, seconds for a hundred features.
    """
    cuts = np.quantile(rows, np.linspace(0.0, 1.0, CODES + 1)[1:-1], axis=0, method="lower")
    tops = rows.max(axis=0)
    return [np.unique(cuts[cuts[:, column] < tops[column], column]) for column in range(rows.shape[1])]


def codes_of(rows: Floats, edges: list[Floats]) -> Floats:
    """Return how many edges each value is above (n x features): ``code <= k`` exactly if ``value <= edges[k]``."""
    codes = np.empty(rows.shape)
    for column, cuts in enumerate(edges):
        codes[:, column] = np.searchsorted(cuts, rows[:, column], side="left")
    return codes


def compile_trees(model: Any, edges: list[Floats], columns: Places) -> ForestState:
    """Return the flat form of a binary `HistGradientBoostingClassifier` fitted to ``columns`` of `codes_of`.

    Thresholds go back to the features' own scale, so the trees read features. Raise
    ``ValueError`` for categorical splits or more than one output, which we never fit.
    """
    if model.n_trees_per_iteration_ != 1:
        raise ValueError("only binary models are compiled")
    trees = [iteration[0].nodes for iteration in model._predictors]
    if any(nodes["is_categorical"].any() for nodes in trees):
        raise ValueError("categorical splits are not compiled")
    depths = np.array([int(nodes["depth"].max()) for nodes in trees])
    order = np.argsort(-depths, kind="stable")
    sizes = np.array([len(trees[place]) for place in order])
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    parts = [_flat_tree(trees[place], start, edges, columns) for place, start in zip(order, starts, strict=True)]
    state = ForestState(
        version="",
        baseline=float(np.ravel(model._baseline_prediction)[0]),
        roots=starts.astype(np.int32),
        depths=depths[order].clip(max=MAX_DEPTH).astype(np.int32),
        features=np.concatenate([part[0] for part in parts]),
        thresholds=np.concatenate([part[1] for part in parts]),
        left=np.concatenate([part[2] for part in parts]),
        right=np.concatenate([part[3] for part in parts]),
        values=np.concatenate([part[4] for part in parts]),
        means=np.concatenate([part[5] for part in parts]),
    )
    return msgspec.structs.replace(state, version=f"forest-{_fingerprint(state)}")


def _flat_tree(nodes: Any, start: int, edges: list[Floats], columns: Places) -> tuple[Any, ...]:
    """Return features, thresholds, left, right, values and means of one tree, children counted from ``start``."""
    here = np.arange(len(nodes))
    leaf = nodes["is_leaf"].astype(bool)
    left = np.where(leaf, here, nodes["left"]).astype(np.int32)
    right = np.where(leaf, here, nodes["right"]).astype(np.int32)
    values = np.where(leaf, nodes["value"], 0.0)
    means, counts = values.copy(), nodes["count"].astype(np.float64)
    for node in here[::-1]:
        if not leaf[node]:
            below = [left[node], right[node]]
            means[node] = float(np.average(means[below], weights=counts[below]))
    features = np.where(leaf, 0, columns[nodes["feature_idx"]]).astype(np.int32)
    codes = np.floor(nodes["num_threshold"])
    thresholds = [
        0.0 if leaf[node] else edges[features[node]][int(min(codes[node], len(edges[features[node]]) - 1))]
        for node in here
    ]
    return (
        features,
        np.array(thresholds, dtype=np.float64),
        (left + start).astype(np.int32),
        (right + start).astype(np.int32),
        values.astype(np.float64),
        means,
    )


def _fingerprint(state: ForestState) -> str:
    arrays = (state.roots, state.features, state.thresholds, state.left, state.right, state.values)
    return digest_of(b"".join(array.tobytes() for array in arrays) + str(state.baseline).encode())[:12]
