"""What a transfer is learned as: by a verdict, or by nobody's doubt for long enough.

Most transfers never get a verdict. An allowed one whose accounts nobody doubts
counts as honest after `maturity` of world time. One that was stopped or is to be
watched waits for a verdict for ever; one whose account came under a control since
waits until that proves unfounded, and is forgotten if nobody says so in time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final
from zlib import crc32

import msgspec

from models.money.types import AccountId
from models.risk.assessment import Assessment, Band
from models.wire import Verdict, VerdictLabel, rank_of

MAX_PENDING: Final = 100_000
"""Unlabelled transfers kept until they mature; of more, a fair sample is kept (about 90 MB)."""

MAX_LABELLED: Final = 500_000
"""Ids of labelled transfers remembered, so that none is learned twice or also as honest."""

HELD_LONGEST_US: Final = 30 * 86_400_000_000
"""World time beyond maturity after which a transfer of a doubted account is forgotten."""

LOOK_AGAIN_US: Final = 3_600_000_000
"""World time after which the accounts of a held transfer are looked at again."""

MOST_SAMPLE_WEIGHT: Final = 100.0
"""How many missed frauds one found by lot stands for at most: as in the back-test's lot of 1 %.

Uncapped, a single one among some thousand would decide what the trees look like.
"""


class Pending(msgspec.Struct, frozen=True, array_like=True, order=True):
    """An unlabelled transfer: when it matures (world time), its id, features, sampling level, and whose it is.

    At level ``k`` one transfer in ``2**k`` is kept, and stands for as many.
    """

    mature_us: int
    transfer_id: str
    level: int
    features: tuple[float, ...]
    occurred_us: int
    payer: AccountId
    payee: AccountId

    @property
    def weight(self) -> float:
        """How many transfers this one stands for."""
        return float(2**self.level)


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The verdict that counts: what it says, and how much its source counts."""

    fraud: bool
    rank: int


Doubt = Callable[[AccountId, int], bool]
"""Whether an account was in doubt at any time since then (world time)."""


class Labels(msgspec.Struct):
    """Pending and labelled transfers; plain data, so that a trainer can save it with its learner."""

    maturity_us: int
    level: int = 0
    pending: list[Pending] = []
    """A heap, earliest maturity first."""
    labelled: dict[str, Said] = {}
    """Verdicts by transfer id, the one told longest ago first."""

    def mature_after(self, maturity_us: int) -> None:
        """Let transfers mature after so much world time, also those that wait; held ones are looked at again then."""
        self.maturity_us = maturity_us
        self.pending = [msgspec.structs.replace(i, mature_us=i.occurred_us + maturity_us) for i in self.pending]
        heapq.heapify(self.pending)

    def assessed(self, assessment: Assessment) -> None:
        """Note a transfer that was scored; one that people should look at, or that has a label, is not waited for."""
        transfer = assessment.transfer
        if assessment.band is not Band.ALLOW or transfer.transfer_id in self.labelled:
            return
        if not is_sampled(transfer.transfer_id, self.level):
            return
        item = Pending(
            mature_us=transfer.occurred_us + self.maturity_us,
            transfer_id=transfer.transfer_id,
            level=self.level,
            features=assessment.features,
            occurred_us=transfer.occurred_us,
            payer=transfer.payer,
            payee=transfer.payee,
        )
        heapq.heappush(self.pending, item)
        if len(self.pending) > MAX_PENDING:
            self._thin()

    def judged(self, verdict: Verdict) -> bool:
        """Note a verdict; return whether it changes what is to be learned.

        Of two sources the higher ranking one counts, whichever comes first; of one source what it says last.
        """
        said = Said(verdict.label is VerdictLabel.FRAUD, rank_of(verdict.source))
        before = self.labelled.pop(verdict.transfer_id, None)
        if before is not None and before.rank > said.rank:
            self.labelled[verdict.transfer_id] = before
            return False
        self.labelled[verdict.transfer_id] = said
        if len(self.labelled) > MAX_LABELLED:
            del self.labelled[next(iter(self.labelled))]
        return before is None or before.fraud != said.fraud

    def matured(self, now_us: int, in_doubt: Doubt) -> list[Pending]:
        """Return and forget the transfers that count as honest at world time ``now_us``; hold those in doubt."""
        found, held = [], []
        while self.pending and self.pending[0].mature_us <= now_us:
            item = heapq.heappop(self.pending)
            if item.transfer_id in self.labelled:
                continue
            if not (in_doubt(item.payer, item.occurred_us) or in_doubt(item.payee, item.occurred_us)):
                found.append(item)
            elif now_us < item.occurred_us + self.maturity_us + HELD_LONGEST_US:
                held.append(msgspec.structs.replace(item, mature_us=now_us + LOOK_AGAIN_US))
        for item in held:
            heapq.heappush(self.pending, item)
        return found

    def _thin(self) -> None:
        """Keep every second of the pending ones, chosen by their ids, until half of the room is free."""
        while len(self.pending) > MAX_PENDING // 2:
            self.level += 1
            self.pending = list(_at_level(self.pending, self.level))
        heapq.heapify(self.pending)


def weight_of(verdict: Verdict) -> float:
    """Return how many transfers a verdict stands for.

    A fraud found by lot stands for those among the allowed that nobody reported
    (inverse-probability weighting, Horvitz and Thompson 1952). An honest one stands for
    itself: the other honest ones are learned when they have matured.
    """
    if verdict.label is VerdictLabel.HONEST or not 0.0 < verdict.sample_rate < 1.0:
        return 1.0
    return min(1.0 / verdict.sample_rate, MOST_SAMPLE_WEIGHT)


def key_of(transfer_id: str) -> int:
    """Return the key (64 bits) under which a learner's history knows a transfer.

    >>> key_of("t-1") == key_of("t-1") != key_of("t-2")
    True
    """
    return int.from_bytes(blake2b(transfer_id.encode(), digest_size=8).digest(), "big", signed=True)


def is_sampled(transfer_id: str, level: int) -> bool:
    """Return whether a transfer belongs to the sample of one in ``2**level``; the samples are nested."""
    return crc32(transfer_id.encode()) & ((1 << level) - 1) == 0


def _at_level(items: Iterable[Pending], level: int) -> Iterable[Pending]:
    for item in items:
        if is_sampled(item.transfer_id, level):
            yield msgspec.structs.replace(item, level=level)
