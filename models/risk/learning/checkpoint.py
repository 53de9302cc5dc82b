"""A learner's whole state as bytes and back: plain values and arrays in MessagePack, nothing that runs."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
import numpy as np

from models.risk.snapshot import DTYPES

Plain = dict[str, Any]
"""Names to numbers, texts, lists, bytes, arrays, and the same nested."""

KINDS: Final = DTYPES | {"<i8": np.int64}
"""What arrays may hold: what snapshots know, and keys of transfers."""

ARRAY: Final = 1
"""MessagePack extension code of an array: dtype, shape and bytes."""


class CheckpointError(ValueError):
    """Bytes are not the state of a learner of this release."""


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raw = [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
        return msgspec.msgpack.Ext(ARRAY, msgspec.msgpack.encode(raw))
    raise NotImplementedError(type(value).__name__)


def _unpack(code: int, data: memoryview) -> Any:
    if code != ARRAY:
        raise ValueError(f"extension {code}")
    dtype, shape, raw = msgspec.msgpack.decode(data)
    return np.frombuffer(raw, dtype=KINDS[dtype]).reshape(shape).copy()


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_pack)
_decoder: Final = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_unpack)


def encode_plain(state: Plain) -> bytes:
    """Return the bytes of a state; arrays may be of `KINDS`."""
    return _encoder.encode(state)


def decode_plain(raw: bytes) -> Plain:
    """Return the state of `encode_plain`; raise `CheckpointError`."""
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(str(error)) from error


def random_state(source: random.Random) -> list[Any]:
    """Return a generator's state as plain values."""
    version, internal, gauss = source.getstate()
    return [version, list(internal), gauss]


def restore_random(source: random.Random, state: list[Any]) -> None:
    """Put a generator into a state of `random_state`."""
    version, internal, gauss = state
    source.setstate((version, tuple(internal), gauss))
