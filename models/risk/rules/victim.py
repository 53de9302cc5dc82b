"""Rules of the paying side: how a victim's payments differ from the victim's habit (`docs/sources.md#victim-signs`)."""

from __future__ import annotations

from math import log

from models.risk.facts import FACT_INDEX, Facts
from models.risk.rules import sections as s
from models.risk.rules.common import AMOUNT, PAIR_AGE, STRANGER, freshness, is_new, payee_degree, size_degree

_Z, _MAX, _IN_CALL = (FACT_INDEX[name] for name in ("payer_z", "payer_max_fen", "in_call"))
_SECOND, _LAST_PAIR, _LEAST = (FACT_INDEX[name] for name in ("day_second", "last_pair_fen", "least_1h_fen"))
_DEVICE, _BALANCE = FACT_INDEX["device_changed"], FACT_INDEX["payer_balance_fen"]


def first_large(f: Facts, c: s.FirstLarge) -> float:
    """Fire when the first payment to a payee is far above habit, or far above the largest before."""
    if not is_new(f):
        return 0.0
    over_max = f[AMOUNT] / f[_MAX] if f[_MAX] > 0 else 0.0
    if f[_Z] < c.z and over_max < c.times:
        return 0.0
    degree = min(max(f[_Z] / (2.0 * c.z), over_max / (4.0 * c.times), 0.5), 1.0)
    return c.weight * degree * size_degree(f) * payee_degree(f)


def large_first(f: Facts, c: s.LargeFirst) -> float:
    """Fire when the first payment to a payee is large in itself."""
    if f[AMOUNT] < c.from_fen or not is_new(f):
        return 0.0
    degree = log(f[AMOUNT] / c.from_fen) / log(c.full_fen / c.from_fen)
    return c.weight * min(degree, 1.0) * freshness(f) * payee_degree(f)


def in_call(f: Facts, c: s.InCall) -> float:
    """Fire when the payer is in a call while paying a new payee."""
    return c.weight * size_degree(f) if f[_IN_CALL] > 0 and is_new(f) else 0.0


def night(f: Facts, c: s.Night) -> float:
    """Fire for a large payment to a new payee at night."""
    if f[_SECOND] >= c.until_s or f[AMOUNT] < c.at_least_fen or not is_new(f):
        return 0.0
    return c.weight * payee_degree(f)


def step_up(f: Facts, c: s.StepUp) -> float:
    """Fire when payments to a payee met lately grow."""
    before = f[_LAST_PAIR]
    if not 0 <= f[PAIR_AGE] <= c.within_s or f[STRANGER] < 0 or not 0 < before * c.times <= f[AMOUNT]:
        return 0.0
    return c.weight * size_degree(f) * payee_degree(f)


def probe(f: Facts, c: s.Probe) -> float:
    """Fire when a large debit follows a small one within the hour, and the payee is new."""
    least = f[_LEAST]
    if not 0 < least <= c.small_fen or f[AMOUNT] < least * c.times or not is_new(f):
        return 0.0
    return c.weight * size_degree(f) * payee_degree(f)


def new_device(f: Facts, c: s.NewDevice) -> float:
    """Fire when another device than before pays a new payee."""
    return c.weight * size_degree(f) if f[_DEVICE] > 0 and is_new(f) else 0.0


def emptying(f: Facts, c: s.Emptying) -> float:
    """Fire when most of a told balance goes to a new payee."""
    if f[_BALANCE] < 0 or not is_new(f):
        return 0.0
    return c.weight * size_degree(f) if f[AMOUNT] >= c.emptied * (f[AMOUNT] + f[_BALANCE]) else 0.0
