"""The audit trail as a hash chain: what was written cannot be changed, removed or reordered unseen.

Byte layout of an entry, version 1, all integers big-endian unsigned:

    "SLUICE-AUDIT" | version u16 | seq u64 | previous digest (32 bytes) | at_us u64
    | for each of actor, action, subject, detail: length u32 | UTF-8 bytes

The digest of an entry is the hash of that layout. ``detail`` is hashed as the
very text that is stored, so no serializer is part of the definition. The first
entry has seq 1 and 32 zero bytes as its previous digest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

import msgspec

LAYOUT_VERSION: Final = 1
GENESIS: Final = b"\x00" * 32
SHA256: Final = "sha256"
SM3: Final = "sm3"
ALGORITHMS: Final = frozenset({SHA256, SM3})
"""SM3 (GM/T 0004) needs an OpenSSL that has it; both give 32 bytes."""

_MAGIC: Final = b"SLUICE-AUDIT"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One act: who did what to which subject, with the digest that chains it to the one before."""

    seq: int
    previous: bytes
    at_us: int
    actor: str
    action: str
    subject: str
    detail: str
    digest: bytes
    algorithm: str = SHA256
    version: int = LAYOUT_VERSION


class ChainReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of checking a chain; ``breach`` is empty if every link holds."""

    entries: int
    last_seq: int
    last_digest: bytes
    breach: str = ""


def layout(entry: AuditEntry) -> bytes:
    """Return the bytes that are hashed; raise `ValueError` for an unknown version."""
    if entry.version != LAYOUT_VERSION:
        raise ValueError(f"unknown audit layout {entry.version}")
    parts = [_MAGIC, struct.pack(">HQ", entry.version, entry.seq), entry.previous, struct.pack(">Q", entry.at_us)]
    for text in (entry.actor, entry.action, entry.subject, entry.detail):
        raw = text.encode()
        parts += (struct.pack(">I", len(raw)), raw)
    return b"".join(parts)


def digest_of(entry: AuditEntry) -> bytes:
    """Return the digest an entry must have; raise `ValueError` for an unknown algorithm."""
    if entry.algorithm not in ALGORITHMS:
        raise ValueError(f"unknown audit algorithm {entry.algorithm}")
    return hashlib.new(entry.algorithm, layout(entry)).digest()


def next_entry(
    seq: int,
    previous: bytes,
    *,
    at_us: int,
    actor: str,
    action: str,
    subject: str,
    detail: str,
    algorithm: str = SHA256,
) -> AuditEntry:
    """Return the sealed entry that follows the one with ``seq`` and digest ``previous`` (0 and `GENESIS` at first)."""
    bare = AuditEntry(
        seq=seq + 1,
        previous=previous,
        at_us=at_us,
        actor=actor,
        action=action,
        subject=subject,
        detail=detail,
        digest=b"",
        algorithm=algorithm,
    )
    return msgspec.structs.replace(bare, digest=digest_of(bare))


def verify_chain(entries: Iterable[AuditEntry], *, seq: int = 0, previous: bytes = GENESIS) -> ChainReport:
    """Check entries that follow entry ``seq`` with digest ``previous``; stop at the first breach."""
    count = 0
    for entry in entries:
        breach = _breach(entry, seq, previous)
        if breach:
            return ChainReport(entries=count, last_seq=seq, last_digest=previous, breach=breach)
        seq, previous, count = entry.seq, entry.digest, count + 1
    return ChainReport(entries=count, last_seq=seq, last_digest=previous)


def _breach(entry: AuditEntry, seq: int, previous: bytes) -> str:
    if entry.seq != seq + 1:
        return f"entry {seq + 1} is missing (found {entry.seq})"
    if entry.previous != previous:
        return f"entry {entry.seq} does not follow entry {seq}"
    if entry.version != LAYOUT_VERSION or entry.algorithm not in ALGORITHMS:
        return f"entry {entry.seq} has an unknown layout or algorithm"
    if digest_of(entry) != entry.digest:
        return f"entry {entry.seq} was changed"
    return ""
