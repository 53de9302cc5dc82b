"""Who lives in the world: customers, merchants, firms and their accounts, drawn from a seed.

Nothing about an account tells a crook's from another's: mules are recruited
later from these same customers (`simulators.rings`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from models.money.types import AccountId, account_id
from simulators.plan import DAY_US, yuan

MERCHANTS_PER_CUSTOMER: Final = 0.03
FIRMS_PER_CUSTOMER: Final = 0.012
OTC_PER_CUSTOMER: Final = 0.001
ATMS_PER_BANK: Final = 4
CITIES: Final = 40
SHARED_DEVICE_SHARE: Final = 0.07
"""How many people use one telephone with somebody else of the household."""

PAYDAYS: Final = (5, 5, 8, 10, 10, 10, 12, 15, 15, 15, 18, 20, 25, 28)
"""Days of the month on which firms pay wages; some are more usual than others."""


class Role(StrEnum):
    """What an account is for."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    FIRM = "firm"
    LENDER = "lender"
    ATM = "atm"
    OTC = "otc"


class Kind(StrEnum):
    """How a customer lives."""

    ACTIVE = "active"
    AGENT = "agent"
    YOUNG = "young"
    DORMANT = "dormant"


class Account(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One account. ``owner`` is a customer's index, or -1 for firms, merchants and machines."""

    bank: str
    number: str
    role: Role
    owner: int
    opened_us: int
    opening_fen: int
    device: str
    ip: str

    @property
    def key(self) -> AccountId:
        """Key of the account on every topic."""
        return account_id(self.bank, self.number)


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """One person: accounts and whom he or she pays as a habit (indexes of accounts; -1 for none).

    ``activity`` weighs how often the person pays, 0 for the dormant.
    """

    main: int
    second: int
    kind: Kind
    activity: float
    night_owl: bool
    friends: tuple[int, ...]
    family: tuple[int, ...]
    shops: tuple[int, ...]
    employer: int
    salary_fen: int
    landlord: int
    rent_fen: int
    rent_day: int
    lender: int
    repay_fen: int
    repay_day: int


class Population(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody, with indexes of accounts by role. ``payday`` is per firm, in the order of ``firms``."""

    accounts: list[Account]
    customers: list[Customer]
    merchants: list[int]
    firms: list[int]
    lenders: list[int]
    atms: list[int]
    otc: list[int]
    payday: list[int]


class _Builder:
    """Draws accounts one after the other; the order of draws is part of a seed's meaning."""

    def __init__(self, seed: int, banks: Sequence[str], start_us: int) -> None:
        self.dice = random.Random(f"population/{seed}")
        self.banks = banks
        self.start_us = start_us
        self.accounts: list[Account] = []
        self._numbers: set[str] = set()
        self._bins = {bank: self.dice.randrange(621_000, 629_000) for bank in banks}

    def add(self, role: Role, *, owner: int, age_days: float, opening_fen: int, device: str = "", ip: str = "") -> int:
        """Open an account at a random bank; return its index."""
        bank = self.dice.choice(self.banks)
        self.accounts.append(
            Account(
                bank=bank,
                number=self._number(bank),
                role=role,
                owner=owner,
                opened_us=self.start_us - int(age_days * DAY_US),
                opening_fen=opening_fen,
                device=device,
                ip=ip,
            )
        )
        return len(self.accounts) - 1

    def add_many(self, role: Role, count: int, *, median_yuan: float, sigma: float) -> list[int]:
        """Open accounts that belong to no customer."""
        return [
            self.add(
                role,
                owner=-1,
                age_days=self.age_days(young=self.dice.random() < 0.05),
                opening_fen=self.money(median_yuan, sigma),
            )
            for _ in range(count)
        ]

    def money(self, median_yuan: float, sigma: float) -> int:
        """Draw a log-normal amount in fen."""
        return yuan(self.dice.lognormvariate(math.log(median_yuan), sigma))

    def age_days(self, *, young: bool) -> float:
        """Draw an account's age: days for the young, years for the rest."""
        if young:
            return self.dice.uniform(0.5, 45)
        return min(6000.0, 45 + self.dice.expovariate(1 / 1400))

    def _number(self, bank: str) -> str:
        while True:
            number = f"{self._bins[bank]}{self.dice.randrange(10**12):012d}"
            if number not in self._numbers:
                self._numbers.add(number)
                return number


def build_population(*, seed: int, customers: int, banks: Sequence[str], start_us: int) -> Population:
    """Return a population; the same arguments give the same people."""
    draw = _Builder(seed, banks, start_us)
    merchants = draw.add_many(
        Role.MERCHANT, max(20, int(customers * MERCHANTS_PER_CUSTOMER)), median_yuan=20_000, sigma=1
    )
    firms = draw.add_many(Role.FIRM, max(8, int(customers * FIRMS_PER_CUSTOMER)), median_yuan=6_000_000, sigma=1)
    lenders = draw.add_many(Role.LENDER, len(banks), median_yuan=50_000_000, sigma=0.3)
    atms = draw.add_many(Role.ATM, ATMS_PER_BANK * len(banks), median_yuan=1_000_000, sigma=0.3)
    otc = draw.add_many(Role.OTC, max(3, int(customers * OTC_PER_CUSTOMER)), median_yuan=80_000, sigma=1)
    people = [_draw_accounts(draw, person) for person in range(customers)]
    return Population(
        accounts=draw.accounts,
        customers=_draw_customers(draw, people, merchants=merchants, firms=firms, lenders=lenders),
        merchants=merchants,
        firms=firms,
        lenders=lenders,
        atms=atms,
        otc=otc,
        payday=[draw.dice.choice(PAYDAYS) for _ in firms],
    )


def _draw_accounts(draw: _Builder, person: int) -> tuple[Kind, int, int]:
    dice = draw.dice
    kind = dice.choices(list(Kind), weights=(86, 1, 6, 7))[0]
    device = f"dev-{dice.getrandbits(48):012x}"
    if person and dice.random() < SHARED_DEVICE_SHARE:
        device = draw.accounts[-1].device
    city = dice.randrange(CITIES)
    ip = f"36.{100 + city}.{dice.randrange(256)}.{dice.randrange(1, 255)}"
    rich = {Kind.ACTIVE: 14_000, Kind.AGENT: 20_000, Kind.YOUNG: 1_500, Kind.DORMANT: 300}[kind]

    def account(median_yuan: float, young: bool) -> int:
        return draw.add(
            Role.CUSTOMER,
            owner=person,
            age_days=draw.age_days(young=young),
            opening_fen=draw.money(median_yuan, 1.3),
            device=device,
            ip=ip,
        )

    main = account(rich, kind is Kind.YOUNG)
    has_second = kind in (Kind.ACTIVE, Kind.AGENT) and dice.random() < 0.35
    return kind, main, account(18_000, dice.random() < 0.04) if has_second else -1


def _zipf(count: int) -> list[float]:
    """Return cumulative weights of a Zipf law: a few heavy merchants have most customers."""
    total, sums = 0.0, []
    for rank in range(1, count + 1):
        total += rank**-0.8
        sums.append(total)
    return sums


def _draw_customers(
    draw: _Builder, people: list[tuple[Kind, int, int]], *, merchants: list[int], firms: list[int], lenders: list[int]
) -> list[Customer]:
    dice = draw.dice
    popular, big = _zipf(len(merchants)), _zipf(len(firms))
    mains = [main for _, main, _ in people]
    customers = []
    for kind, main, second in people:
        works = kind is not Kind.DORMANT and dice.random() < 0.62
        rents, owes = dice.random() < 0.25, dice.random() < 0.5
        salary = draw.money(8_000, 0.45)
        customers.append(
            Customer(
                main=main,
                second=second,
                kind=kind,
                activity=_activity(dice, kind),
                night_owl=dice.random() < 0.08,
                friends=_others(dice, mains, main, dice.randint(3, 9)),
                family=_others(dice, mains, main, dice.randint(1, 3)),
                shops=tuple(dice.choices(merchants, cum_weights=popular, k=dice.randint(3, 8))),
                employer=dice.choices(firms, cum_weights=big)[0] if works else -1,
                salary_fen=salary // 100 * 100,
                landlord=_others(dice, mains, main, 1)[0] if rents and kind is not Kind.DORMANT else -1,
                rent_fen=max(yuan(600), int(salary * dice.uniform(0.15, 0.4)) // 5000 * 5000),
                rent_day=dice.randint(1, 6),
                lender=dice.choice(lenders) if owes and kind is not Kind.DORMANT else -1,
                repay_fen=draw.money(1_500, 0.7),
                repay_day=dice.randint(1, 28),
            )
        )
    return customers


def _activity(dice: random.Random, kind: Kind) -> float:
    if kind is Kind.DORMANT:
        return 0.0
    return dice.lognormvariate(-0.18, 0.6) * (0.6 if kind is Kind.YOUNG else 1.0)


def _others(dice: random.Random, accounts: list[int], own: int, count: int) -> tuple[int, ...]:
    """Draw accounts of other people, without repeats."""
    drawn = dict.fromkeys(dice.choices(accounts, k=count + 2))
    drawn.pop(own, None)
    return tuple(drawn)[:count]
