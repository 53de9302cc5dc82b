"""What the rules share: facts by index, and the degrees that many of them scale by."""

from __future__ import annotations

from math import log
from typing import Final

from models.risk.facts import FACT_INDEX, Facts

DAY_S: Final = 86_400

SMALL_FEN: Final = 10_000
LARGE_FEN: Final = 1_000_000
SMALLEST_DEGREE: Final = 0.3
"""A rule weighs 0.3 for 100 yuan and less, fully from 10,000 yuan on (ours): small honest sums often look alike."""

RECENT_PAIR: Final = 0.7
OLD_PAIR: Final = 0.35
"""How much of a flow rule's weight is left if the pair first met today, or earlier (ours)."""

FEW_PAYERS: Final = 8
MANY_PAYERS: Final = 80
ESTABLISHED: Final = 0.3
"""Share of a weight left for an account with many payers: a shop, not an account for hire (ours)."""

ACQUAINTED_S: Final = 3 * DAY_S
"""Somebody who was paid by the payee this long ago is no stranger to it (ours)."""

KNOWN_MONEY: Final = 0.5
"""Share of a flow rule's weight left if all money came from payers known before today (ours)."""

CLEAN_MONEY: Final = 0.7
FULL_TAINT: Final = 0.05
"""The share left if a stranger's money came in without suspicion; all is left from this suspected share on (ours)."""

AMOUNT: Final = FACT_INDEX["amount_fen"]
PAIR_AGE: Final = FACT_INDEX["pair_age_s"]
REVERSE: Final = FACT_INDEX["reverse_s"]
STRANGER: Final = FACT_INDEX["stranger_to_bank"]
TAINT: Final = FACT_INDEX["payer_taint"]
IN_24H: Final = FACT_INDEX["payer_in_fen_24h"]
PAYEE_TAINT: Final = FACT_INDEX["payee_taint"]
PAYEE_SEEN: Final = FACT_INDEX["payee_seen_s"]
PAYEE_IN_24H: Final = FACT_INDEX["payee_in_fen_24h"]
PAYEE_PAYERS: Final = FACT_INDEX["payee_payers_ever"]
PAYEE_AGE: Final = FACT_INDEX["payee_age_s"]
PAYER_PAYERS: Final = FACT_INDEX["payer_payers_ever"]
PAYER_NEW_PAYERS: Final = FACT_INDEX["payer_new_payers_24h"]
PAYEE_NEW_PAYERS: Final = FACT_INDEX["payee_new_payers_24h"]

_PAYERS_SLOPE: Final = (1.0 - ESTABLISHED) / log(MANY_PAYERS / FEW_PAYERS)
_TAINT_SLOPE: Final = 0.5 / log(101.0)
_SIZE_SLOPE: Final = (1.0 - SMALLEST_DEGREE) / log(LARGE_FEN / SMALL_FEN)


def is_new(f: Facts) -> bool:
    """Return whether this is the first payment of the pair, as far as profile and bank know."""
    return f[PAIR_AGE] < 0 and f[STRANGER] >= 0


def freshness(f: Facts) -> float:
    """Return 1 for the first payment of strangers, less on a pair's first day, least for old acquaintances."""
    if f[STRANGER] < 0 or f[PAIR_AGE] >= DAY_S or f[REVERSE] >= ACQUAINTED_S:
        return OLD_PAIR
    return 1.0 if f[PAIR_AGE] < 0 else RECENT_PAIR


def size_degree(f: Facts) -> float:
    """Return how much the amount matters, `SMALLEST_DEGREE` to 1."""
    fen = f[AMOUNT]
    if fen >= LARGE_FEN:
        return 1.0
    return SMALLEST_DEGREE if fen <= SMALL_FEN else SMALLEST_DEGREE + _SIZE_SLOPE * log(fen / SMALL_FEN)


def payee_degree(f: Facts) -> float:
    """Return 1 for a payee with few payers in its life, `ESTABLISHED` for one with many."""
    return _established(f[PAYEE_PAYERS])


def payer_degree(f: Facts) -> float:
    """Return 1 for a payer with few payers in its life, `ESTABLISHED` for one with many."""
    return _established(f[PAYER_PAYERS])


def _established(payers: float) -> float:
    if payers <= FEW_PAYERS:
        return 1.0
    return ESTABLISHED if payers >= MANY_PAYERS else 1.0 - _PAYERS_SLOPE * log(payers / FEW_PAYERS)


def strange_money(f: Facts) -> float:
    """Return how strange the payer's latest money is: `KNOWN_MONEY`, `CLEAN_MONEY`, or up to 1 with its taint.

    Wages passed on are no sign at all; a stranger's money that came in without
    any suspicion (a house sold, a loan) is less of one than a victim's.
    """
    if f[PAYER_NEW_PAYERS] <= 0:
        return KNOWN_MONEY
    return CLEAN_MONEY + (1.0 - CLEAN_MONEY) * min(f[TAINT] / FULL_TAINT, 1.0)


def taint_degree(share: float) -> float:
    """Return 0 to 1: even a slight suspicion is rare (0.3 for a share of 0.1), and much of it says most (0.7 for 0.5).

    >>> taint_degree(0.0), round(taint_degree(1.0), 6)
    (0.0, 1.0)
    """
    return 0.5 * share + log(1.0 + 100.0 * share) * _TAINT_SLOPE


def climb(value: float, start: float, full: float) -> float:
    """Return 0.5 at ``start``, rising to 1 at ``full`` and beyond."""
    return 1.0 if value >= full else 0.5 + 0.5 * (value - start) / (full - start)


def surprise(count: float, ever: float, seen_s: float) -> float:
    """Return how unusual ``count`` new counterparties in a day are for an account that met ``ever`` in its life.

    The log-likelihood ratio of a Poisson count against the account's own daily
    rate, with one counterparty in two days as what is expected of an unknown
    account. A shop that meets ten new customers every day is never surprising.
    """
    rate = (max(ever - count, 0.0) + 1.0) / (seen_s / DAY_S + 2.0)
    return count * log(count / rate) - (count - rate) if count > rate else 0.0
