"""What Sluice says about one transfer, and what it keeps as evidence."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from models.money.types import Transfer


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
    payer_proven_paid: int = 0
    payer_proven_received: int = 0
    payee_proven_paid: int = 0
    payee_proven_received: int = 0


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ground for a risk, in words a person can check.

    ``weight`` is the share of the risk it carries (0-1); ``evidence`` holds the
    very numbers that the texts quote.
    """

    code: str
    weight: float
    zh: str
    en: str
    evidence: dict[str, float | int | str] = {}


class DetectorScore(msgspec.Struct, frozen=True, gc=False):
    """Score 0-1 of one detector, with the snapshot that gave it."""

    name: str
    version: str
    score: float


class StageTimes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Wall-clock times of one transfer through the pipeline, UTC microseconds.

    The only part of an assessment that differs between live and replay.
    """

    accepted_us: int = 0
    debited_us: int = 0
    assessed_us: int = 0


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
