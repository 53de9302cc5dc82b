"""Signed snapshots: only the trainer's key puts a panel into service."""

from __future__ import annotations

from models.risk.snapshot import Snapshot, digest_of, is_signed, signature_of
from models.wire import ModelSnapshot


class SignatureError(ValueError):
    """A snapshot's digest or signature does not belong to its payload, name and version."""


def sign_snapshot(snapshot: Snapshot, *, key: bytes, created_us: int) -> ModelSnapshot:
    """Return the record of a snapshot for the topic ``models``."""
    digest = digest_of(snapshot.payload)
    return ModelSnapshot(
        detector=snapshot.detector,
        version=snapshot.version,
        feature_set=snapshot.feature_set,
        created_us=created_us,
        payload=snapshot.payload,
        digest=digest,
        signature=signature_of(key, detector=snapshot.detector, version=snapshot.version, digest=digest),
    )


def verify_snapshot(record: ModelSnapshot, *, key: bytes) -> None:
    """Raise `SignatureError` unless the record was signed with this key and is unchanged."""
    if not is_signed(
        key,
        detector=record.detector,
        version=record.version,
        payload=record.payload,
        digest=record.digest,
        signature=record.signature,
    ):
        raise SignatureError(f"snapshot {record.detector} {record.version} is not signed by the trainer's key")
