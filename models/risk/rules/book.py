"""Rules in force, in a fixed order, and how their weights become one risk."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p
from typing import Final, NamedTuple

from models.risk.features import FEATURE_INDEX
from models.risk.rules.settings import RuleSettings

EDITION: Final = "r1"

Features = tuple[float, ...]
Hit = tuple[int, float]
"""Index of a rule in `RULES`, and its weight now, 0 < weight < 1."""


class Rule(NamedTuple):
    """One rule: its code, and the weight it gives these features (0: it did not fire)."""

    code: str
    weigh: Callable[[Features, RuleSettings], float]


_AMOUNT = FEATURE_INDEX["amount"]
_NIGHT = FEATURE_INDEX["night"]
_IN_CALL = FEATURE_INDEX["in_call"]
_PAIR_NEW = FEATURE_INDEX["pair_new"]
_STRANGER = FEATURE_INDEX["stranger_to_bank"]
_MATCH = FEATURE_INDEX["payer_match"]
_MATCH_S = FEATURE_INDEX["payer_match_s"]
_TAINT = FEATURE_INDEX["payer_taint"]
_Z = FEATURE_INDEX["payer_z"]
_PAYEE_AGE = FEATURE_INDEX["payee_age"]
_STRANGERS = FEATURE_INDEX["payee_new_payers_24h"]


def _pass_through(f: Features, settings: RuleSettings) -> float:
    s = settings.pass_through
    if f[_MATCH] < s.fit or f[_MATCH_S] > log1p(s.within_s):
        return 0.0
    return s.weight * f[_MATCH] * (1.0 - 0.5 * f[_MATCH_S] / log1p(s.within_s))


def _tainted_forward(f: Features, settings: RuleSettings) -> float:
    s = settings.tainted_forward
    return s.weight * f[_TAINT] if f[_TAINT] >= s.taint else 0.0


def _new_large(f: Features, settings: RuleSettings) -> float:
    s = settings.new_large
    if not f[_PAIR_NEW] or f[_STRANGER] < 0 or f[_Z] < s.z or f[_AMOUNT] < log1p(s.at_least_yuan):
        return 0.0
    return s.weight * min(f[_Z] / (2 * s.z), 1.0)


def _strangers_in(f: Features, settings: RuleSettings) -> float:
    s = settings.strangers_in
    if not f[_PAIR_NEW] or f[_STRANGERS] < log1p(s.payers):
        return 0.0
    return s.weight


def _young_payee(f: Features, settings: RuleSettings) -> float:
    s = settings.young_payee
    if not f[_PAIR_NEW] or f[_PAYEE_AGE] > log1p(s.age_s) or f[_AMOUNT] < log1p(s.at_least_yuan):
        return 0.0
    return s.weight


def _in_call(f: Features, settings: RuleSettings) -> float:
    return settings.in_call.weight if f[_IN_CALL] > 0 and f[_PAIR_NEW] and f[_STRANGER] >= 0 else 0.0


def _night(f: Features, settings: RuleSettings) -> float:
    s = settings.night
    return s.weight if f[_NIGHT] and f[_PAIR_NEW] and f[_AMOUNT] >= log1p(s.at_least_yuan) else 0.0


RULES: Final = (
    Rule("S101", _pass_through),
    Rule("S102", _tainted_forward),
    Rule("S201", _new_large),
    Rule("S103", _strangers_in),
    Rule("S104", _young_payee),
    Rule("S202", _in_call),
    Rule("S203", _night),
)


def hits_of(features: Features, settings: RuleSettings) -> tuple[Hit, ...]:
    """Return the rules that fire, in the order of the book."""
    hits = []
    for index, (_, weigh) in enumerate(RULES):
        weight = weigh(features, settings)
        if weight > 0.0:
            hits.append((index, weight))
    return tuple(hits)


def noisy_or(hits: tuple[Hit, ...]) -> float:
    """Return the risk of independent grounds, ``1 - prod(1 - weight)`` (Pearl, 1988): it only grows with each.

    >>> noisy_or(((0, 0.5), (1, 0.5)))
    0.75
    """
    honest = 1.0
    for _, weight in hits:
        honest *= 1.0 - weight
    return 1.0 - honest


def shares(hits: tuple[Hit, ...]) -> tuple[float, ...]:
    """Return each hit's share of the risk; they sum to 1."""
    parts = [-log(1.0 - weight) for _, weight in hits]
    total = sum(parts)
    return tuple(part / total for part in parts)
