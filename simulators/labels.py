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

HASH_SPAN: Final = 1 << 32


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which transfers get a label at all (selective labels).

    Alerted ones are looked at; a victim reports a missed fraud with
    ``reported`` chance; ``sampled`` of the rest is looked at at random.
    """

    alerted_budget: float = 0.005
    reported: float = 0.7
    sampled: float = 0.01


class Label(NamedTuple):
    """One label on its way: when it is due, its row, the features as scored, and its weight."""

    due_us: int
    row: int
    features: tuple[float, ...]
    fraud: bool
    weight: float


class LabelQueue:
    """Labels in arrival order, given out once the event time has passed their due time."""

    def __init__(self) -> None:
        self._waiting: deque[Label] = deque()

    def put(self, label: Label) -> None:
        """Take a label that will be due later."""
        self._waiting.append(label)

    def due(self, now_us: int) -> list[Label]:
        """Return and forget the labels due at ``now_us``; one behind a later one waits for it."""
        out: list[Label] = []
        while self._waiting and self._waiting[0].due_us <= now_us:
            out.append(self._waiting.popleft())
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

    def lists(self, transfer: Transfer, now_us: int) -> AccountLists:
        """Return what is known of both accounts at ``now_us``."""
        while self._waiting and self._waiting[0][0] <= now_us:
            _, payer, payee = self._waiting.popleft()
            paid, received = self._counts.get(payer, (0, 0))
            self._counts[payer] = (paid + 1, received)
            paid, received = self._counts.get(payee, (0, 0))
            self._counts[payee] = (paid, received + 1)
        payer_paid, payer_received = self._counts.get(transfer.payer, (0, 0))
        payee_paid, payee_received = self._counts.get(transfer.payee, (0, 0))
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
