"""Labels come late, and in life not all of them: what a learner may know at each moment of a replay."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from models.money.types import AccountId, Transfer
from models.risk.assessment import AccountLists
from simulators.plan import DAY_US

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]

HASH_SPAN: Final = 1 << 32
NOBODY: Final = AccountLists()
NEVER_PROVEN: Final = (0, 0)


def days_in_words(days: float) -> str:
    """Return a span for people.

    >>> [days_in_words(days) for days in (1.0, 0.25, 14.0)]
    ['1 day', '0.25 days', '14 days']
    """
    return f"{days:g} day{'' if days == 1 else 's'}"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which transfers get a label at all (selective labels).

    The riskiest ``alerted_budget`` of the latest transfers are looked at; a victim reports a missed
    fraud with a chance of ``reported``, ``reported_after_us`` of event time later; of the rest a share
    ``sampled`` is looked at by lot. All ours: no source gives the numbers.
    """

    alerted_budget: float = 0.005
    reported: float = 0.7
    reported_after_us: int = 3 * DAY_US
    sampled: float = 0.01

    def in_words(self) -> str:
        """Return who gets a label, for people.

        >>> Selection().in_words()
        'the riskiest 0.5%, 1.0% of the rest by lot, and 70% of missed frauds, reported after 3 days'
        """
        looked = f"the riskiest {self.alerted_budget:.1%}, {self.sampled:.1%} of the rest by lot"
        reported_after = days_in_words(self.reported_after_us / DAY_US)
        return f"{looked}, and {self.reported:.0%} of missed frauds, reported after {reported_after}"


class Told(NamedTuple):
    """What becomes known of one transfer: a label of this weight (0: none) after so long, by a victim or by a look."""

    weight: float
    after_us: int
    by_victim: bool = False


class Labels(NamedTuple):
    """Labels on their way, in arrival order: when due (n), features as scored (n x f), fraud (n), weights (n)."""

    due_us: Times
    features: Floats
    fraud: Bools
    weights: Floats

    def part(self, kept: slice | Bools) -> Labels:
        """Return some of them."""
        return Labels(self.due_us[kept], self.features[kept], self.fraud[kept], self.weights[kept])


class LabelQueue:
    """Labels in arrival order, given out once the event time has passed their due time."""

    def __init__(self) -> None:
        self._waiting: deque[Labels] = deque()

    def put(self, labels: Labels) -> None:
        """Take labels that will be due later."""
        if len(labels.due_us):
            self._waiting.append(labels)

    def due(self, now_us: int) -> list[Labels]:
        """Return and forget the labels due at ``now_us``; one behind a later one waits for it."""
        out: list[Labels] = []
        while self._waiting:
            first = self._waiting[0]
            ready = int(np.count_nonzero(np.maximum.accumulate(first.due_us) <= now_us))
            if ready:
                out.append(first.part(slice(0, ready)))
            if ready < len(first.due_us):
                self._waiting[0] = first.part(slice(ready, None))
                break
            self._waiting.popleft()
        return out


class Proven:
    """How many proven frauds each account has paid and received, as known at a moment.

    In life these counts come with ``controls``; here every fraud label that is due counts.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, AccountId, AccountId]] = []
        """A heap, the earliest to be known first."""
        self._counts: dict[AccountId, tuple[int, int]] = {}

    def put(self, due_us: int, transfer: Transfer) -> None:
        """Take a fraud that will be known later."""
        heapq.heappush(self._waiting, (due_us, transfer.payer, transfer.payee))

    def lists(self, payer: AccountId, payee: AccountId, now_us: int) -> AccountLists:
        """Return what is known of both accounts at ``now_us``."""
        counts = self._counts
        while self._waiting and self._waiting[0][0] <= now_us:
            _, paying, receiving = heapq.heappop(self._waiting)
            paid, received = counts.get(paying, NEVER_PROVEN)
            counts[paying] = (paid + 1, received)
            paid, received = counts.get(receiving, NEVER_PROVEN)
            counts[receiving] = (paid, received + 1)
        if payer not in counts and payee not in counts:
            return NOBODY
        payer_paid, payer_received = counts.get(payer, NEVER_PROVEN)
        payee_paid, payee_received = counts.get(payee, NEVER_PROVEN)
        return AccountLists(
            payer_proven_paid=payer_paid,
            payer_proven_received=payer_received,
            payee_proven_paid=payee_paid,
            payee_proven_received=payee_received,
        )


def chance(transfer_id: str, salt: str) -> float:
    """Return a number 0-1 that depends on the id alone, for draws that a replay repeats."""
    return crc32(f"{salt}/{transfer_id}".encode()) / HASH_SPAN


def told_of(transfer_id: str, selection: Selection | None, *, fraud: bool, alerted: bool, looked_after_us: int) -> Told:
    """Return what becomes known of a transfer; without a selection every one is looked at.

    The weight is one over the chance of being labelled, as far as the learner can know it.
    """
    if selection is None or alerted:
        return Told(1.0, looked_after_us)
    if fraud and chance(transfer_id, "report") < selection.reported:
        return Told(1.0, selection.reported_after_us, by_victim=True)
    drawn = chance(transfer_id, "sample") < selection.sampled
    return Told(1.0 / selection.sampled if drawn else 0.0, looked_after_us)
