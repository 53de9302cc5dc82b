"""Frozen states of detectors as data: the payload of a `ModelSnapshot`.

MessagePack of the structs below and of nothing else. Arrays travel as dtype,
shape and bytes, with an allow-list of dtypes and hard limits, and every index a
state holds is checked before use, so a broken or hostile payload is refused
(`SnapshotError`) and can neither run code, nor read outside, nor loop.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]

FORMAT: Final = 2
"""Changes with the layout, and whenever a panel makes other risks of the same state: then an older snapshot is
refused, rather than a decision of its time called changed."""

MAX_PAYLOAD_BYTES: Final = 900_000
"""Below the 1 MB that a Kafka broker accepts by default, base64 of JSON not counted."""

MAX_ARRAY_ITEMS: Final = 200_000
MAX_DEPTH: Final = 32
DTYPES: Final = {"<f8": np.float64, "<i4": np.int32}


class SnapshotError(ValueError):
    """A snapshot's payload is not a valid state of a panel."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A detector's state ready to be published, before it is signed (`models.signing`)."""

    detector: str
    version: str
    feature_set: str
    payload: bytes


class TailsState(msgspec.Struct, frozen=True, kw_only=True, tag="tails"):
    """One-sided surprise of ``k`` features (see `detectors.surprises`).

    ``columns`` (k) into the feature row; ``signs`` (k) +1 where high, -1 where low
    values are risky; ``values`` (k x m) ascending, padded with infinity;
    ``surprise`` (k x m+1) the natural logarithm of one over the share of transfers
    at or beyond the value, for the number of values passed.
    """

    columns: Indices
    signs: Floats
    values: Floats
    surprise: Floats


class HalfSpaceState(msgspec.Struct, frozen=True, kw_only=True, tag="half-space"):
    """River's `HalfSpaceTrees`, flat: ``t`` complete binary trees of one height in heap order.

    ``features`` and ``thresholds`` (t x inner nodes), ``masses`` (t x all nodes).
    """

    height: int
    size_limit: float
    max_score: float
    features: Indices
    thresholds: Floats
    masses: Floats


class ScaleState(msgspec.Struct, frozen=True, kw_only=True, tag="scale"):
    """Surprise of one number: ``values`` (m) ascending, ``surprise`` (m+1)."""

    values: Floats
    surprise: Floats


class NoveltyState(msgspec.Struct, frozen=True, kw_only=True, tag="novelty"):
    """The label-free detector: tails, half-space trees over them, and the scale of their sum."""

    version: str
    tails: TailsState
    trees: HalfSpaceState | None
    trees_scale: ScaleState | None
    sum_scale: ScaleState


class LinearState(msgspec.Struct, frozen=True, kw_only=True, tag="linear"):
    """Online logistic regression: means, inverse deviations and weights of all features (f)."""

    version: str
    means: Floats
    inverse_deviations: Floats
    weights: Floats
    bias: float


class ForestState(msgspec.Struct, frozen=True, kw_only=True, tag="forest"):
    """Boosted trees, flat: all nodes of all trees one after the other, deepest tree first.

    ``roots`` and ``depths`` (trees); ``features, thresholds, left, right, values,
    means`` (nodes). A leaf is its own child. ``values`` is a leaf's contribution to
    the margin, ``means`` the mean contribution below a node (for explanations).
    """

    version: str
    baseline: float
    roots: Indices
    depths: Indices
    features: Indices
    thresholds: Floats
    left: Indices
    right: Indices
    values: Floats
    means: Floats


class BlendState(msgspec.Struct, frozen=True, kw_only=True, tag="blend"):
    """Weights of the members' logits, in the order of `blend.MEMBERS`, and the intercept."""

    version: str
    weights: Floats
    intercept: float


class PanelState(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag=FORMAT):
    """Everything a panel needs, one atomic state; a missing member has not begun yet."""

    feature_set: str
    width: int
    novelty: NoveltyState | None
    linear: LinearState | None
    forest: ForestState | None
    blend: BlendState
    watch_from: float | None = None
    """Risk from which a transfer is watched, as the alert budget has it; ``None`` before there is an opinion."""
    usual: Floats | None = None
    """Mean of each feature (f) over all transfers, for explanations; ``None`` where the linear state holds it."""


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.str not in DTYPES:
            raise SnapshotError(f"array of {value.dtype}")
        return [value.dtype.str, list(value.shape), value.tobytes()]
    raise NotImplementedError(type(value).__name__)


def _unpack(kind: Any, packed: Any) -> Any:
    dtype, shape, raw = packed
    wanted = Floats if kind == Floats else Indices
    if kind not in (Floats, Indices) or DTYPES.get(dtype) is not (np.float64 if wanted == Floats else np.int32):
        raise ValueError(f"array of {dtype!r}")
    if len(shape) not in (1, 2) or any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"array of shape {shape!r}")
    array = np.frombuffer(raw, dtype=DTYPES[dtype])
    if array.size > MAX_ARRAY_ITEMS or array.size != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"array of {array.size} items for shape {shape!r}")
    return array.reshape(shape)


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_pack, order="deterministic")
_decoder: Final = msgspec.msgpack.Decoder(PanelState, dec_hook=_unpack)


def encode_state(state: PanelState) -> bytes:
    """Return the payload of a state; equal states give equal bytes. Raise `SnapshotError` if too large."""
    payload = _encoder.encode(state)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise SnapshotError(f"{len(payload)} bytes exceed {MAX_PAYLOAD_BYTES}")
    return payload


def decode_state(payload: bytes) -> PanelState:
    """Return the checked state of a payload; raise `SnapshotError` for anything else."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise SnapshotError(f"{len(payload)} bytes exceed {MAX_PAYLOAD_BYTES}")
    try:
        state = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise SnapshotError(str(error)) from error
    check_state(state)
    return state


def digest_of(payload: bytes) -> str:
    """Return the SHA-256 of a payload in hex; the first 12 digits are part of a version."""
    return hashlib.sha256(payload).hexdigest()


def signature_of(key: bytes, *, detector: str, version: str, digest: str) -> str:
    """Return the HMAC-SHA-256 in hex over name, version and digest, each ended by a zero byte."""
    message = b"".join(part.encode() + b"\0" for part in (detector, version, digest))
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def is_signed(key: bytes, *, detector: str, version: str, payload: bytes, digest: str, signature: str) -> bool:
    """Return whether digest and signature belong to this payload, name and version (in constant time)."""
    wanted = signature_of(key, detector=detector, version=version, digest=digest_of(payload))
    return hmac.compare_digest(digest_of(payload), digest) and hmac.compare_digest(wanted, signature)


def check_state(state: PanelState) -> None:
    """Raise `SnapshotError` unless shapes agree, numbers are finite and indices stay inside."""
    if not 0 < state.width <= 4_096:
        raise SnapshotError(f"{state.width} features")
    if state.novelty is not None:
        _check_novelty(state.novelty, state.width)
    if state.linear is not None:
        _check_linear(state.linear, state.width)
    if state.forest is not None:
        _check_forest(state.forest, state.width)
    _require(state.blend.weights.shape == (3,), "blend weights")
    _finite(state.blend.weights, np.array([state.blend.intercept]))
    _require(state.watch_from is None or 0.0 < state.watch_from <= 1.0, "threshold of watching")
    if state.usual is not None:
        _require(state.usual.shape == (state.width,), "usual values")
        _finite(state.usual)


def _check_novelty(state: NoveltyState, width: int) -> None:
    tails = state.tails
    count = len(tails.columns)
    _inside(tails.columns, width)
    _require(tails.signs.shape == (count,) and tails.values.ndim == 2 and len(tails.values) == count, "tails")
    _require(tails.surprise.shape == (count, tails.values.shape[1] + 1), "tails")
    _require(not np.isnan(tails.values).any(), "tails")
    _finite(tails.signs, tails.surprise)
    _require((state.trees is None) == (state.trees_scale is None), "half-space trees without scale")
    for scale in (state.trees_scale, state.sum_scale):
        if scale is not None:
            _require(scale.surprise.shape == (len(scale.values) + 1,), "scale")
            _finite(scale.values, scale.surprise)
    if state.trees is not None:
        _check_half_space(state.trees, count)


def _check_half_space(trees: HalfSpaceState, width: int) -> None:
    _require(0 < trees.height <= 15 and trees.max_score > 0.0, "half-space height")
    inner = 2**trees.height - 1
    count = len(trees.features)
    _require(trees.features.shape == trees.thresholds.shape == (count, inner), "half-space trees")
    _require(trees.masses.shape == (count, 2 * inner + 1), "half-space masses")
    _inside(trees.features, width)
    _finite(trees.thresholds, trees.masses)


def _check_linear(state: LinearState, width: int) -> None:
    _require(state.means.shape == state.inverse_deviations.shape == state.weights.shape == (width,), "linear")
    _finite(state.means, state.inverse_deviations, state.weights, np.array([state.bias]))


def _check_forest(state: ForestState, width: int) -> None:
    nodes = len(state.features)
    for array in (state.thresholds, state.left, state.right, state.values, state.means):
        _require(array.shape == (nodes,), "forest nodes")
    _require(state.roots.shape == state.depths.shape and state.roots.ndim == 1 and len(state.roots) > 0, "forest roots")
    _inside(state.features, width)
    for array in (state.roots, state.left, state.right):
        _inside(array, nodes)
    _require(bool(((state.depths >= 0) & (state.depths <= MAX_DEPTH)).all()), "forest depth")
    _require(bool((np.diff(state.depths) <= 0).all()), "forest order")
    here = np.arange(nodes)
    leaf = (state.left == here) & (state.right == here)
    _require(bool((leaf | ((state.left > here) & (state.right > here))).all()), "forest path that could return")
    _finite(state.thresholds, state.values, state.means, np.array([state.baseline]))


def _inside(indices: Indices, size: int) -> None:
    _require(bool(((indices >= 0) & (indices < size)).all()), "an index points outside")


def _finite(*arrays: Floats) -> None:
    _require(all(bool(np.isfinite(array).all()) for array in arrays), "a number is not finite")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise SnapshotError(f"invalid state: {what}")
