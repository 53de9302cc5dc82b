"""Weight, severity and thresholds of each rule, one section a rule.

A weight is the log-odds that a rule adds when it fires fully: 2.3 makes the odds
ten times larger. All weights and severities are ours, and so is every threshold
whose docstring names no source: no regulator gives a number for "fast", for a
residual balance or for night (`docs/sources.md#how-frauds-look`).

Every number has a lower and an upper bound, so that a file of rules can neither
divide by zero nor compare with what is no number. The upper ones are generous.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from models.money.types import MAX_AMOUNT_FEN
from models.risk.assessment import Severity

LogOdds = Annotated[float, msgspec.Meta(ge=-20.0, le=20.0)]
Weight = Annotated[float, msgspec.Meta(ge=0.0, le=20.0)]
Score = Annotated[float, msgspec.Meta(ge=-100.0, le=100.0)]
"""A bar for the scorecard; far more than its thirty facts can say together."""

Seconds = Annotated[int, msgspec.Meta(gt=0, le=100 * 366 * 86_400)]
"""Up to a hundred years."""

SecondsOfWeek = Annotated[int, msgspec.Meta(gt=0, le=6 * 86_400)]
"""Within what the window of 7 days surely holds."""

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Fen = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT_FEN)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Surprise = Annotated[float, msgspec.Meta(gt=0.0, le=1_000_000.0)]
Deviations = Annotated[float, msgspec.Meta(gt=0.0, le=1_000.0)]
Times = Annotated[float, msgspec.Meta(ge=1.0, le=1_000_000.0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of the rule book: only known fields, and never changed."""


class PassThrough(Section, frozen=True, kw_only=True):
    """快进快出: what came in leaves within ``within_s``, fitting at least ``fit``."""

    weight: Weight = 1.0
    severity: Severity = Severity.ELEVATED
    within_s: Seconds = 3_600
    fit: Share = 0.35


class Transit(Section, frozen=True, kw_only=True):
    """过渡账户: the same within a day."""

    weight: Weight = 0.8
    severity: Severity = Severity.NOTICE
    within_s: Seconds = 86_400
    fit: Share = 0.35


class Split(Section, frozen=True, kw_only=True):
    """One or few credits leave in ``debits`` or more parts within the hour (3007 at the speed of a stop)."""

    weight: Weight = 2.0
    severity: Severity = Severity.SERIOUS
    debits: Count = 2
    drained: Share = 0.6


class Pool(Section, frozen=True, kw_only=True):
    """At least ``credits`` credits of a day leave as one (3006 at the speed of a stop)."""

    weight: Weight = 0.4
    severity: Severity = Severity.ELEVATED
    credits: Count = 2
    fit: Share = 0.3


class TaintedForward(Section, frozen=True, kw_only=True):
    """Suspected money moves on; the weight is scaled by the suspected share."""

    weight: Weight = 4.6
    severity: Severity = Severity.SERIOUS
    taint: Share = 0.03


class FanIn(Section, frozen=True, kw_only=True):
    """More strangers pay one account within a day than its history lets expect; fully at a surprise of ``full``.

    The pattern of `docs/sources.md#star-in` begins at 5 payers a day; weighed from 2 on, by the account's own rate.
    """

    weight: Weight = 4.2
    severity: Severity = Severity.ELEVATED
    strangers: Count = 2
    full: Surprise = 10.0


class FanOut(Section, frozen=True, kw_only=True):
    """One account pays more new payees within a day than its history lets expect; fully at a surprise of ``full``."""

    weight: Weight = 1.5
    severity: Severity = Severity.ELEVATED
    payees: Count = 2
    full: Surprise = 10.0


class NoResidual(Section, frozen=True, kw_only=True):
    """不留余额: a debit within a day of a credit leaves almost nothing."""

    weight: Weight = 1.0
    severity: Severity = Severity.ELEVATED
    emptied: Share = 0.95
    within_s: SecondsOfWeek = 86_400


class Dormant(Section, frozen=True, kw_only=True):
    """沉睡账户启用: money of a new payer after ``idle_s`` idle (`docs/sources.md#notice-261`: 6 months)."""

    weight: Weight = 1.5
    severity: Severity = Severity.ELEVATED
    idle_s: Seconds = 90 * 86_400


class Young(Section, frozen=True, kw_only=True):
    """Burst after onboarding: money from a new, longer known payer to an account not older than ``age_s``."""

    weight: Weight = 1.5
    severity: Severity = Severity.NOTICE
    age_s: Seconds = 14 * 86_400


class QuickSpend(Section, frozen=True, kw_only=True):
    """Money of a stranger is soon paid to a new payee, at least ``part`` of the last credit."""

    weight: Weight = 3.6
    severity: Severity = Severity.ELEVATED
    within_s: Seconds = 3_600
    part: Share = 0.15


class Habitual(Section, frozen=True, kw_only=True):
    """The payer mostly pays within minutes of being paid."""

    weight: Weight = 0.5
    severity: Severity = Severity.NOTICE
    quick: Share = 0.5
    debits: Count = 3


class QuickPayee(Section, frozen=True, kw_only=True):
    """The payee passes on within minutes what it gets, in at least this share of its debits."""

    weight: Weight = 0.6
    severity: Severity = Severity.NOTICE
    quick: Share = 0.15


class CashOut(Section, frozen=True, kw_only=True):
    """Cash, goods or crypto right after a credit (车手)."""

    weight: Weight = 2.5
    severity: Severity = Severity.SERIOUS
    within_s: SecondsOfWeek = 3_600
    drained: Share = 0.3


class RoundTrip(Section, frozen=True, kw_only=True):
    """Money goes back to where it came from within a day."""

    weight: Weight = 0.2
    severity: Severity = Severity.NOTICE
    within_s: Seconds = 86_400
    fit: Share = 0.3


class Structured(Section, frozen=True, kw_only=True):
    """Repeated debits of about the same amount within a day, to a new payee."""

    weight: Weight = 0.4
    severity: Severity = Severity.NOTICE
    alike: Count = 2


class UnderLimit(Section, frozen=True, kw_only=True):
    """Singles under the limit that together exceed it in a day (CNY 50,000: `docs/sources.md#notice-261`)."""

    weight: Weight = 0.2
    severity: Severity = Severity.ELEVATED
    limit_fen: Fen = 5_000_000
    debits: Count = 3


class Collector(Section, frozen=True, kw_only=True):
    """跑分: several new payers send about the same amount within a day."""

    weight: Weight = 0.4
    severity: Severity = Severity.ELEVATED
    alike: Count = 3
    strangers: Count = 3


class BusyTransit(Section, frozen=True, kw_only=True):
    """The payee has passed on most of what it received today."""

    weight: Weight = 0.4
    severity: Severity = Severity.ELEVATED
    drained: Share = 0.6
    credits: Count = 1


class TaintedPayee(Section, frozen=True, kw_only=True):
    """More money goes where suspected money went today; the weight is scaled by the suspected share."""

    weight: Weight = 2.4
    severity: Severity = Severity.SERIOUS
    taint: Share = 0.03


class FirstLarge(Section, frozen=True, kw_only=True):
    """First payment to a payee, far above the payer's habit (标准差) or ``times`` the largest before."""

    weight: Weight = 2.2
    severity: Severity = Severity.ELEVATED
    z: Deviations = 1.5
    times: Times = 2.0


class LargeFirst(Section, frozen=True, kw_only=True):
    """First payment to a payee of more than ``from_fen``, fully at ``full_fen`` (logarithmic)."""

    weight: Weight = 1.8
    severity: Severity = Severity.NOTICE
    from_fen: Annotated[int, msgspec.Meta(ge=1, le=MAX_AMOUNT_FEN)] = 100_000
    full_fen: Fen = 10_000_000

    def __post_init__(self) -> None:
        if self.full_fen <= self.from_fen:
            raise ValueError(f"full_fen {self.full_fen} is not above from_fen {self.from_fen}")


class InCall(Section, frozen=True, kw_only=True):
    """The payer is in a call while paying a new payee (`docs/sources.md#victim-signs`)."""

    weight: Weight = 1.5
    severity: Severity = Severity.SERIOUS


class Night(Section, frozen=True, kw_only=True):
    """Large payment to a new payee between midnight and ``until_s`` (to 05:00: `docs/sources.md#vendor-thresholds`)."""

    weight: Weight = 0.8
    severity: Severity = Severity.NOTICE
    until_s: Seconds = 5 * 3_600
    at_least_fen: Fen = 200_000


class StepUp(Section, frozen=True, kw_only=True):
    """Growing payments to a payee known for less than ``within_s`` (`docs/sources.md#vendor-thresholds`)."""

    weight: Weight = 3.0
    severity: Severity = Severity.SERIOUS
    times: Times = 2.0
    within_s: Seconds = 7 * 86_400


class Probe(Section, frozen=True, kw_only=True):
    """小额试探: a small debit, then a large one within the hour (`docs/sources.md#vendor-thresholds`)."""

    weight: Weight = 0.3
    severity: Severity = Severity.ELEVATED
    small_fen: Fen = 50_000
    times: Times = 10.0


class NewDevice(Section, frozen=True, kw_only=True):
    """Another device than before pays a new payee."""

    weight: Weight = 1.0
    severity: Severity = Severity.ELEVATED


class Emptying(Section, frozen=True, kw_only=True):
    """The payer's savings go to a new payee."""

    weight: Weight = 1.0
    severity: Severity = Severity.SERIOUS
    emptied: Share = 0.8


class Reported3002(Section, frozen=True, kw_only=True):
    """被害人举报: an account was paid in at least ``frauds`` proven frauds (`docs/sources.md#platform-events`)."""

    weight: Weight = 4.0
    severity: Severity = Severity.CRITICAL
    frauds: Count = 1


class Gather3006(Section, frozen=True, kw_only=True):
    """分散转入集中转出 in 5 working days (`docs/sources.md#platform-shapes`).

    At least 3 credits, sums within 10 %, 3 x debits < credits.
    """

    weight: Weight = 0.3
    severity: Severity = Severity.ELEVATED
    credits: Count = 3
    within: Share = 0.1
    times: Times = 3.0


class Scatter3007(Section, frozen=True, kw_only=True):
    """集中转入分散转出 in 5 working days (`docs/sources.md#platform-shapes`).

    At least 3 debits, sums within 10 %, 3 x credits <= debits.
    """

    weight: Weight = 0.3
    severity: Severity = Severity.ELEVATED
    debits: Count = 3
    within: Share = 0.1
    times: Times = 3.0


class Repeated3008(Section, frozen=True, kw_only=True):
    """Repeated between one pair in 5 working days (`docs/sources.md#platform-shapes`: >= 3 in and >= 3 out)."""

    weight: Weight = 0.1
    severity: Severity = Severity.NOTICE
    each_way: Count = 3


class ForHire(Section, frozen=True, kw_only=True):
    """账户综合评分: the scorecard of both accounts reaches ``score``; ``stake`` lowers the bar for large sums.

    An account that ``acceptor`` others paid before today is no account for hire, nor is one with ``keeps`` times as
    much money of its own as came in within the day.
    """

    weight: Weight = 16.0
    severity: Severity = Severity.CRITICAL
    score: Score = 3.2
    from_fen: Fen = 30_000
    stake: Share = 0.3
    acceptor: Count = 10
    keeps: Times = 2.0


class Leaves(Section, frozen=True, kw_only=True):
    """The payer's part of that card reaches ``score``, and money leaves to an acceptor or to who ``keeps`` its own.

    A share ``taint`` of what came in of late is suspected, the latest of it within ``within_s``.
    """

    weight: Weight = 16.0
    severity: Severity = Severity.CRITICAL
    score: Score = 4.8
    from_fen: Fen = 30_000
    acceptor: Count = 10
    keeps: Times = 2.0
    taint: Share = 0.05
    within_s: Seconds = 86_400


class Grey(Section, frozen=True, kw_only=True):
    """Account on the suspicious list (platform code 2): enhanced check."""

    weight: Weight = 2.0
    severity: Severity = Severity.ELEVATED
