"""Who is calling, and what they may do. Keys are kept as SHA-256 digests only.

A key is an object ``{"name": …, "sha256": …}`` with ``banks`` (a bank's
system; ``["*"]`` for a clearing house) or ``roles`` (a person). Keys are long
random strings, so a plain digest cannot be reversed by guessing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from fastapi import Request

from api.errors import Forbidden, Unauthenticated
from models.control.records import MACHINE, Actor
from models.control.states import ActorKind

ANY_BANK: Final = "*"

Name = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_.@\-]{1,64}$")]
HexDigest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Role(StrEnum):
    """What a person may do."""

    ANALYST = "analyst"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


class KeyEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key as configured."""

    name: Name
    sha256: HexDigest
    banks: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling: a bank's system, or a person with roles."""

    name: str
    banks: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset()

    @property
    def actor(self) -> Actor:
        """The caller as the actor of an order's event."""
        return Actor(self.name, ActorKind.PERSON if self.roles else ActorKind.BANK)

    def is_party(self, *banks: str) -> bool:
        """Whether the caller speaks for one of these banks."""
        return ANY_BANK in self.banks or not self.banks.isdisjoint(banks)


def hash_key(key: str) -> str:
    """Return the digest under which a key is configured.

    >>> hash_key("demo")[:16]
    '2a97516c354b6884'
    """
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(text: str, path: Path | None = None) -> list[KeyEntry]:
    """Return the keys of a JSON list and of a file; raise `msgspec.ValidationError` or `ValueError` for bad ones."""
    decode = msgspec.json.Decoder(list[KeyEntry]).decode
    keys = decode(text or "[]") + (decode(path.read_bytes()) if path else [])
    names, digests = {key.name for key in keys}, {key.sha256 for key in keys}
    if len(names) != len(keys) or len(digests) != len(keys):
        raise ValueError("two API keys share a name or a digest, so four eyes could be two")
    if MACHINE.name in names:
        raise ValueError(f"the name {MACHINE.name!r} is the machine's own")
    for key in keys:
        if bool(key.banks) == bool(key.roles):
            raise ValueError(f"key {key.name!r} must have banks or roles, and not both")
    return keys


class Gatekeeper:
    """Knows the keys and recognises callers."""

    def __init__(self, keys: Iterable[KeyEntry]) -> None:
        self._principals: Mapping[str, tuple[str, Principal]] = {
            key.sha256: (
                key.sha256,
                Principal(name=key.name, banks=frozenset(key.banks), roles=frozenset(key.roles)),
            )
            for key in keys
        }

    def banks(self) -> set[str]:
        """Return the banks that have keys."""
        found = {bank for _, principal in self._principals.values() for bank in principal.banks}
        return found - {ANY_BANK}

    def recognise(self, request: Request) -> Principal:
        """Return who is calling; raise `Unauthenticated`.

        The digest of the presented key is looked up, so the time taken tells
        nothing about how much of a key was right; the comparison is constant-time too.
        """
        presented = hash_key(presented_key(request))
        digest, principal = self._principals.get(presented, ("", NOBODY))
        if not hmac.compare_digest(digest, presented):
            raise Unauthenticated("unknown_key", "the API key is not known")
        return principal


NOBODY: Final = Principal(name="")


def presented_key(request: Request) -> str:
    """Return the key in ``Authorization: Bearer`` or ``X-Api-Key``; raise `Unauthenticated` without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not key:
        raise Unauthenticated("key_required", "send an API key as Authorization: Bearer, or as X-Api-Key")
    return key


def require_role(principal: Principal, *roles: Role) -> Principal:
    """Return the caller if they have one of ``roles``; raise `Forbidden` otherwise. An admin may read and re-arm."""
    if principal.roles.isdisjoint(roles):
        wanted = ", ".join(role.value for role in roles)
        raise Forbidden("role_required", f"this needs one of the roles: {wanted}")
    return principal
