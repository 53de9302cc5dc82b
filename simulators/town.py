"""What the habits draw from: people weighted by how active they are, balances, the hour of the day."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from simulators.plan import HOUR_US, SHANGHAI_US, Intent, yuan
from simulators.population import Customer, Kind, Population

SLOT_US: Final = HOUR_US // 4
"""Habits are planned a quarter of an hour at a time."""

DAY_HOURS: Final = (3, 2, 1, 1, 1, 2, 9, 24, 44, 52, 56, 66, 74, 60, 50, 50, 54, 66, 74, 72, 66, 54, 32, 12)
NIGHT_HOURS: Final = (80, 72, 60, 42, 26, 12, 5, 5, 5, 5, 8, 16, 24, 24, 22, 22, 24, 28, 32, 40, 48, 60, 74, 84)
"""Relative activity in each hour of the Shanghai day, of most people and of night owls (ours)."""

NIGHT_PART: Final = 0.1
"""Share of all activity that is the night owls'."""

BY_HAND_SHARE: Final = 0.2
"""How often somebody pays in the browser or at the counter what most pay by telephone."""

KEEP_SHARE: Final = 0.95
"""Honest people do not try to spend more than this share of what they have."""


def hour_shares(weights: Sequence[int]) -> tuple[float, ...]:
    """Return the share of a day's activity in each slot of an hour of the day.

    >>> round(sum(hour_shares(DAY_HOURS)) * 4, 9)
    1.0
    """
    slots = HOUR_US // SLOT_US
    return tuple(weight / sum(weights) / slots for weight in weights)


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter of an hour of the world and the share of a day's activity that falls into it."""

    start_us: int
    day_share: float
    night_share: float


_DAY = hour_shares(DAY_HOURS)
_NIGHT = hour_shares(NIGHT_HOURS)


def slot_at(start_us: int) -> Slot:
    """Return the slot that starts at a time."""
    hour = (start_us + SHANGHAI_US) // HOUR_US % 24
    return Slot(start_us=start_us, day_share=_DAY[hour], night_share=_NIGHT[hour])


class Town:
    """A population with dice, balances (kept by the engine) and weighted draws of people."""

    def __init__(self, population: Population, seed: int) -> None:
        self.population = population
        self.dice = random.Random(f"town/{seed}")
        self.rng = np.random.default_rng(seed)
        self.balances = [account.opening_fen for account in population.accounts]
        people = population.customers
        self.agents = [person for person in people if person.kind is Kind.AGENT]
        self.young = [person for person in people if person.kind is Kind.YOUNG]
        self.dormant = [person for person in people if person.kind is Kind.DORMANT]
        self._day_people = self._weighted([p.activity * (0.15 if p.night_owl else 1.0) for p in people])
        self._night_people = self._weighted([p.activity * (1.0 if p.night_owl else 0.03) for p in people])
        self._merchants = self._weighted([(rank + 1) ** -0.8 for rank in range(len(population.merchants))])
        self._firms = self._weighted([(rank + 1) ** -0.8 for rank in range(len(population.firms))])

    @staticmethod
    def _weighted(weights: list[float]) -> npt.NDArray[np.float64]:
        sums = np.cumsum(np.asarray(weights, dtype=np.float64))
        shares: npt.NDArray[np.float64] = sums / sums[-1]
        return shares

    def count(self, per_day: float, slot: Slot) -> int:
        """Draw how often something happens in a slot that happens ``per_day`` times a day in all."""
        share = (1 - NIGHT_PART) * slot.day_share + NIGHT_PART * slot.night_share
        return int(self.rng.poisson(per_day * share))

    def people(self, count: int, slot: Slot) -> list[Customer]:
        """Draw ``count`` people who are awake, with repeats."""
        night = NIGHT_PART * slot.night_share
        owls = self.rng.binomial(count, night / (night + (1 - NIGHT_PART) * slot.day_share))
        customers = self.population.customers
        drawn = np.concatenate(
            [
                np.searchsorted(self._night_people, self.rng.random(owls)),
                np.searchsorted(self._day_people, self.rng.random(count - owls)),
            ]
        )
        return [customers[place] for place in drawn.tolist()]

    def moments(self, count: int, slot: Slot) -> list[int]:
        """Draw ``count`` times within a slot."""
        drawn: list[int] = (slot.start_us + self.rng.integers(0, SLOT_US, count)).tolist()
        return drawn

    def merchant(self) -> int:
        """Draw a merchant's account, popular ones more often."""
        place = int(np.searchsorted(self._merchants, self.dice.random()))
        return self.population.merchants[place]

    def firm(self) -> int:
        """Draw a firm's account, big ones more often."""
        return self.population.firms[int(np.searchsorted(self._firms, self.dice.random()))]

    def stranger(self, slot: Slot) -> Customer:
        """Draw one person who is awake."""
        return self.people(1, slot)[0]

    def can_pay(self, account: int, amount_fen: int) -> bool:
        """Return whether an honest owner would pay that much from an account."""
        return amount_fen <= self.balances[account] * KEEP_SHARE

    def intent(self, at_us: int, payer: int, payee: int, amount_fen: int, channel: str = "mobile") -> Intent:
        """Return an honest wish to pay; now and then the payer happens to be in a call."""
        dice = self.dice.random()
        in_call = None if dice < 0.3 else dice > 0.985
        if channel == "mobile" and self.dice.random() < BY_HAND_SHARE:
            channel = "web" if self.dice.random() < 0.8 else "counter"
        return Intent(
            at_us=at_us, payer=payer, payee=payee, amount_fen=max(1, amount_fen), channel=channel, in_call=in_call
        )


def spread(dice: random.Random, median_yuan: float, sigma: float) -> int:
    """Draw a log-normal amount in fen, with the odd cents that prices have."""
    return max(1, yuan(dice.lognormvariate(math.log(median_yuan), sigma)))


def rounded(dice: random.Random, amount_fen: int) -> int:
    """Round an amount the way people do: often to ten or a hundred yuan, sometimes not at all."""
    for share, step in ((0.25, 100_000), (0.6, 10_000), (0.85, 1_000)):
        if amount_fen >= 4 * step and dice.random() < share:
            return amount_fen // step * step
    return amount_fen


LUCKY: Final = (6_600, 8_800, 16_600, 16_800, 20_000, 52_000, 60_000, 66_600, 80_000, 88_800, 100_000, 166_600, 200_000)
"""Amounts in fen that bring luck and so make good gifts."""

HANDY: Final = (5_000, 10_000, 20_000, 20_000, 30_000, 50_000, 50_000, 100_000, 100_000, 200_000, 300_000, 500_000)
"""Round amounts in fen that friends send each other."""
