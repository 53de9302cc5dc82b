"""What the rules share: facts by index, and the degrees that many of them scale by."""

from __future__ import annotations

from math import log
from typing import Final

from models.risk.facts import FACT_INDEX, Facts

DAY_S: Final = 86_400

SMALL_FEN: Final = 10_000
LARGE_FEN: Final = 500_000
SMALLEST_DEGREE: Final = 0.4
"""A rule weighs 0.4 for 100 yuan and less, fully from 5,000 yuan on (ours): small honest sums often look alike."""

RECENT_PAIR: Final = 0.7
OLD_PAIR: Final = 0.35
"""How much of a flow rule's weight is left if the pair first met today, or earlier (ours)."""

ESTABLISHED_PAYERS: Final = 40
ESTABLISHED_AGE_S: Final = 21 * DAY_S
ESTABLISHED: Final = 0.4
"""Share of the weight left if the payee is an established receiver: many payers over weeks (ours)."""

KNOWN_MONEY: Final = 0.5
"""Share of a flow rule's weight left if all money came from payers known before today (ours)."""

AMOUNT: Final = FACT_INDEX["amount_fen"]
PAIR_AGE: Final = FACT_INDEX["pair_age_s"]
STRANGER: Final = FACT_INDEX["stranger_to_bank"]
TAINT: Final = FACT_INDEX["payer_taint_fen"]
IN_24H: Final = FACT_INDEX["payer_in_fen_24h"]
PAYEE_TAINT: Final = FACT_INDEX["payee_taint_fen"]
PAYEE_IN_24H: Final = FACT_INDEX["payee_in_fen_24h"]
PAYEE_PAYERS: Final = FACT_INDEX["payee_payers_ever"]
PAYEE_AGE: Final = FACT_INDEX["payee_age_s"]
PAYER_NEW_PAYERS: Final = FACT_INDEX["payer_new_payers_24h"]
PAYEE_NEW_PAYERS: Final = FACT_INDEX["payee_new_payers_24h"]

_SIZE_SLOPE: Final = (1.0 - SMALLEST_DEGREE) / log(LARGE_FEN / SMALL_FEN)


def is_new(f: Facts) -> bool:
    """Return whether this is the first payment of the pair, as far as profile and bank know."""
    return f[PAIR_AGE] < 0 and f[STRANGER] >= 0


def freshness(f: Facts) -> float:
    """Return 1 for the first payment of a pair, less on its first day, least later."""
    if f[STRANGER] < 0 or f[PAIR_AGE] >= DAY_S:
        return OLD_PAIR
    return 1.0 if f[PAIR_AGE] < 0 else RECENT_PAIR


def size_degree(f: Facts) -> float:
    """Return how much the amount matters, `SMALLEST_DEGREE` to 1."""
    fen = f[AMOUNT]
    if fen >= LARGE_FEN:
        return 1.0
    return SMALLEST_DEGREE if fen <= SMALL_FEN else SMALLEST_DEGREE + _SIZE_SLOPE * log(fen / SMALL_FEN)


def payee_degree(f: Facts) -> float:
    """Return `ESTABLISHED` for a receiver of many payers over weeks, else 1."""
    return ESTABLISHED if f[PAYEE_PAYERS] >= ESTABLISHED_PAYERS and f[PAYEE_AGE] >= ESTABLISHED_AGE_S else 1.0


def strange_money(f: Facts) -> float:
    """Return 1 if somebody paid the payer for the first time today, else `KNOWN_MONEY`: wages passed on are no sign."""
    return 1.0 if f[PAYER_NEW_PAYERS] > 0 else KNOWN_MONEY


def taint_share(f: Facts) -> float:
    """Return the suspected part of what the payer received within a day."""
    return min(f[TAINT] / f[IN_24H], 1.0) if f[IN_24H] > 0 else 0.0


def payee_taint_share(f: Facts) -> float:
    """Return the suspected part of what the payee received within a day."""
    return min(f[PAYEE_TAINT] / f[PAYEE_IN_24H], 1.0) if f[PAYEE_IN_24H] > 0 else 0.0


def climb(value: float, start: float, full: float) -> float:
    """Return 0.5 at ``start``, rising to 1 at ``full`` and beyond."""
    return 1.0 if value >= full else 0.5 + 0.5 * (value - start) / (full - start)


def surprise(count: float, ever: float, age_s: float) -> float:
    """Return how unusual ``count`` new counterparties in a day are for an account that met ``ever`` in its life.

    The log-likelihood ratio of a Poisson count against the account's own daily
    rate, with one counterparty in two days as what is expected of an unknown
    account. A shop that meets ten new customers every day is never surprising.
    """
    rate = (max(ever - count, 0.0) + 1.0) / (age_s / DAY_S + 2.0)
    return count * log(count / rate) - (count - rate) if count > rate else 0.0
