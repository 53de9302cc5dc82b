"""Rules of the whole account: does all that is known of it say "for hire"? They are what a stop may rest on.

One scorecard weighs some thirty facts of both accounts together, also those that
speak for innocence, which single rules cannot. C01 says it of the payee; C02 of
the payer, where the money leaves to somebody who takes payments from everybody.
Who keeps money of its own is less likely for hire: a dealer, a private seller, a
firm may be paid by a mule, but most of what it has was there before.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

from models.risk.facts import FACT_INDEX, Facts
from models.risk.rules import sections as s
from models.risk.rules.common import (
    AMOUNT,
    DAY_S,
    IN_24H,
    PAYEE_AGE,
    PAYEE_IN_24H,
    PAYEE_NEW_PAYERS,
    PAYEE_PAYERS,
    PAYEE_SEEN,
    PAYEE_TAINT,
    PAYER_NEW_PAYERS,
    PAYER_PAYERS,
    REVERSE,
    TAINT,
    is_new,
)

INTERCEPT: Final = -3.8
"""Log-odds of fraud of a payment worth a stop between accounts of which nothing else is known.

This and all weights below are ours: a logistic regression on 14 simulated days of 10,000 people
(seeds 3-16; frauds weighed by the logarithm of the sum), rounded; those of own money and of a late
opening on the first hours of 99 default worlds (seeds 3-30 and 201-271), the latter less in the end, by what
the closed loop stops (seeds 601-680). The open set played no part."""

STAKE_FEN: Final = 1_000_000
"""The sum at which the threshold holds as it stands."""

NEW_FOR_S: Final = 2 * DAY_S
YOUNG_FOR_S: Final = 30 * DAY_S
"""A told opening so long ago says 1/e of what one of today does (ours)."""

LEAST_INFLOW_FEN: Final = 10_000
"""Least income of a day that a payer's own money is held against (ours)."""

REPEAT_LIMIT: Final = 1.5
_FULL_TAINT: Final = log(101.0)

_BALANCE, _MAX = FACT_INDEX["payer_balance_fen"], FACT_INDEX["payer_max_fen"]
_LAST_PAIR = FACT_INDEX["last_pair_fen"]
_IN_CALL, _DEVICE, _CASH = (FACT_INDEX[name] for name in ("in_call", "device_changed", "cash_channel"))
_PAYERS_24H, _QUICK, _SINCE_IN = (FACT_INDEX[f"payer_{name}"] for name in ("payers_24h", "quick", "since_in_s"))
_OUT_24H, _P_OUT_24H = FACT_INDEX["payer_out_fen_24h"], FACT_INDEX["payee_out_fen_24h"]
_IN_N_1H, _PAYERS_1H = FACT_INDEX["payer_in_n_1h"], FACT_INDEX["payer_payers_1h"]
_P_PAYERS_24H, _P_QUICK, _P_SINCE_IN = (FACT_INDEX[f"payee_{name}"] for name in ("payers_24h", "quick", "since_in_s"))
_P_IN_N_1H, _P_PAYERS_1H, _P_IN_1H = (FACT_INDEX[f"payee_{name}"] for name in ("in_n_1h", "payers_1h", "in_fen_1h"))
_P_PAYEES, _P_PROVEN = FACT_INDEX["payee_payees_ever"], FACT_INDEX["payee_proven_received"]
_P_BALANCE, _P_OPENED = FACT_INDEX["payee_balance_fen"], FACT_INDEX["payee_opening_told"]


def for_hire(f: Facts, c: s.ForHire) -> float:
    """Fire when all that is known of both accounts together says that the payee is an account for hire.

    Never for whom `takes_from_anybody` names, nor for money that goes back to somebody who paid it before (a
    refund, a victim's bait).
    """
    if f[AMOUNT] < c.from_fen or f[REVERSE] >= 0 or takes_from_anybody(f, c.acceptor, c.keeps):
        return 0.0
    return c.weight if stop_score(f, c.stake) >= c.score else 0.0


def leaves(f: Facts, c: s.Leaves) -> float:
    """Fire when suspected money of today leaves an account for hire to somebody who takes it from anybody.

    That is said by the payer's own part of the card: whom it pays tells nothing of it.
    """
    if f[AMOUNT] < c.from_fen or f[TAINT] < c.taint or not 0 <= f[_SINCE_IN] <= c.within_s:
        return 0.0
    if is_acceptor_side(f[PAYER_PAYERS], f[PAYER_NEW_PAYERS], c.acceptor) or payer_float(f) >= log(1.0 + c.keeps):
        return 0.0
    return c.weight if payer_part(f) >= c.score and takes_from_anybody(f, c.acceptor, c.keeps) else 0.0


def takes_from_anybody(f: Facts, payers: float, keeps: float) -> bool:
    """Return whether the payee trades rather than passes on: an acceptor, or ``keeps`` times today's income its own."""
    return is_acceptor(f, payers) or payee_float(f) >= log(1.0 + keeps)


def is_acceptor(f: Facts, payers: float) -> bool:
    """Return whether the payee takes payments from everybody: a cash channel, or many payers before today."""
    return f[_CASH] > 0 or is_acceptor_side(f[PAYEE_PAYERS], f[PAYEE_NEW_PAYERS], payers)


def is_acceptor_side(ever: float, new: float, payers: float) -> bool:
    """Return whether an account had so many payers before today."""
    return ever - new >= payers


def stop_score(f: Facts, stake: float) -> float:
    """Return the card's log-odds, with ``stake`` for each factor e of the sum: small sums need more certainty."""
    return INTERCEPT + payer_part(f) + payee_part(f) + pair_part(f) + stake * log(f[AMOUNT] / STAKE_FEN)


def payer_part(f: Facts) -> float:
    """Return what the payer's life says: paid repeatedly by few, passes on at once, taken in under suspicion."""
    return (
        3.6 * _repeats(f[_IN_N_1H], f[_PAYERS_1H])
        - 1.6 * log(1.0 + f[PAYER_PAYERS])
        - 1.5 * log(1.0 + f[_PAYERS_24H])
        + 1.6 * log(1.0 + f[_IN_N_1H])
        + 1.0 * log(1.0 + f[PAYER_NEW_PAYERS])
        + 3.0 * f[_QUICK]
        + 3.5 * _stain(f[TAINT])
        + 1.5 * _fades(f[_SINCE_IN], 1_800)
        - 0.25 * _stain(f[TAINT]) * payer_float(f)
    )


def payee_part(f: Facts) -> float:
    """Return what the payee's life says, before this credit."""
    return (
        1.1 * _repeats(f[_P_IN_N_1H], f[_P_PAYERS_1H])
        - 2.0 * log(1.0 + f[PAYEE_PAYERS])
        - 0.75 * log(1.0 + f[_P_PAYEES])
        - 1.2 * log(1.0 + f[_P_PAYERS_24H])
        + 1.8 * log(1.0 + f[_P_IN_N_1H])
        + 2.0 * log(1.0 + f[PAYEE_NEW_PAYERS])
        + 7.0 * f[_P_QUICK]
        + 2.4 * _stain(f[PAYEE_TAINT])
        + 0.65 * _climbs(f[_P_IN_1H], 100_000.0, 4.0)
        + 1.3 * exp(-f[PAYEE_SEEN] / NEW_FOR_S)
        + 1.3 * _fades(f[_P_SINCE_IN], 600)
        + (2.0 * exp(-f[PAYEE_AGE] / YOUNG_FOR_S) if f[_P_OPENED] else 0.0)
        - 0.85 * payee_float(f)
        + (4.0 if f[_P_PROVEN] > 0 else 0.0)
    )


def pair_part(f: Facts) -> float:
    """Return what the payment itself says: of strangers, or ever more to a payee of late."""
    fen, before = f[AMOUNT], f[_LAST_PAIR]
    grown = 2.4 * _climbs(fen, before, 3.0) if before > 0 else 0.0
    if not is_new(f):
        return grown
    return (
        grown
        + (0.45 * _climbs(fen, f[_MAX], 3.0) if f[_MAX] > 0 else 0.0)
        + (2.1 if f[_IN_CALL] > 0 else 0.0)
        + (1.2 if f[_DEVICE] > 0 else 0.0)
        + 1.65 * _share_of(fen, f[_BALANCE]) ** 2
        + 2.25 * _share_of(fen, f[_P_BALANCE])
    )


def payee_float(f: Facts) -> float:
    """Return the payee's own money against what comes in today: for hire is who has little else."""
    return _float(f[_P_BALANCE], f[PAYEE_IN_24H], f[_P_OUT_24H], f[AMOUNT])


def payer_float(f: Facts) -> float:
    """Return the payer's own money against its income of today: who has much need not be passing that on."""
    before = f[_BALANCE] + f[AMOUNT] if f[_BALANCE] >= 0 else f[_BALANCE]
    return _float(before, f[IN_24H], f[_OUT_24H], LEAST_INFLOW_FEN)


def _float(balance_fen: float, in_fen: float, out_fen: float, more_fen: float) -> float:
    """Return log 2 if as much was there a day ago as came in since, log 11 if ten times; 0 if nothing, or not told."""
    own_fen = balance_fen - in_fen + out_fen
    return log(1.0 + own_fen / (in_fen + more_fen)) if balance_fen >= 0 and own_fen > 0 else 0.0


def _repeats(credits: float, payers: float) -> float:
    """Return 0 if each credit of the hour came from another account, more the more often the same ones paid."""
    return min(log((1.0 + credits) / (1.0 + min(payers, credits))), REPEAT_LIMIT)


def _stain(share: float) -> float:
    """Return 0 to 1 for a suspected share, rising fast at first."""
    return log(1.0 + 100.0 * share) / _FULL_TAINT


def _fades(age_s: float, over_s: float) -> float:
    """Return 1 for just now, 1/e after ``over_s``, 0 for never."""
    return exp(-age_s / over_s) if age_s >= 0 else 0.0


def _climbs(fen: float, start_fen: float, full: float) -> float:
    """Return 0 up to ``start_fen``, 1 from ``exp(full)`` times as much on."""
    return min(log(fen / start_fen) / full, 1.0) if fen > start_fen else 0.0


def _share_of(fen: float, balance_fen: float) -> float:
    """Return the part a sum makes up of a balance that it came to or went from; 0 if no balance was told."""
    return fen / (fen + balance_fen) if balance_fen >= 0 else 0.0
