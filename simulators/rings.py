"""Crooks: rings, the accounts they control, the cases they run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Final

import msgspec

from simulators.books import Outcome
from simulators.plan import DAY_US, SECOND_US, Intent, Label
from simulators.population import Customer, Kind
from simulators.theft import TheftBook
from simulators.town import Town

DWELL_QUANTILES: Final = ((0.0, 2.0), (0.10, 12.0), (0.25, 72.0), (0.50, 384.0), (0.68, 3600.0), (0.82, 86_400.0))
"""Time since the last inflow when stolen money is passed on, in seconds, by share of hops.

From 6,701 verified hops of five real cases on a public ledger (``docs/sources.md#real-hops``)."""

LONGEST_DWELL_S: Final = 10 * 86_400.0
"""The slowest hops; the source gives nothing beyond its 82 % point."""

REUSE_SHARE: Final = 0.7
"""How often a ring takes a mule account it has before it buys another one, as long as nobody is after it."""

CAUTION: Final = 0.85
"""Each account a bank has stopped lowers a ring's wish to use an old one again by this factor."""

MULE_LIFE_DAYS: Final = (2.0, 12.0)
CUSTOMERS_PER_RING: Final = 1_500
MIN_RINGS: Final = 2

MAX_DRAWS: Final = 60
"""Tries to find a victim with enough money, or an account not yet sold."""


def rings_for(customers: int) -> int:
    """Return how many rings work a population."""
    return max(MIN_RINGS, customers // CUSTOMERS_PER_RING)


class BackInTime(ValueError):
    """A script wants to act before the time it has got to."""


class Wait(msgspec.Struct, frozen=True, gc=False):
    """A script's wish to go on at ``at_us``."""

    at_us: int


Script = Generator[Intent | Wait, Outcome | None, None]
"""One actor's plan: yields what it wants to do next and is told what became of it."""


def dwell_us(share: float) -> int:
    """Return the dwell time of a quantile 0-1, log-linear between the known points.

    >>> dwell_us(0.5) // 1_000_000
    384
    """
    points = (*DWELL_QUANTILES, (1.0, LONGEST_DWELL_S))
    for (low, short_s), (high, long_s) in pairwise(points):
        if share <= high:
            part = (share - low) / (high - low)
            return int(math.exp(math.log(short_s) + part * math.log(long_s / short_s)) * SECOND_US)
    raise ValueError(f"not a share: {share}")


class Mule:
    """An account in a ring's hands; ``pooled_fen`` waits there for more, ``burned`` means its bank stopped it."""

    __slots__ = ("account", "burned", "device", "pooled_fen", "retires_us")

    def __init__(self, account: int, device: str, retires_us: int) -> None:
        self.account = account
        self.device = device
        self.retires_us = retires_us
        self.pooled_fen = 0
        self.burned = False


class Ring:
    """One gang: mule accounts by tier, the telephones that work them, and how many accounts it has lost to banks."""

    def __init__(self, number: int, dice: random.Random) -> None:
        self.number = number
        self.lost = 0
        self.tiers: dict[int, list[Mule]] = {}
        self.devices = [f"dev-{dice.getrandbits(48):012x}" for _ in range(4)]


class Case:
    """One crime with its victim, its ring and what it has taken so far."""

    def __init__(self, *, case_id: str, typology: str, ring: Ring, depth: int, started_us: int) -> None:
        self.case_id = case_id
        self.typology = typology
        self.ring = ring
        self.depth = depth
        self.started_us = started_us
        self.paid: list[str] = []
        self.paid_fen = 0
        self.reported_us = 0
        self.tier1: Mule | None = None

    def label(self, typology: str = "", *, from_victim: bool = False, to_victim: bool = False) -> Label:
        """Return the truth about a transfer of this case."""
        return Label(
            typology=typology or self.typology,
            case_id=self.case_id,
            fraud=not to_victim,
            from_victim=from_victim,
            to_victim=to_victim,
        )


class Loot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Stolen money that has come to a mule of a tier and has to go on."""

    case: Case
    mule: Mule
    amount_fen: int
    tier: int
    at_us: int


class Underworld:
    """All rings, with the dice they throw and the book that follows the money.

    ``spawn`` starts another script; ``report`` has a case's victim speak up at a time.
    ``now_us`` is the time of the step a script has just been told of.
    """

    def __init__(self, town: Town, book: TheftBook, seed: int, rings: int) -> None:
        self.town = town
        self.book = book
        self.dice = random.Random(f"underworld/{seed}")
        self.rings = [Ring(number, self.dice) for number in range(rings)]
        self.now_us = 0
        self.victims: set[int] = set()
        self.spawn: Callable[[Script], None]
        self.report: Callable[[int, Case], None]
        self._cases = 0

    def open_case(self, typology: str, at_us: int) -> Case:
        """Begin a case in a random ring; two to five tiers, fewer more often."""
        self._cases += 1
        depth = self.dice.choices((2, 3, 4, 5), weights=(34, 32, 22, 12))[0]
        return Case(
            case_id=f"C{self._cases:05d}",
            typology=typology,
            ring=self.dice.choice(self.rings),
            depth=depth,
            started_us=at_us,
        )

    def mule(self, case: Case, tier: int, at_us: int, *, other_than: int = -1) -> Mule:
        """Return a usable mule account of the case's ring for a tier, old or newly bought."""
        pool = case.ring.tiers.setdefault(tier, [])
        case.ring.lost += sum(mule.burned for mule in pool)
        pool[:] = [mule for mule in pool if not mule.burned and mule.retires_us > at_us]
        usable = [mule for mule in pool if mule.account != other_than]
        if usable and self.dice.random() < REUSE_SHARE * CAUTION**case.ring.lost:
            return self.dice.choice(usable)
        mule = self._recruit(case.ring, at_us)
        pool.append(mule)
        return mule

    def _recruit(self, ring: Ring, at_us: int) -> Mule:
        """Buy an account: young, long asleep, or one its owner goes on using; in a small world perhaps a used one."""
        account = self._account_for_sale()
        if not self.book.controls(account):
            self.book.recruit(account, self.town.balances[account])
        device = self.dice.choice(ring.devices) if self.dice.random() < 0.6 else ""
        mule = Mule(account, device, at_us + int(self.dice.uniform(*MULE_LIFE_DAYS) * DAY_US))
        self.spawn(self._camouflage(mule, at_us))
        return mule

    def _account_for_sale(self) -> int:
        account = -1
        for _ in range(MAX_DRAWS):
            person = self._seller()
            account = person.second if person.second >= 0 and self.dice.random() < 0.5 else person.main
            if not self.book.controls(account) and person.main not in self.victims:
                break
        return account

    def _seller(self) -> Customer:
        dice, town = self.dice, self.town
        kind = dice.choices((Kind.DORMANT, Kind.YOUNG, Kind.ACTIVE), weights=(3, 3, 4))[0]
        pool = {Kind.DORMANT: town.dormant, Kind.YOUNG: town.young}.get(kind) or town.population.customers
        return dice.choice(pool)

    def _camouflage(self, mule: Mule, at_us: int) -> Script:
        """Small purchases that make a mule account look lived in."""
        moment = at_us
        for _ in range(self.dice.randrange(4)):
            moment += int(self.dice.expovariate(1 / 5_000) * SECOND_US)
            yield self.intent(
                moment, mule, self.town.merchant(), self.dice.randrange(300, 8_000), channel="qr", label=None
            )

    def victim(self, need_fen: int) -> Customer:
        """Draw somebody with enough money who is neither a victim yet nor a mule; the best of many if nobody has."""
        people, best = self.town.population.customers, None
        for _ in range(MAX_DRAWS):
            person = self.dice.choice(people)
            if person.main in self.victims or self.book.controls(person.main):
                continue
            if best is None or self.town.balances[person.main] > self.town.balances[best.main]:
                best = person
            if self.town.balances[person.main] >= need_fen:
                break
        chosen = best if best is not None else self.dice.choice(people)
        self.victims.add(chosen.main)
        return chosen

    def intent(
        self, at_us: int, mule: Mule, payee: int, amount_fen: int, *, channel: str, label: Label | None
    ) -> Intent:
        """Return a wish of a mule to pay."""
        return Intent(
            at_us=at_us,
            payer=mule.account,
            payee=payee,
            amount_fen=max(1, amount_fen),
            channel=channel,
            label=label,
            in_call=None if self.dice.random() < 0.3 else self.dice.random() < 0.04,
            device=mule.device,
        )
