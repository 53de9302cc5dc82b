"""Facts: the plain numbers behind features and rules, as the profiles know them.

Counts, fen, seconds and shares, taken before the transfer is counted. `NOT_KNOWN`
(-1) stands for "never" and "not told". The payer's facts travel to the payee's
side in `DebitView.features`; rules read facts, detectors read features.
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, log, log1p, sqrt
from typing import Final
from zlib import crc32

from models.money.types import Transfer
from models.risk.assessment import AccountLists
from models.risk.peers import circle, first_contact_s, last_contact_s
from models.risk.profile import AccountProfile, Habit, Recent
from models.risk.windows import DAY_S, HOUR_S, window_cuts, window_totals

NOT_KNOWN: Final = -1

POOL_KEPT: Final = 6
"""A debit is matched against pools of the last 1 to 6 credits."""

POOL_AGE_S: Final = DAY_S
"""Credits older than this are in no pool (82 % of real hops come within a day)."""

MATCH_WIDTH: Final = 0.12
"""Fit falls to 1/e at this logarithmic distance (44 % of real hops forward within 12 %)."""

ALIKE: Final = 0.02
"""Amounts within this share of each other are alike (ours)."""

Z_LIMIT: Final = 6.0
Z_FLOOR: Final = 0.25
"""Added to the deviation of ``log1p(fen)``, so that equal amounts make no habit of zero width (ours)."""

WORKING_DAYS_S: Final = 7 * DAY_S
"""Five working days are seven days of the calendar (rules 3006-3008)."""

CASH_CHANNELS: Final = frozenset(
    {"ATM", "CASH", "CASHOUT", "CASH_OUT", "CASH-OUT", "WITHDRAWAL", "CRYPTO", "OTC", "USDT", "GOLD", "TOPUP"}
)
"""Channels where money leaves the accounts: cash, goods that are cash, crypto (`docs/sources.md#mule-signs`)."""

_ACCOUNT: Final = (
    *(
        f"{way}_{what}_{window}"
        for way in ("in", "out")
        for window in ("1m", "10m", "1h", "24h", "7d")
        for what in ("n", "fen")
    ),
    *("payers_1h", "payers_24h", "payers_7d", "new_payers_24h", "payers_ever"),
    *("payees_1h", "payees_24h", "payees_7d", "new_payees_24h", "payees_ever"),
    *("since_in_s", "since_out_s", "age_s", "opening_told", "seen_s", "quick", "taint"),
)

PAYER_FACTS: Final = (
    *("amount_fen", "day_second", "same_bank", "cash_channel", "in_call", "stranger_to_bank", "device_changed"),
    *(f"payer_{name}" for name in _ACCOUNT),
    *("last_in_fen", "match", "match_n", "match_s", "payer_z", "payer_max_fen", "payer_balance_fen"),
    *("pair_age_s", "reverse_s", "pair_out_5d", "pair_in_5d", "last_pair_fen", "least_1h_fen", "alike_out"),
)

PAYEE_FACTS: Final = (
    *(f"payee_{name}" for name in _ACCOUNT),
    *("payee_z", "payee_max_fen", "payee_balance_fen", "alike_in"),
    *("payer_proven_paid", "payer_proven_received", "payee_proven_paid", "payee_proven_received"),
)

FACTS: Final = PAYER_FACTS + PAYEE_FACTS
FACT_INDEX: Final = {name: index for index, name in enumerate(FACTS)}

SHANGHAI_S: Final = 8 * HOUR_S
"""China has one zone, UTC+8, and no daylight saving since 1991."""

Facts = tuple[float, ...]


def payer_facts(profile: AccountProfile, transfer: Transfer, peer: int) -> Facts:
    """Return the facts of `PAYER_FACTS`; ``peer`` is the payee's `peer_hash`."""
    at_us, fen = transfer.occurred_us, transfer.amount_fen
    now_s = max(at_us, profile.latest_us) // 1_000_000
    told, channel, device = transfer.payee_known, transfer.channel, transfer.device_id
    credits, paid, balance_fen = profile.credits, profile.paid, transfer.payer_balance_after_fen
    if balance_fen is None and profile.balance_fen is not None:
        balance_fen = profile.balance_fen - fen
    return (
        fen,
        (at_us // 1_000_000 + SHANGHAI_S) % DAY_S,
        1 if transfer.payer_bank == transfer.payee_bank else 0,
        1 if channel and channel.upper() in CASH_CHANNELS else 0,
        0 if transfer.in_call is None else (1 if transfer.in_call else -1),
        0 if told is None else (-1 if told else 1),
        _device_changed(profile.device, device) if device else 0,
        *_account_facts(profile, transfer.payer_opened_us, at_us, now_s),
        credits.fens[-1] if credits.fens else 0,
        *(best_pool(credits, profile.debits, fen, now_s) if credits.fens else (0.0, 0, NOT_KNOWN)),
        z_score(paid, profile.outflow.count, fen),
        paid.max_fen,
        NOT_KNOWN if balance_fen is None else max(balance_fen, 0),
        *_pair_facts(profile, peer, fen, now_s),
    )


def payee_facts(profile: AccountProfile, transfer: Transfer, lists: AccountLists) -> Facts:
    """Return the facts of `PAYEE_FACTS`; ``lists`` is what verdicts have proven so far of both accounts."""
    at_us, fen, balance_fen = transfer.occurred_us, transfer.amount_fen, transfer.payee_balance_after_fen
    now_s = max(at_us, profile.latest_us) // 1_000_000
    before_fen = profile.balance_fen if balance_fen is None else balance_fen - fen
    credits, received = profile.credits, profile.received
    return (
        *_account_facts(profile, transfer.payee_opened_us, at_us, now_s),
        z_score(received, profile.inflow.count, fen),
        received.max_fen,
        NOT_KNOWN if before_fen is None else max(before_fen, 0),
        alike(credits, fen, now_s - DAY_S) if credits.fens else 0,
        lists.payer_proven_paid,
        lists.payer_proven_received,
        lists.payee_proven_paid,
        lists.payee_proven_received,
    )


def _account_facts(profile: AccountProfile, opened_us: int | None, at_us: int, now_s: int) -> Facts:
    cuts = window_cuts(now_s)
    in_s, out_s = profile.credits.at_s, profile.debits.at_s
    opened_us = opened_us or profile.opened_us
    first_us = profile.first_us or at_us
    born_us = opened_us or first_us
    return (
        *window_totals(profile.inflow, cuts),
        *window_totals(profile.outflow, cuts),
        *circle(profile.payers, now_s),
        *circle(profile.payees, now_s),
        now_s - in_s[-1] if in_s else NOT_KNOWN,
        now_s - out_s[-1] if out_s else NOT_KNOWN,
        (at_us - born_us) // 1_000_000 if at_us > born_us else 0,
        1 if opened_us else 0,
        (at_us - first_us) // 1_000_000 if at_us > first_us else 0,
        profile.quick,
        profile.taint,
    )


def _device_changed(known: int, device_id: str) -> int:
    if not known:
        return 0
    return -1 if crc32(device_id.encode()) == known else 1


def z_score(habit: Habit, seen: int, fen: int) -> float:
    """Return the amount's distance from the habit in standard deviations, 0 before the fourth amount."""
    if seen < 3:
        return 0.0
    z = (log1p(fen) - habit.mean) / (sqrt(habit.variance) + Z_FLOOR)
    return z if -Z_LIMIT < z < Z_LIMIT else (Z_LIMIT if z > 0 else -Z_LIMIT)


def alike(recent: Recent, fen: int, since_s: int) -> int:
    """Return how many remembered events since then had about this amount."""
    at_s = recent.at_s
    if not at_s or at_s[-1] < since_s:
        return 0
    width = fen * ALIKE
    low, high = fen - width, fen + width
    return len([1 for other in recent.fens[bisect_left(at_s, since_s) :] if low <= other <= high])


def best_pool(credits: Recent, debits: Recent, fen: int, now_s: int) -> tuple[float, int, int]:
    """Return fit (0-1), number of credits and age of the oldest, of the pool this debit completes best.

    A pool is the last ``k`` credits within `POOL_AGE_S`; what has been paid since
    its oldest credit, with this debit, is held against their sum. So one amount
    passed on, several pooled into one and one split into several all fit.
    """
    times, fens = credits.at_s, credits.fens
    since_s, best, best_index = now_s - POOL_AGE_S, 0.0, NOT_KNOWN
    paid_fen, received_fen, later = fen, 0, len(debits.at_s)
    first = len(times) - 1
    for index in range(first, max(first - POOL_KEPT, -1), -1):
        at_s = times[index]
        if at_s < since_s:
            break
        received_fen += fens[index]
        while later and debits.at_s[later - 1] >= at_s:
            later -= 1
            paid_fen += debits.fens[later]
        ratio = paid_fen / received_fen
        closeness = ratio if ratio < 1.0 else 1.0 / ratio
        if closeness > best:
            best, best_index = closeness, index
    if best_index < 0:
        return 0.0, 0, NOT_KNOWN
    return exp(log(best) / MATCH_WIDTH), first + 1 - best_index, now_s - times[best_index]


def _pair_facts(profile: AccountProfile, peer: int, fen: int, now_s: int) -> Facts:
    """Return the age of the pair, when money last came the other way, and the latest debits beside this one."""
    payers, debits = profile.payers, profile.debits
    first_s = first_contact_s(profile.payees, peer)
    met_s = last_contact_s(payers, peer) if payers.hashes else NOT_KNOWN
    paid_lately = first_s > 0 and peer in debits.peers
    return (
        NOT_KNOWN if first_s < 0 else now_s - first_s,
        NOT_KNOWN if met_s < 0 else now_s - met_s,
        _contacts_since(debits, peer, now_s - WORKING_DAYS_S) if paid_lately else 0,
        _contacts_since(profile.credits, peer, now_s - WORKING_DAYS_S) if met_s > 0 else 0,
        _last_pair_fen(debits, peer) if paid_lately else 0,
        _least_since(debits, now_s - HOUR_S),
        alike(debits, fen, now_s - DAY_S),
    )


def _contacts_since(recent: Recent, peer: int, since_s: int) -> int:
    """Return how many of the remembered events since then were with this peer."""
    return recent.peers[bisect_left(recent.at_s, since_s) :].count(peer)


def _last_pair_fen(debits: Recent, peer: int) -> int:
    latest = len(debits.peers) - 1 - debits.peers[::-1].index(peer)
    return debits.fens[latest]


def _least_since(debits: Recent, since_s: int) -> int:
    at_s = debits.at_s
    if not at_s or at_s[-1] < since_s:
        return 0
    return min(debits.fens[bisect_left(at_s, since_s) :])
