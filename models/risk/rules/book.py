"""The rules in force, in a fixed order, and how their weights become one risk."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from itertools import product
from math import exp
from operator import attrgetter
from typing import Any, Final, NamedTuple

from models.risk.assessment import Severity
from models.risk.facts import FACT_INDEX, Facts
from models.risk.rules import account, mule, platform, victim
from models.risk.rules.common import is_new
from models.risk.rules.settings import RuleSettings, rule_book_version

EDITION: Final = "r8"
"""Changes whenever a rule's code does; settings have a digest of their own."""

Hit = tuple[int, float]
"""Index of a rule in `RULES`, and the log-odds it adds, above 0."""


_MATCH_N: Final = FACT_INDEX["match_n"]
_IN_N_7D: Final = FACT_INDEX["payer_in_n_7d"]


class Needs(Enum):
    """What a rule cannot fire without: a new pair, a pool of credits to match, money received this week.

    It saves asking the rule at all.
    """

    NOTHING = 0
    NEW_PAIR = 1
    POOL = 2
    INCOME = 3


class Rule(NamedTuple):
    """One rule: stable code, its section of the settings, the function that weighs it, and what it needs."""

    code: str
    section: str
    weigh: Callable[[Facts, Any], float]
    needs: Needs = Needs.NOTHING


RULES: Final = (
    Rule("M01", "pass_through", mule.pass_through, Needs.POOL),
    Rule("M02", "transit", mule.transit, Needs.POOL),
    Rule("M03", "split", mule.split, Needs.INCOME),
    Rule("M04", "pool", mule.pool, Needs.POOL),
    Rule("M05", "tainted_forward", mule.tainted_forward, Needs.INCOME),
    Rule("M06", "fan_in", mule.fan_in, Needs.NEW_PAIR),
    Rule("M07", "fan_out", mule.fan_out, Needs.NEW_PAIR),
    Rule("M08", "no_residual", mule.no_residual, Needs.INCOME),
    Rule("M09", "dormant", mule.dormant, Needs.NEW_PAIR),
    Rule("M10", "young", mule.young, Needs.NEW_PAIR),
    Rule("M11", "habitual", mule.habitual, Needs.INCOME),
    Rule("M12", "cash_out", mule.cash_out, Needs.INCOME),
    Rule("M13", "round_trip", mule.round_trip, Needs.POOL),
    Rule("M14", "structured", mule.structured, Needs.NEW_PAIR),
    Rule("M15", "under_limit", mule.under_limit),
    Rule("M16", "collector", mule.collector, Needs.NEW_PAIR),
    Rule("M17", "busy_transit", mule.busy_transit, Needs.NEW_PAIR),
    Rule("M18", "tainted_payee", mule.tainted_payee),
    Rule("M19", "quick_spend", mule.quick_spend, Needs.NEW_PAIR),
    Rule("M20", "quick_payee", mule.quick_payee),
    Rule("V01", "first_large", victim.first_large, Needs.NEW_PAIR),
    Rule("V02", "in_call", victim.in_call, Needs.NEW_PAIR),
    Rule("V03", "night", victim.night, Needs.NEW_PAIR),
    Rule("V04", "step_up", victim.step_up),
    Rule("V05", "probe", victim.probe, Needs.NEW_PAIR),
    Rule("V06", "new_device", victim.new_device, Needs.NEW_PAIR),
    Rule("V07", "emptying", victim.emptying, Needs.NEW_PAIR),
    Rule("V08", "large_first", victim.large_first, Needs.NEW_PAIR),
    Rule("3002", "reported_3002", platform.reported_3002),
    Rule("3006", "gather_3006", platform.gather_3006, Needs.INCOME),
    Rule("3007", "scatter_3007", platform.scatter_3007, Needs.INCOME),
    Rule("3008", "repeated_3008", platform.repeated_3008),
    Rule("C01", "for_hire", account.for_hire),
    Rule("C02", "leaves", account.leaves, Needs.INCOME),
)


class RuleBook:
    """The rules with one set of thresholds; immutable. ``severities`` are in the order of `RULES`."""

    def __init__(self, settings: RuleSettings) -> None:
        self.settings = settings
        self.version = rule_book_version(settings, EDITION)
        self.severities: tuple[Severity, ...] = tuple(attrgetter(rule.section)(settings).severity for rule in RULES)
        rows = [
            (index, rule.weigh, section, rule.needs)
            for index, rule in enumerate(RULES)
            if (section := attrgetter(rule.section)(settings)).weight > 0.0
        ]
        self._plans = {
            met: tuple(row[:3] for row in rows if row[3] is Needs.NOTHING or met[row[3].value - 1])
            for met in product((False, True), repeat=len(Needs) - 1)
        }

    def hits(self, facts: Facts) -> tuple[Hit, ...]:
        """Return the rules that fire, in the order of the book."""
        plan = self._plans[is_new(facts), facts[_MATCH_N] > 0, facts[_IN_N_7D] > 0]
        return tuple([(index, weight) for index, weigh, section in plan if (weight := weigh(facts, section)) > 0.0])


def risk_of(hits: tuple[Hit, ...], base: float) -> float:
    """Return the risk 0-1 of ``base`` log-odds and what each hit adds: a logistic sum, so it only grows with each.

    Adding log-odds multiplies odds, as grounds that are independent given the
    truth do (naive Bayes); one weak ground alone says little, several say much.

    >>> risk_of((), 0.0), risk_of(((0, 1.5), (1, 0.5)), -2.0)
    (0.5, 0.5)
    """
    total = 0.0
    for _, weight in hits:
        total += weight
    return 1.0 / (1.0 + exp(-base - total))


def raised_by(risk: float, weight: float) -> float:
    """Return a risk raised by ``weight`` of log-odds.

    >>> raised_by(0.5, 0.0), round(raised_by(0.1, 2.0), 3)
    (0.5, 0.451)
    """
    odds = risk * exp(weight)
    return odds / (1.0 - risk + odds)


def shares(hits: tuple[Hit, ...]) -> tuple[float, ...]:
    """Return each hit's share of the evidence; they sum to 1.

    >>> shares(((0, 3.0), (1, 1.0)))
    (0.75, 0.25)
    """
    total = sum([weight for _, weight in hits])
    return tuple([weight / total for _, weight in hits])
