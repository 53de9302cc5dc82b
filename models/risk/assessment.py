"""What Sluice says about one transfer, and what it keeps as evidence."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from models.money.types import Count, TimeUs, Transfer


class Band(StrEnum):
    """What a risk means for the money."""

    ALLOW = "allow"
    WATCH = "watch"
    STOP = "stop"


class ListLevel(StrEnum):
    """Level of an account on the lists in force (platform codes 0, 1, 2)."""

    NONE = "none"
    WHITE = "white"
    BLACK = "black"
    GREY = "grey"


class AccountLists(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of both accounts of a transfer at the time of scoring: list levels, and proven frauds.

    ``payer_proven_paid`` counts the payer's transfers that a verdict found to be
    fraud and in which it paid, ``..._received`` those in which it received; a victim
    has paid, a mule has received (and mostly paid on).
    """

    payer: ListLevel = ListLevel.NONE
    payee: ListLevel = ListLevel.NONE
    payer_proven_paid: Count = 0
    payer_proven_received: Count = 0
    payee_proven_paid: Count = 0
    payee_proven_received: Count = 0


class Severity(StrEnum):
    """How grave a ground is if it is true: what a person reads first. From the least to the gravest (docs/rules.md).

    A weight says how much a ground proves and makes the risk; a severity moves no
    risk. Several strangers paying one account weigh much and are mostly a shop; a
    payer in a call weighs little, and if it is the crook there are minutes left.
    """

    NOTICE = "notice"
    ELEVATED = "elevated"
    SERIOUS = "serious"
    CRITICAL = "critical"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ground for a risk, in words a person can check.

    ``weight`` is the share of the risk it carries (0-1); ``evidence`` holds the
    very numbers that the texts quote. ``severity`` is that of the rule book that
    made it; None in records from before there were severities.
    """

    code: str
    weight: float
    zh: str
    en: str
    evidence: dict[str, float | int | str] = {}
    severity: Severity | None = None


_GRAVITY: Final[dict[Severity | None, int]] = {severity: place for place, severity in enumerate((None, *Severity))}


def gravest_first(reasons: Iterable[Reason]) -> list[Reason]:
    """Return reasons in the order in which a person reads them; those of one severity keep their order.

    >>> night = Reason("V03", 0.5, "夜间", "at night", severity=Severity.NOTICE)
    >>> call = Reason("V02", 0.1, "通话中", "in a call", severity=Severity.SERIOUS)
    >>> [reason.code for reason in gravest_first([night, call])]
    ['V02', 'V03']
    """
    return sorted(reasons, key=lambda reason: -_GRAVITY[reason.severity])


class DetectorScore(msgspec.Struct, frozen=True, gc=False):
    """Score 0-1 of one detector, with the snapshot that gave it."""

    name: str
    version: str
    score: float


class StageTimes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Wall-clock times of one transfer through the pipeline, UTC microseconds.

    The only part of an assessment that differs between live and replay.
    """

    accepted_us: TimeUs = 0
    debited_us: TimeUs = 0
    assessed_us: TimeUs = 0


class DebitView(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the payer's side knows of a transfer; travels with it on ``credits``.

    ``features`` holds the payer's facts, from which the payer half of the feature
    vector is made, in the order of the feature set they were made with.
    """

    features: tuple[float, ...]
    feature_set: str


class Assessment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="schema", tag=1):
    """Risk of one transfer with reasons, features and every version that made it."""

    transfer: Transfer
    risk: float
    band: Band
    reasons: tuple[Reason, ...]
    features: tuple[float, ...]
    feature_set: str
    rule_book: str
    scores: tuple[DetectorScore, ...]
    lists: AccountLists = AccountLists()
    stages: StageTimes = StageTimes()
