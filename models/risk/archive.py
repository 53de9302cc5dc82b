"""Snapshots cut into parts by content, so that an archive keeps what did not change only once.

A snapshot is published twice a minute, but most of it, the trees above all,
stays the same for hours; only the linear detector changes each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from models.risk.snapshot import digest_of

LEAST_PART_BYTES: Final = 1_024
"""A smaller value stays in the frame."""


class ArchiveError(ValueError):
    """Parts of an archived snapshot are missing or do not give the payload they were cut from."""


class Cut(msgspec.Struct, frozen=True):
    """A payload as its frame (MessagePack: name to value, or to a part's digest) and its parts by digest."""

    frame: bytes
    parts: dict[str, bytes]


class _Part(msgspec.Struct, frozen=True, tag="part"):
    """Stands in a frame for a value that is kept under its digest."""

    digest: str


_Frame = dict[str, _Part | bytes]
_decode_map: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_frame: Final = msgspec.msgpack.Decoder(_Frame).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def cut(payload: bytes) -> Cut:
    """Return a payload cut at its top level; `joined` gives it back. Raise `ArchiveError` for no such payload."""
    try:
        values = _decode_map(payload)
    except msgspec.DecodeError as error:
        raise ArchiveError(str(error)) from error
    frame: _Frame = {}
    parts: dict[str, bytes] = {}
    for name, raw in values.items():
        value = bytes(raw)
        if len(value) < LEAST_PART_BYTES:
            frame[name] = value
        else:
            digest = digest_of(value)
            frame[name] = _Part(digest)
            parts[digest] = value
    made = Cut(_encode(frame), parts)
    if joined(made.frame, parts) != payload:
        raise ArchiveError("a payload that is not written as we write it")
    return made


def wanted(frame: bytes) -> tuple[str, ...]:
    """Return the digests of the parts that a frame needs."""
    return tuple(value.digest for value in _decode_frame(frame).values() if isinstance(value, _Part))


def joined(frame: bytes, parts: Mapping[str, bytes]) -> bytes:
    """Return the payload; raise `ArchiveError` if a part is missing."""
    try:
        values = {
            name: msgspec.Raw(parts[value.digest] if isinstance(value, _Part) else value)
            for name, value in _decode_frame(frame).items()
        }
    except KeyError as error:
        raise ArchiveError(f"part {error.args[0]} is missing") from error
    return _encode(values)
