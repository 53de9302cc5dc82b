"""Thresholds and weights of the rules; decodable from a JSON or TOML mapping.

"ours" marks a default that no regulator gives (`domain.md` 3.1). A weight is the
risk the rule gives on its own when it fires fully.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

Weight = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
Seconds = Annotated[int, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Yuan = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class PassThrough(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money leaves soon after it came, in about the same amount (ours)."""

    weight: Weight = 0.6
    within_s: Seconds = 3_600
    fit: Share = 0.3


class TaintedForward(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Suspected money is passed on (ours)."""

    weight: Weight = 0.7
    taint: Share = 0.2


class NewLarge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First payment to a payee, far above the payer's habit (ours)."""

    weight: Weight = 0.35
    z: float = 2.0
    at_least_yuan: Yuan = 1_000


class StrangersIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several unknown payers pay one account within a day (ours; star-in of domain.md 3.1 has 5)."""

    weight: Weight = 0.4
    payers: Count = 3


class YoungPayee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Much money from a new payer to an account just seen for the first time (ours)."""

    weight: Weight = 0.2
    age_s: Seconds = 7 * 86_400
    at_least_yuan: Yuan = 1_000


class InCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payer is in a call while paying a new payee (domain.md 3.2)."""

    weight: Weight = 0.6


class Night(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Large transfer at night to a new payee (domain.md 3.1: 00:00-05:00)."""

    weight: Weight = 0.15
    at_least_yuan: Yuan = 5_000


class ListRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weight that a grey entry adds (black and white are decided without a weight)."""

    weight: Weight = 0.4


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All thresholds of the rule book, one section for each rule."""

    pass_through: PassThrough = PassThrough()
    tainted_forward: TaintedForward = TaintedForward()
    new_large: NewLarge = NewLarge()
    strangers_in: StrangersIn = StrangersIn()
    young_payee: YoungPayee = YoungPayee()
    in_call: InCall = InCall()
    night: Night = Night()
    grey: ListRule = ListRule()


DEFAULT_RULES: Final = RuleSettings()


def rules_from_mapping(mapping: Mapping[str, object]) -> RuleSettings:
    """Return settings from a decoded JSON or TOML mapping; raise `msgspec.ValidationError`.

    >>> rules_from_mapping({"pass_through": {"weight": 0.5}}).pass_through.within_s
    3600
    """
    return msgspec.convert(mapping, RuleSettings)


def rule_book_version(settings: RuleSettings, edition: str) -> str:
    """Return the version of the rules: edition of the code and digest of the thresholds."""
    return f"{edition}-{hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:8]}"
