"""Requests that wait for the decision on a transfer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from models.risk.assessment import Band, Reason

MAX_WAITING: Final = 10_000
"""Requests that may wait at once; one more gets no decision, only its acceptance."""


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on a transfer as its bank sees it."""

    transfer_id: str
    risk: float
    band: Band
    reasons: tuple[Reason, ...]
    action: str
    order_id: str


class Waiters:
    """Futures by transfer id. Only the event loop's thread touches it, but for ``waiting``."""

    def __init__(self) -> None:
        self._futures: dict[str, list[asyncio.Future[DecisionView]]] = {}
        self.waiting = 0

    def expect(self, transfer_id: str) -> asyncio.Future[DecisionView] | None:
        """Return a future for a decision, or ``None`` if too many wait. Give it back with `forget`."""
        if self.waiting >= MAX_WAITING:
            return None
        future: asyncio.Future[DecisionView] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(transfer_id, []).append(future)
        self.waiting += 1
        return future

    def forget(self, transfer_id: str, future: asyncio.Future[DecisionView]) -> None:
        """Stop waiting."""
        futures = self._futures.get(transfer_id, [])
        if future in futures:
            futures.remove(future)
            self.waiting -= 1
        if not futures:
            self._futures.pop(transfer_id, None)

    def decided(self, decisions: Iterable[DecisionView]) -> None:
        """Wake whoever waits for these decisions."""
        for decision in decisions:
            for future in self._futures.get(decision.transfer_id, ()):
                if not future.done():
                    future.set_result(decision)
