"""Rules of the receiving side: how accounts for hire take in and pass on money (`docs/sources.md#mule-signs`).

Each returns the weight of one ground, 0 if it does not fire.
"""

from __future__ import annotations

from models.risk.facts import FACT_INDEX, Facts
from models.risk.rules import sections as s
from models.risk.rules.common import (
    AMOUNT,
    IN_24H,
    PAYEE_AGE,
    PAYEE_IN_24H,
    PAYEE_NEW_PAYERS,
    PAYEE_PAYERS,
    PAYEE_SEEN,
    PAYEE_TAINT,
    TAINT,
    climb,
    freshness,
    is_new,
    payee_degree,
    payer_degree,
    size_degree,
    strange_money,
    surprise,
    taint_degree,
)

_MATCH, _MATCH_N, _MATCH_S = (FACT_INDEX[name] for name in ("match", "match_n", "match_s"))
_IN_1H, _OUT_1H, _OUT_N_1H = (FACT_INDEX[f"payer_{name}"] for name in ("in_fen_1h", "out_fen_1h", "out_n_1h"))
_OUT_24H, _OUT_N_24H, _OUT_N_7D = (FACT_INDEX[f"payer_{name}"] for name in ("out_fen_24h", "out_n_24h", "out_n_7d"))
_NEW_PAYEES, _PAYEES_EVER = FACT_INDEX["payer_new_payees_24h"], FACT_INDEX["payer_payees_ever"]
_NEW_PAYERS, _LAST_IN = FACT_INDEX["payer_new_payers_24h"], FACT_INDEX["last_in_fen"]
_SINCE_IN, _QUICK, _PAYER_SEEN = (FACT_INDEX[f"payer_{name}"] for name in ("since_in_s", "quick", "seen_s"))
_BALANCE, _CASH, _REVERSE = (FACT_INDEX[name] for name in ("payer_balance_fen", "cash_channel", "reverse_s"))
_ALIKE_OUT, _ALIKE_IN = FACT_INDEX["alike_out"], FACT_INDEX["alike_in"]
_P_SINCE_IN, _P_SINCE_OUT = FACT_INDEX["payee_since_in_s"], FACT_INDEX["payee_since_out_s"]
_P_OUT_24H, _P_IN_N_24H = FACT_INDEX["payee_out_fen_24h"], FACT_INDEX["payee_in_n_24h"]
_P_QUICK = FACT_INDEX["payee_quick"]
_P_OPENING_TOLD = FACT_INDEX["payee_opening_told"]


def pass_through(f: Facts, c: s.PassThrough) -> float:
    """Fire when what came in leaves soon, in about the same amount."""
    if f[_MATCH] < c.fit or f[_MATCH_S] > c.within_s:
        return 0.0
    fade = 1.0 - 0.4 * f[_MATCH_S] / c.within_s
    return (
        c.weight
        * f[_MATCH]
        * fade
        * strange_money(f)
        * freshness(f)
        * size_degree(f)
        * payee_degree(f)
        * payer_degree(f)
    )


def transit(f: Facts, c: s.Transit) -> float:
    """Fire when what came in today leaves in about the same amount."""
    if f[_MATCH] < c.fit or f[_MATCH_S] > c.within_s:
        return 0.0
    return c.weight * f[_MATCH] * strange_money(f) * freshness(f) * size_degree(f) * payee_degree(f) * payer_degree(f)


def split(f: Facts, c: s.Split) -> float:
    """Fire when this hour's credits leave in several parts."""
    if f[_IN_1H] <= 0 or f[_OUT_N_1H] + 1 < c.debits:
        return 0.0
    drained = (f[_OUT_1H] + f[AMOUNT]) / f[_IN_1H]
    if not c.drained <= drained <= 1.2:
        return 0.0
    return c.weight * strange_money(f) * freshness(f) * size_degree(f) * payee_degree(f) * payer_degree(f)


def pool(f: Facts, c: s.Pool) -> float:
    """Fire when several credits of today leave as one."""
    if f[_MATCH_N] < c.credits or f[_MATCH] < c.fit:
        return 0.0
    return c.weight * f[_MATCH] * freshness(f) * size_degree(f) * payee_degree(f) * payer_degree(f)


def tainted_forward(f: Facts, c: s.TaintedForward) -> float:
    """Fire when suspected money moves on; this is how suspicion follows it down the tiers."""
    if f[TAINT] < c.taint or f[IN_24H] <= 0:
        return 0.0
    part = min(f[AMOUNT] / f[IN_24H], 1.0)
    return c.weight * taint_degree(f[TAINT]) * (0.6 + 0.4 * part) * freshness(f) * payee_degree(f) * payer_degree(f)


def fan_in(f: Facts, c: s.FanIn) -> float:
    """Fire when more strangers pay an account within a day than its own history lets expect."""
    strangers = f[PAYEE_NEW_PAYERS] + 1
    if not is_new(f) or strangers < c.strangers:
        return 0.0
    degree = surprise(strangers, f[PAYEE_PAYERS] + 1, f[PAYEE_SEEN]) / c.full
    return c.weight * min(degree, 1.0) * size_degree(f)


def fan_out(f: Facts, c: s.FanOut) -> float:
    """Fire when an account pays more new payees within a day than its own history lets expect."""
    payees = f[_NEW_PAYEES] + 1
    if not is_new(f) or payees < c.payees:
        return 0.0
    degree = surprise(payees, f[_PAYEES_EVER] + 1, f[_PAYER_SEEN]) / c.full
    return c.weight * min(degree, 1.0) * size_degree(f) * payee_degree(f)


def no_residual(f: Facts, c: s.NoResidual) -> float:
    """Fire when a balance is told and almost nothing of it stays after money came in."""
    if f[_BALANCE] < 0 or not 0 <= f[_SINCE_IN] <= c.within_s:
        return 0.0
    emptied = f[AMOUNT] / (f[AMOUNT] + f[_BALANCE])
    return c.weight * freshness(f) * size_degree(f) if emptied >= c.emptied else 0.0


def dormant(f: Facts, c: s.Dormant) -> float:
    """Fire when a new payer sends money to an account that was idle for long."""
    idle_s = min(at_s for at_s in (f[_P_SINCE_IN], f[_P_SINCE_OUT], f[PAYEE_AGE]) if at_s >= 0)
    return c.weight * size_degree(f) if is_new(f) and idle_s >= c.idle_s else 0.0


def young(f: Facts, c: s.Young) -> float:
    """Fire when a new payer sends money to a young account.

    Where no bank has told the opening, an account is as old as our memory of it;
    that says half as much, and only if the payer has been seen for longer.
    """
    if not is_new(f) or f[PAYEE_AGE] > c.age_s:
        return 0.0
    told = 1.0 if f[_P_OPENING_TOLD] else 0.5
    if told < 1.0 and f[_PAYER_SEEN] < c.age_s / 2:
        return 0.0
    return c.weight * told * (1.0 - 0.5 * f[PAYEE_AGE] / c.age_s) * size_degree(f)


def quick_spend(f: Facts, c: s.QuickSpend) -> float:
    """Fire when money of a stranger is paid to a new payee soon after, in whatever part."""
    if f[_NEW_PAYERS] < 1 or not 0 <= f[_SINCE_IN] <= c.within_s or not is_new(f):
        return 0.0
    if f[AMOUNT] < c.part * f[_LAST_IN]:
        return 0.0
    return (
        c.weight
        * (1.0 - 0.5 * f[_SINCE_IN] / c.within_s)
        * strange_money(f)
        * size_degree(f)
        * payee_degree(f)
        * payer_degree(f)
    )


def habitual(f: Facts, c: s.Habitual) -> float:
    """Fire when the payer lives from hand to mouth: it mostly pays within minutes of a credit, as now."""
    if f[_QUICK] < c.quick or f[_OUT_N_7D] < c.debits or not 0 <= f[_SINCE_IN] <= 600:
        return 0.0
    return c.weight * f[_QUICK] * freshness(f) * size_degree(f) * payee_degree(f) * payer_degree(f)


def quick_payee(f: Facts, c: s.QuickPayee) -> float:
    """Fire when money goes to an account with few payers that passes on at once what it gets."""
    if f[_P_QUICK] < c.quick:
        return 0.0
    return c.weight * f[_P_QUICK] * freshness(f) * size_degree(f) * payee_degree(f)


def cash_out(f: Facts, c: s.CashOut) -> float:
    """Fire when a credit leaves the accounts at once: cash, goods, crypto."""
    if not f[_CASH] or not 0 <= f[_SINCE_IN] <= c.within_s:
        return 0.0
    return c.weight * size_degree(f) if f[_OUT_1H] + f[AMOUNT] >= c.drained * f[_IN_1H] > 0 else 0.0


def round_trip(f: Facts, c: s.RoundTrip) -> float:
    """Fire when about the same money goes back where some came from today."""
    if not 0 <= f[_REVERSE] <= c.within_s or f[_MATCH] < c.fit:
        return 0.0
    return c.weight * f[_MATCH] * size_degree(f)


def structured(f: Facts, c: s.Structured) -> float:
    """Fire when the payer repeats an amount within a day, now to a new payee."""
    if f[_ALIKE_OUT] < c.alike or not is_new(f):
        return 0.0
    return c.weight * climb(f[_ALIKE_OUT], c.alike, 3 * c.alike) * size_degree(f) * payee_degree(f)


def under_limit(f: Facts, c: s.UnderLimit) -> float:
    """Fire when debits of a day exceed the limit together, this one is below it, and the pair is new today."""
    sum_fen, fen = f[_OUT_24H] + f[AMOUNT], f[AMOUNT]
    if f[_OUT_N_24H] + 1 < c.debits or fen >= c.limit_fen or sum_fen < c.limit_fen or fen < c.limit_fen / 10:
        return 0.0
    return c.weight * freshness(f) * payee_degree(f)


def collector(f: Facts, c: s.Collector) -> float:
    """Fire when several new payers send about the same amount within a day."""
    if f[_ALIKE_IN] < c.alike or f[PAYEE_NEW_PAYERS] < c.strangers or not is_new(f):
        return 0.0
    return c.weight * size_degree(f) * payee_degree(f)


def busy_transit(f: Facts, c: s.BusyTransit) -> float:
    """Fire when the payee has passed on most of what it received today, and a new payer sends more."""
    if f[_P_IN_N_24H] < c.credits or f[PAYEE_IN_24H] <= 0 or not is_new(f):
        return 0.0
    drained = f[_P_OUT_24H] / f[PAYEE_IN_24H]
    return c.weight * size_degree(f) * payee_degree(f) if c.drained <= drained <= 1.5 else 0.0


def tainted_payee(f: Facts, c: s.TaintedPayee) -> float:
    """Fire when money goes to an account that took in suspected money today."""
    if f[PAYEE_TAINT] < c.taint or f[PAYEE_IN_24H] <= 0:
        return 0.0
    return c.weight * taint_degree(f[PAYEE_TAINT]) * freshness(f) * payee_degree(f)
