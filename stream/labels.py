"""What a transfer is learned as: by a verdict, or by nobody's doubt for long enough.

Most transfers never get a verdict. One that was not stopped and that nobody
has named a fraud for `maturity` of world time counts as honest. One that was
stopped waits for its verdict for ever: it must not be learned as honest only
because its order is pending.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final
from zlib import crc32

import msgspec

from models.risk.assessment import Assessment, Band

MAX_PENDING: Final = 100_000
"""Unlabelled transfers kept until they mature; of more, a fair sample is kept (about 70 MB)."""

MAX_LABELLED: Final = 500_000
"""Ids of labelled transfers remembered, so that none is learned twice or also as honest."""


class Pending(msgspec.Struct, frozen=True, array_like=True, order=True):
    """An unlabelled transfer: when it matures (world time), its id, features, and its sampling level.

    At level ``k`` one transfer in ``2**k`` is kept, and stands for as many.
    """

    mature_us: int
    transfer_id: str
    level: int
    features: tuple[float, ...]

    @property
    def weight(self) -> float:
        """How many transfers this one stands for."""
        return float(2**self.level)


class Labels(msgspec.Struct):
    """Pending and labelled transfers; plain data, so that a trainer can save it with its learner."""

    maturity_us: int
    level: int = 0
    pending: list[Pending] = []
    """A heap, earliest maturity first."""
    labelled: dict[str, str] = {}
    """Label by transfer id, oldest first."""

    def assessed(self, assessment: Assessment) -> None:
        """Note a transfer that was scored; a stopped or labelled one is not waited for."""
        transfer = assessment.transfer
        if assessment.band is Band.STOP or transfer.transfer_id in self.labelled:
            return
        if not is_sampled(transfer.transfer_id, self.level):
            return
        mature_us = transfer.occurred_us + self.maturity_us
        heapq.heappush(self.pending, Pending(mature_us, transfer.transfer_id, self.level, assessment.features))
        if len(self.pending) > MAX_PENDING:
            self._thin()

    def judged(self, transfer_id: str, label: str) -> bool:
        """Note a verdict; return whether it tells anything new."""
        if self.labelled.pop(transfer_id, None) == label:
            self.labelled[transfer_id] = label
            return False
        self.labelled[transfer_id] = label
        if len(self.labelled) > MAX_LABELLED:
            del self.labelled[next(iter(self.labelled))]
        return True

    def matured(self, now_us: int) -> list[Pending]:
        """Return and forget the transfers that count as honest at world time ``now_us``."""
        found = []
        while self.pending and self.pending[0].mature_us <= now_us:
            item = heapq.heappop(self.pending)
            if item.transfer_id not in self.labelled:
                found.append(item)
        return found

    def _thin(self) -> None:
        """Keep every second of the pending ones, chosen by their ids, until half of the room is free."""
        while len(self.pending) > MAX_PENDING // 2:
            self.level += 1
            self.pending = list(_at_level(self.pending, self.level))
        heapq.heapify(self.pending)


def is_sampled(transfer_id: str, level: int) -> bool:
    """Return whether a transfer belongs to the sample of one in ``2**level``; the samples are nested."""
    return crc32(transfer_id.encode()) & ((1 << level) - 1) == 0


def _at_level(items: Iterable[Pending], level: int) -> Iterable[Pending]:
    for item in items:
        if is_sampled(item.transfer_id, level):
            yield Pending(item.mature_us, item.transfer_id, level, item.features)
