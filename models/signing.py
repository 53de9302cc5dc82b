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


def check_content(record: ModelSnapshot) -> None:
    """Raise `SignatureError` unless digest and version name this payload; needs no key.

    A version ends with the first 12 digits of the payload's digest.
    """
    digest = digest_of(record.payload)
    if record.digest != digest or not record.version.endswith(digest[:12]):
        raise SignatureError(f"snapshot {record.detector} {record.version} does not hold what its version names")


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
