"""A small seeded town for tests of scoring: honest habits, and fraud that moves at the speed of real cases.

Much simpler than `simulators`, and on purpose independent of it: the rules must
not be tuned and judged on the same world.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass, field
from math import exp, log

from models.money.types import Transfer

MINUTE, HOUR, DAY = 60, 3_600, 86_400
START_S = 1_704_038_400
"""2024-01-01 00:00 in Shanghai."""

DWELL = ((0.0, 3), (0.10, 12), (0.25, 72), (0.50, 384), (0.68, 3_600), (0.82, 86_400), (1.0, 3 * 86_400))
"""Quantiles of the time for which real stolen money rests (shared measurements of five cases)."""


Move = tuple[int, int, int, int, str, bool]
"""Second, payer, payee, fen, kind, fraud."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One transfer with what it was; only tests may look at ``kind`` and ``fraud``."""

    transfer: Transfer
    kind: str
    fraud: bool


@dataclass
class Town:
    """Accounts and the transfers made so far."""

    source: random.Random
    customers: int
    days: int
    told: bool = False
    moves: list[Move] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = self.customers
        self.people = range(count)
        self.merchants = range(count, count + max(count // 20, 5))
        self.employers = range(self.merchants.stop, self.merchants.stop + max(count // 60, 3))
        self.landlords = range(self.employers.stop, self.employers.stop + max(count // 15, 3))
        self.spare = iter(range(self.landlords.stop, 10**9))

    def pay(self, at_s: float, payer: int, payee: int, yuan: float, kind: str, *, fraud: bool = False) -> None:
        if payer != payee and yuan >= 0.01:
            self.moves.append((int(at_s), payer, payee, int(yuan * 100), kind, fraud))

    def clock(self, day: int, hour: float, spread: float = 2.0) -> float:
        return START_S + day * DAY + (hour + self.source.gauss(0, spread)) % 24 * HOUR

    def flows(self) -> list[Flow]:
        """Return all transfers in order of time."""
        self.moves.sort(key=lambda move: move[:2])
        return [self._flow(number, move) for number, move in enumerate(self.moves)]

    def _flow(self, number: int, move: Move) -> Flow:
        at_s, payer, payee, fen, kind, fraud = move
        transfer = Transfer(
            transfer_id=f"t{number}",
            payer_bank=f"b{payer % 4}",
            payer_account=f"6222{payer:012d}",
            payee_bank=f"b{payee % 4}",
            payee_account=f"6222{payee:012d}",
            amount_fen=fen,
            occurred_us=at_s * 1_000_000 + number % 1_000,
            in_call=True if self.told and kind == "victim" and number % 2 else None,
        )
        return Flow(transfer, kind, fraud)


def make_town(
    *, seed: int, customers: int = 300, days: int = 30, cases: int = 12, fraud_from: int = 10, told: bool = False
) -> list[Flow]:
    """Return the transfers of a town; ``cases`` frauds begin on day ``fraud_from`` or later."""
    town = Town(random.Random(seed), customers, days, told)
    for person in town.people:
        live(town, person)
    for merchant in town.merchants:
        trade(town, merchant)
    for _ in range(customers * days // 150):
        town.source.choice((dinner, second_hand, big_purchase, pass_on_a_loan, new_home, class_fund))(town)
    for _ in range(cases):
        defraud(town, town.source.randrange(fraud_from, days - 1))
    return town.flows()


def live(town: Town, person: int) -> None:
    """Salary, rent, shops, family, savings."""
    r = town.source
    employer, landlord = r.choice(town.employers), r.choice(town.landlords)
    family = [r.choice(town.people) for _ in range(r.choice((1, 1, 2, 3)))]
    shops = [r.choice(town.merchants) for _ in range(8)]
    income, payday, own = exp(r.gauss(9.0, 0.4)), 5 + employer % 20, next(town.spare)
    for day in range(town.days):
        if day % 30 == payday:
            at_s = START_S + day * DAY + 10 * HOUR + person % 600
            town.pay(at_s, employer, person, income, "salary")
            if r.random() < 0.3:
                town.pay(at_s + exp(r.gauss(7, 1.5)), person, own, income * r.uniform(0.5, 0.95), "savings")
        if day % 30 == (payday + 2) % 30:
            town.pay(town.clock(day, 19), person, landlord, income * 0.3, "rent")
        for _ in range(r.choice((0, 1, 1, 2, 3))):
            shop = r.choice(shops) if r.random() < 0.85 else r.choice(town.merchants)
            town.pay(town.clock(day, 15, 4), person, shop, exp(r.gauss(4, 1)), "shop")
        if r.random() < 0.12:
            town.pay(town.clock(day, 20), person, r.choice(family), exp(r.gauss(6.5, 0.8)), "family")


def trade(town: Town, merchant: int) -> None:
    """A merchant sweeps its takings to its owner and pays suppliers."""
    r = town.source
    owner, suppliers = next(town.spare), [r.choice(town.merchants) for _ in range(3)]
    for day in range(town.days):
        town.pay(town.clock(day, 22, 0.3), merchant, owner, exp(r.gauss(7.5, 0.4)), "sweep")
        if day % 7 == merchant % 7:
            town.pay(town.clock(day, 11), merchant, r.choice(suppliers), exp(r.gauss(8.5, 0.6)), "supplier")


def dinner(town: Town) -> None:
    """One pays the restaurant, friends pay their share."""
    r = town.source
    host, guests = r.choice(town.people), r.sample(town.people, r.randrange(4, 10))
    at_s, share = town.clock(r.randrange(town.days), 20, 1), r.uniform(60, 200)
    town.pay(at_s, host, r.choice(town.merchants), share * (len(guests) + 1), "dinner")
    for guest in guests:
        town.pay(at_s + r.expovariate(1 / 1_200), guest, host, share, "dinner share")


def class_fund(town: Town) -> None:
    """A parent collects a sum from many others and pays it on: honest pooling."""
    r = town.source
    host, others = r.choice(town.people), r.sample(town.people, 15)
    at_s, share = town.clock(r.randrange(town.days), 18, 2), r.uniform(50, 300)
    for other in others:
        town.pay(at_s + r.expovariate(1 / 5_000), other, host, share, "fund share")
    town.pay(at_s + 6 * HOUR, host, r.choice(town.merchants), share * 15, "fund")


def second_hand(town: Town) -> None:
    """A stranger buys something."""
    r = town.source
    buyer, seller = r.sample(town.people, 2)
    town.pay(town.clock(r.randrange(town.days), 20, 3), buyer, seller, exp(r.gauss(6.5, 1)), "second hand")


def big_purchase(town: Town) -> None:
    """A car's deposit, furniture, a hospital."""
    r = town.source
    at_s, yuan = town.clock(r.randrange(town.days), 14), exp(r.gauss(9.5, 0.7))
    town.pay(at_s, r.choice(town.people), r.choice(town.merchants), yuan, "big")


def pass_on_a_loan(town: Town) -> None:
    """Family sends money which is soon paid to a hospital or dealer: honest pass-through."""
    r = town.source
    lender, person = r.sample(town.people, 2)
    at_s, yuan = town.clock(r.randrange(town.days), 14), exp(r.gauss(8.5, 0.7))
    town.pay(at_s, lender, person, yuan, "loan")
    town.pay(at_s + exp(r.gauss(8, 1)), person, r.choice(town.merchants), yuan * r.uniform(0.8, 1.0), "loan spent")


def new_home(town: Town) -> None:
    """First rent with a deposit to a landlord not paid before."""
    r = town.source
    at_s = town.clock(r.randrange(town.days), 16)
    town.pay(at_s, r.choice(town.people), r.choice(town.landlords), exp(r.gauss(9, 0.3)), "new home")


def dwell_s(r: random.Random) -> float:
    """Return how long stolen money rests."""
    at = r.random()
    upper = bisect_left([share for share, _ in DWELL], at) or 1
    (low, low_s), (high, high_s) = DWELL[upper - 1], DWELL[upper]
    return exp(log(low_s) + (at - low) / (high - low) * (log(high_s) - log(low_s)))


def defraud(town: Town, day: int) -> None:
    """One to three victims pay a first account; the money moves through 1-4 more tiers and is spent."""
    r = town.source
    first, sum_yuan = mule(town, day), 0.0
    at_s = town.clock(day, 15, 5)
    for _ in range(r.choice((1, 1, 2, 3))):
        victim, step = r.choice(town.people), exp(r.gauss(9, 0.8))
        at_s += r.expovariate(1 / 1_800)
        for _ in range(r.choice((1, 1, 2, 3))):
            town.pay(at_s, victim, first, step, "victim", fraud=True)
            sum_yuan, at_s, step = sum_yuan + step, at_s + r.uniform(60, 900), step * r.uniform(1, 3)
    move_on(town, first, sum_yuan, at_s, r.choice((1, 2, 3, 4)))


def move_on(town: Town, holder: int, yuan: float, at_s: float, tiers: int) -> None:
    """Pass the money on whole, or split; in the last tier to a shop that sells what is as good as cash."""
    r, day = town.source, int(at_s - START_S) // DAY
    parts = 1 if r.random() < 0.5 else r.choice((2, 3, 4))
    at_s += dwell_s(r)
    keep = r.uniform(0.0, 0.06)
    for _ in range(parts):
        part = yuan * (1 - keep) / parts * (r.uniform(0.8, 1.0) if parts > 1 else 1.0)
        if tiers == 1:
            town.pay(at_s, holder, r.choice(town.merchants), part, "cash out", fraud=True)
        else:
            following = mule(town, day)
            town.pay(at_s, holder, following, part, "hop", fraud=True)
            move_on(town, following, part, at_s, tiers - 1)
        at_s += r.expovariate(1 / 60)


def mule(town: Town, day: int) -> int:
    """Return an account for hire: fresh, a customer's, or one that only tried a few small payments."""
    r = town.source
    kind = r.random()
    if kind < 0.4:
        return r.choice(town.people)
    account = next(town.spare)
    if kind < 0.7:
        for _ in range(3):
            at_s = town.clock(max(day - r.randrange(1, 5), 0), 12, 6)
            town.pay(at_s, account, r.choice(town.merchants), r.uniform(1, 50), "try")
    return account
