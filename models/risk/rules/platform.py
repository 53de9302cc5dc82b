"""Feature codes that banks report to the national platform, as far as transfers show them.

Codes: `docs/sources.md#platform-events`; constants: `docs/sources.md#platform-shapes`.

3006-3008 use the five working days of a bank's own code: they fill suspicious
lists. The same shapes at the speed of a stop are `mule.pool` and `mule.split`.
"""

from __future__ import annotations

from models.risk.facts import FACT_INDEX, Facts
from models.risk.rules import sections as s
from models.risk.rules.common import AMOUNT, freshness, payee_degree, payer_degree

_IN_N, _IN, _OUT_N, _OUT = (FACT_INDEX[f"payer_{name}"] for name in ("in_n_7d", "in_fen_7d", "out_n_7d", "out_fen_7d"))
_PAIR_OUT, _PAIR_IN = FACT_INDEX["pair_out_5d"], FACT_INDEX["pair_in_5d"]
_PAYER_PROVEN, _PAYEE_PROVEN = FACT_INDEX["payer_proven_received"], FACT_INDEX["payee_proven_received"]


def reported_3002(f: Facts, c: s.Reported3002) -> float:
    """Fire when a verdict, mostly after a victim's report, has proven that an account took in fraud before.

    Weighed less for old pairs and shops: an innocent seller downstream is the typical wrong freeze.
    """
    if f[_PAYEE_PROVEN] < c.frauds and f[_PAYER_PROVEN] < c.frauds:
        return 0.0
    payee = payee_degree(f) if f[_PAYEE_PROVEN] >= c.frauds else 0.0
    payer = payer_degree(f) if f[_PAYER_PROVEN] >= c.frauds else 0.0
    return c.weight * max(payee, payer) * freshness(f)


def gather_3006(f: Facts, c: s.Gather3006) -> float:
    """Fire when many credits of the week leave in few debits of about the same sum."""
    if f[_IN_N] < c.credits or c.times * (f[_OUT_N] + 1) >= f[_IN_N]:
        return 0.0
    return c.weight if abs(f[_OUT] + f[AMOUNT] - f[_IN]) <= c.within * f[_IN] else 0.0


def scatter_3007(f: Facts, c: s.Scatter3007) -> float:
    """Fire when few credits of the week leave in many debits of about the same sum."""
    debits, sum_fen = f[_OUT_N] + 1, f[_OUT] + f[AMOUNT]
    if debits < c.debits or f[_IN_N] < 1 or c.times * f[_IN_N] > debits:
        return 0.0
    return c.weight if abs(f[_IN] - sum_fen) <= c.within * sum_fen else 0.0


def repeated_3008(f: Facts, c: s.Repeated3008) -> float:
    """Fire when one pair has paid each other often this week."""
    return c.weight if f[_PAIR_OUT] + 1 >= c.each_way and f[_PAIR_IN] >= c.each_way else 0.0
