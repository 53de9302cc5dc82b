"""The brake on automatic stops: a broken rule may not stop everyone.

Caps on stops per minute (all, one bank, one rule) and on the share of
transfers stopped. A cap that is reached trips its scope; Sluice then only
advises in that scope until a person re-arms it. Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Final

import msgspec

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
BUCKETS: Final = 60
MAX_SCOPES: Final = 2_000
"""Banks and rules counted one by one; those beyond count only in the whole."""

EVERYTHING: Final = "all"


class Cap(StrEnum):
    """Which limit was reached."""

    PER_MINUTE = "per_minute"
    PER_BANK = "per_bank"
    PER_RULE = "per_rule"
    SHARE = "share"


class BrakeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of automatic stops; counts are of world minutes. Defaults are ours."""

    per_minute: int = 300
    per_bank_minute: int = 120
    per_rule_minute: int = 240
    share: float = 0.05
    share_window_us: int = 10 * MINUTE_US
    share_min_transfers: int = 1_000
    """Below so many transfers in the window a share says nothing."""


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """A scope in which automatic stops are suspended: ``all``, ``bank:…`` or ``rule:…``."""

    scope: str
    cap: Cap
    at_us: int
    count: int


class SlidingCount:
    """Counts events of the last ``window_us`` in 60 buckets; memory is constant.

    >>> count = SlidingCount(60_000_000)
    >>> count.add(0, 2); count.add(30_000_000, 1)
    >>> count.total(59_999_999), count.total(60_000_000), count.total(200_000_000)
    (3, 1, 0)
    """

    def __init__(self, window_us: int) -> None:
        self._bucket_us = max(window_us // BUCKETS, 1)
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS + 1)
        self._total = 0

    def add(self, now_us: int, count: int) -> None:
        """Count ``count`` events at ``now_us``; time that runs back counts at the latest time seen."""
        bucket = now_us // self._bucket_us
        self._expire(bucket)
        if self._buckets and self._buckets[-1][0] >= bucket:
            last, held = self._buckets.pop()
            self._buckets.append((last, held + count))
        else:
            self._buckets.append((bucket, count))
        self._total += count

    def total(self, now_us: int) -> int:
        """Return how many events lie in the window that ends at ``now_us``."""
        self._expire(now_us // self._bucket_us)
        return self._total

    def _expire(self, bucket: int) -> None:
        while self._buckets and self._buckets[0][0] <= bucket - BUCKETS:
            self._total -= self._buckets.popleft()[1]


class Brake:
    """Counts transfers and automatic stops and says when to stop stopping."""

    def __init__(self, limits: BrakeLimits, trips: tuple[Trip, ...] = ()) -> None:
        self.limits = limits
        self.trips: dict[str, Trip] = {trip.scope: trip for trip in trips}
        self._stops = SlidingCount(MINUTE_US)
        self._scopes: dict[str, SlidingCount] = {}
        self._share_stops = SlidingCount(limits.share_window_us)
        self._transfers = SlidingCount(limits.share_window_us)

    def saw_transfers(self, now_us: int, count: int) -> None:
        """Count assessed transfers, stopped or not."""
        self._transfers.add(now_us, count)

    def ordered(self, now_us: int, bank: str, rule: str) -> None:
        """Count one automatic stop that was ordered."""
        self._stops.add(now_us, 1)
        self._share_stops.add(now_us, 1)
        for scope in (f"bank:{bank}", f"rule:{rule}"):
            if scope in self._scopes or len(self._scopes) < MAX_SCOPES:
                self._scopes.setdefault(scope, SlidingCount(MINUTE_US)).add(now_us, 1)

    def standing(self, bank: str, rule: str) -> Trip | None:
        """Return the trip that suspends stops at ``bank`` for ``rule``, if any."""
        for scope in (EVERYTHING, f"bank:{bank}", f"rule:{rule}"):
            if scope in self.trips:
                return self.trips[scope]
        return None

    def check(self, now_us: int, bank: str, rule: str) -> Trip | None:
        """Return why one more stop must be withheld, or ``None``. A cap reached now trips its scope."""
        trip = self.standing(bank, rule) or self._reached(now_us, bank, rule)
        if trip is not None:
            self.trips.setdefault(trip.scope, trip)
        return trip

    def rearm(self, scope: str = EVERYTHING) -> tuple[Trip, ...]:
        """Clear one scope, or with ``all`` every scope, and start counting anew; return what was cleared."""
        cleared = tuple(trip for trip in self.trips.values() if scope in (EVERYTHING, trip.scope))
        for trip in cleared:
            del self.trips[trip.scope]
        if scope == EVERYTHING:
            self._scopes.clear()
            self._stops = SlidingCount(MINUTE_US)
            self._share_stops = SlidingCount(self.limits.share_window_us)
            self._transfers = SlidingCount(self.limits.share_window_us)
        self._scopes.pop(scope, None)
        return cleared

    def _reached(self, now_us: int, bank: str, rule: str) -> Trip | None:
        limits = self.limits
        counted = (
            (EVERYTHING, Cap.PER_MINUTE, self._stops.total(now_us), limits.per_minute),
            (f"bank:{bank}", Cap.PER_BANK, self._in_scope(f"bank:{bank}", now_us), limits.per_bank_minute),
            (f"rule:{rule}", Cap.PER_RULE, self._in_scope(f"rule:{rule}", now_us), limits.per_rule_minute),
        )
        for scope, cap, count, limit in counted:
            if count >= limit:
                return Trip(scope=scope, cap=cap, at_us=now_us, count=count)
        transfers, stops = self._transfers.total(now_us), self._share_stops.total(now_us)
        if transfers >= limits.share_min_transfers and stops + 1 > limits.share * transfers:
            return Trip(scope=EVERYTHING, cap=Cap.SHARE, at_us=now_us, count=stops)
        return None

    def _in_scope(self, scope: str, now_us: int) -> int:
        counter = self._scopes.get(scope)
        return counter.total(now_us) if counter else 0
