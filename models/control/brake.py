"""The brake on automatic stops: a broken rule may not stop everyone.

Caps on stops per minute (all, one bank, one rule) and on the share of
transfers stopped. A cap that is reached trips its scope; Sluice then only
advises in that scope until a person re-arms it. Pure: time is an argument.

Orders are made in transactions, which may fail and be tried again. So what one
adds is tallied apart, where its own checks see it, and the brake takes it once
it is committed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from models.risk.assessment import Reason

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
BUCKETS: Final = 60
MAX_SCOPES: Final = 2_000
"""Banks and rules counted one by one; those beyond count only in the whole."""

EVERYTHING: Final = "all"


class Cap(StrEnum):
    """Which limit was reached, or that none was: a person tripped the brake."""

    PER_MINUTE = "per_minute"
    PER_BANK = "per_bank"
    PER_RULE = "per_rule"
    SHARE = "share"
    BY_HAND = "by_hand"


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


class Stop(msgspec.Struct, frozen=True):
    """One automatic stop that was ordered."""

    at_us: int
    bank: str
    rule: str


class Tally(msgspec.Struct):
    """What one transaction at ``at_us`` adds to a brake; of no effect unless it is committed (`Brake.take`)."""

    at_us: int
    transfers: int = 0
    """Assessed transfers, stopped or not."""
    stops: Counter[str] = msgspec.field(default_factory=Counter)
    """Automatic stops ordered, by scope."""
    trips: dict[str, Trip] = {}
    rearmed: list[str] = []

    def ordered(self, bank: str, rule: str) -> None:
        """Count one automatic stop that was ordered."""
        self.stops.update(scopes_of(bank, rule))


def scopes_of(bank: str, rule: str) -> tuple[str, str, str]:
    """Return the scopes in which a stop counts, the widest first.

    >>> scopes_of("icbc", "3006")
    ('all', 'bank:icbc', 'rule:3006')
    """
    return EVERYTHING, f"bank:{bank}", f"rule:{rule}"


def rule_of(reasons: Sequence[Reason]) -> str:
    """Return the code that carries most of the risk, by which the brake counts; ``none`` without reasons."""
    return reasons[0].code if reasons else "none"


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
    """Counts committed transfers and automatic stops and says when to stop stopping."""

    def __init__(self, limits: BrakeLimits, trips: tuple[Trip, ...] = ()) -> None:
        self.limits = limits
        self.trips: dict[str, Trip] = {trip.scope: trip for trip in trips}
        self._scopes: dict[str, SlidingCount] = {}
        self._share_stops = SlidingCount(limits.share_window_us)
        self._transfers = SlidingCount(limits.share_window_us)

    def take(self, tally: Tally) -> None:
        """Take what a transaction that is committed has re-armed, tripped and counted."""
        for scope in tally.rearmed:
            self.rearm(scope)
        for scope, trip in tally.trips.items():
            self.trips.setdefault(scope, trip)
        self._transfers.add(tally.at_us, tally.transfers)
        self._share_stops.add(tally.at_us, tally.stops[EVERYTHING])
        for scope, count in tally.stops.items():
            self._count(scope, tally.at_us, count)

    def recall(self, stops: Iterable[Stop], rearmed_us: Mapping[str, int]) -> None:
        """Count stops that were committed before this process began, oldest first.

        ``rearmed_us`` says when a person last re-armed a scope: stops up to then count there no more. The share begins
        anew, since the transfers it is a share of are not counted again.
        """
        everything_us = rearmed_us.get(EVERYTHING, 0)
        for stop in stops:
            for scope in scopes_of(stop.bank, stop.rule):
                if stop.at_us > max(everything_us, rearmed_us.get(scope, 0)):
                    self._count(scope, stop.at_us, 1)

    def heed(self, standing: Iterable[Trip], everything_us: int = 0) -> None:
        """Go by the trips that stand where all processes keep them.

        One that is gone from there, or there anew, was re-armed: its scope counts anew here too, and every scope if
        ``all`` was re-armed since it tripped (``everything_us`` is when that was last; UTC microseconds of the world).
        """
        told = {trip.scope: trip for trip in standing}
        for trip in self.rearmed(told.values()):
            self.rearm(EVERYTHING if everything_us >= trip.at_us else trip.scope)
        self.trips = told

    def rearmed(self, standing: Iterable[Trip]) -> list[Trip]:
        """Return the trips known here that are not among those that stand."""
        found = set(standing)
        return [trip for trip in self.trips.values() if trip not in found]

    def check(self, tally: Tally, bank: str, rule: str) -> Trip | None:
        """Return why a transaction must withhold one more stop, or ``None``. A cap reached now trips its scope.

        What the transaction itself has ordered and tripped counts with what is committed.
        """
        scopes, known = scopes_of(bank, rule), tally.trips | self.trips
        trip = next((known[scope] for scope in scopes if scope in known), None) or self._reached(tally, scopes)
        if trip is not None and trip.scope not in self.trips:
            tally.trips.setdefault(trip.scope, trip)
        return trip

    def rearm(self, scope: str = EVERYTHING) -> tuple[Trip, ...]:
        """Clear one scope, or with ``all`` every scope, and start counting anew; return what was cleared."""
        cleared = tuple(trip for trip in self.trips.values() if scope in (EVERYTHING, trip.scope))
        for trip in cleared:
            self.trips.pop(trip.scope, None)
        if scope == EVERYTHING:
            self._scopes.clear()
            self._share_stops = SlidingCount(self.limits.share_window_us)
            self._transfers = SlidingCount(self.limits.share_window_us)
        self._scopes.pop(scope, None)
        return cleared

    def _count(self, scope: str, at_us: int, count: int) -> None:
        if scope in self._scopes or scope == EVERYTHING or len(self._scopes) < MAX_SCOPES:
            self._scopes.setdefault(scope, SlidingCount(MINUTE_US)).add(at_us, count)

    def _reached(self, tally: Tally, scopes: tuple[str, str, str]) -> Trip | None:
        limits, now_us = self.limits, tally.at_us
        caps = (
            (Cap.PER_MINUTE, limits.per_minute),
            (Cap.PER_BANK, limits.per_bank_minute),
            (Cap.PER_RULE, limits.per_rule_minute),
        )
        for scope, (cap, limit) in zip(scopes, caps, strict=True):
            count = self._in_scope(scope, now_us) + tally.stops[scope]
            if count >= limit:
                return Trip(scope=scope, cap=cap, at_us=now_us, count=count)
        transfers = self._transfers.total(now_us) + tally.transfers
        stops = self._share_stops.total(now_us) + tally.stops[EVERYTHING]
        if transfers >= limits.share_min_transfers and stops + 1 > limits.share * transfers:
            return Trip(scope=EVERYTHING, cap=Cap.SHARE, at_us=now_us, count=stops)
        return None

    def _in_scope(self, scope: str, now_us: int) -> int:
        counter = self._scopes.get(scope)
        return counter.total(now_us) if counter else 0
