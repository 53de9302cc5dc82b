"""All honest life, a quarter of an hour at a time: habits by rate, wages and rents by the calendar."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from simulators import behaviours as life
from simulators.plan import SECOND_US, SHANGHAI_US, Intent, local_second
from simulators.town import SLOT_US, Slot, Town, slot_at

Plan = Callable[[Town, int, Slot], Iterator[Intent]]

DAYS_PER_MONTH: Final = 30.4


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """One habit: how often a customer has it in a day, and how many transfers one occurrence makes."""

    plan: Plan
    per_day: float
    transfers: float = 1.0


HABITS: Final = (
    Habit(plan=life.shops, per_day=3.2),
    Habit(plan=life.online, per_day=0.35),
    Habit(plan=life.friends, per_day=0.45),
    Habit(plan=life.family, per_day=0.12),
    Habit(plan=life.own_moves, per_day=0.22, transfers=0.4),
    Habit(plan=life.cash, per_day=0.07),
    Habit(plan=life.supplies, per_day=0.03, transfers=1.2),
    Habit(plan=life.refunds, per_day=0.05),
    Habit(plan=life.sweeps, per_day=0.03),
    Habit(plan=life.payouts, per_day=0.08),
    Habit(plan=life.savings, per_day=0.03),
    Habit(plan=life.big_buys, per_day=0.012, transfers=1.2),
    Habit(plan=life.second_hand, per_day=0.018),
    Habit(plan=life.dinners, per_day=0.012, transfers=5.5),
    Habit(plan=life.gifts, per_day=0.0012, transfers=16.0),
    Habit(plan=life.collections, per_day=0.0012, transfers=17.0),
    Habit(plan=life.agents, per_day=0.012, transfers=4.0),
    Habit(plan=life.favours, per_day=0.006, transfers=2.0),
    Habit(plan=life.red_packets, per_day=0.02, transfers=7.0),
    Habit(plan=life.coin_trades, per_day=0.005),
    Habit(plan=life.new_hands, per_day=0.003, transfers=2.8),
    Habit(plan=life.revivals, per_day=0.001, transfers=2.8),
)

CALENDAR_PER_DAY: Final = (0.62 * 0.93 + 0.25 * 0.93 + 0.5 * 0.93) / DAYS_PER_MONTH
"""Wages, rents and repayments per customer and day, on the average of a month."""

TRANSFERS_PER_CUSTOMER_DAY: Final = sum(h.per_day * h.transfers for h in HABITS) + CALENDAR_PER_DAY
"""Honest transfers a customer of the world causes in a day, on the average."""


class Due(msgspec.Struct, frozen=True, order=True, gc=False):
    """A payment that comes back every month, at a second of its day in Shanghai."""

    second: int
    payer: int = -1
    payee: int = -1
    amount_fen: int = 0
    channel: str = "mobile"


class Almanac:
    """Who pays what on which day of the month: wages, rents, repayments."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._days: dict[int, list[Due]] = {}
        dice = town.dice
        office = {firm: dice.randrange(9 * 3600, 17 * 3600) for firm in town.population.firms}
        payday = dict(zip(town.population.firms, town.population.payday, strict=True))
        for person in town.population.customers:
            if person.employer >= 0:
                second = office[person.employer] + dice.randrange(240)
                wage = Due(second, person.employer, person.main, person.salary_fen, "batch")
                self._days.setdefault(payday[person.employer], []).append(wage)
            second = dice.randrange(8 * 3600, 22 * 3600)
            if person.landlord >= 0:
                rent = Due(second, person.main, person.landlord, person.rent_fen)
                self._days.setdefault(person.rent_day, []).append(rent)
            if person.lender >= 0:
                rate = Due(second, person.main, person.lender, person.repay_fen)
                self._days.setdefault(person.repay_day, []).append(rate)
        for due in self._days.values():
            due.sort()

    def slot(self, start_us: int) -> Iterator[Intent]:
        """Yield what falls due in a slot."""
        day = datetime.fromtimestamp((start_us + SHANGHAI_US) // SECOND_US, UTC).day
        due, second = self._days.get(day, []), local_second(start_us)
        first = bisect_left(due, Due(second))
        end = bisect_left(due, Due(second + SLOT_US // SECOND_US))
        for item in due[first:end]:
            at_us = start_us + (item.second - second) * SECOND_US + self._town.dice.randrange(SECOND_US)
            if self._town.can_pay(item.payer, item.amount_fen):
                yield self._town.intent(at_us, item.payer, item.payee, item.amount_fen, item.channel)


class HonestLife:
    """Plans all honest intents of a town."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._almanac = Almanac(town)

    def slot(self, start_us: int, scale: float = 1.0, *, calendar: bool = True) -> list[Intent]:
        """Return what people intend in the slot at ``start_us``; some of it is due later than the slot ends.

        ``scale`` multiplies the habits' rates; ``calendar`` is for wages, rents and repayments.
        """
        slot, people = slot_at(start_us), len(self._town.population.customers)
        intents: list[Intent] = []
        for habit in HABITS:
            count = self._town.count(habit.per_day * people * scale, slot)
            if count:
                intents.extend(habit.plan(self._town, count, slot))
        if calendar:
            intents.extend(self._almanac.slot(start_us))
        return intents
