"""Labels come late, and in life not all of them: what a learner may know at each moment of a replay."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from models.money.types import AccountId, Transfer
from models.risk.assessment import AccountLists

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]

HASH_SPAN: Final = 1 << 32
NOBODY: Final = AccountLists()
NEVER_PROVEN: Final = (0, 0)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which transfers get a label at all (selective labels).

    Alerted ones are looked at; a victim reports a missed fraud with
    ``reported`` chance; ``sampled`` of the rest is looked at at random.
    """

    alerted_budget: float = 0.005
    reported: float = 0.7
    sampled: float = 0.01


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
        self._waiting: deque[tuple[int, AccountId, AccountId]] = deque()
        self._counts: dict[AccountId, tuple[int, int]] = {}

    def put(self, due_us: int, transfer: Transfer) -> None:
        """Take a fraud that will be known later."""
        self._waiting.append((due_us, transfer.payer, transfer.payee))

    def lists(self, payer: AccountId, payee: AccountId, now_us: int) -> AccountLists:
        """Return what is known of both accounts at ``now_us``."""
        counts = self._counts
        while self._waiting and self._waiting[0][0] <= now_us:
            _, paying, receiving = self._waiting.popleft()
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


def label_weight(selection: Selection, *, transfer_id: str, fraud: bool, alerted: bool) -> float:
    """Return the weight a label will have (1 / chance of being labelled as seen by the learner), 0 for none."""
    if alerted:
        return 1.0
    if fraud and chance(transfer_id, "report") < selection.reported:
        return 1.0
    return 1.0 / selection.sampled if chance(transfer_id, "sample") < selection.sampled else 0.0
