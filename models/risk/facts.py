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
from models.risk.profile import AccountProfile, Habit
from models.risk.recent import Recent
from models.risk.windows import DAY_S, HOUR_S, window_cuts, window_totals

NOT_KNOWN: Final = -1

POOL_KEPT: Final = 6
"""A debit is matched against pools of the last 1 to 6 credits."""

POOL_AGE_S: Final = DAY_S
"""Credits older than this are in no pool (82 % of real hops come within a day)."""

MATCH_WIDTH: Final = 0.12
"""Fit falls to 1/e at this logarithmic distance (44 % of real hops forward within 12 %)."""

ALIKE_PART: Final = 50
"""Amounts within one fiftieth (2 %) of each other are alike (ours)."""

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
    credits, debits, paid, balance_fen = profile.credits, profile.debits, profile.paid, transfer.payer_balance_after_fen
    in_s, out_s = credits.latest_s(), debits.latest_s()
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
        *_account_facts(profile, transfer.payer_opened_us, at_us, now_s, in_s, out_s),
        credits.latest_fen(),
        *(best_pool(credits, debits, fen, now_s) if in_s >= max(now_s - POOL_AGE_S, 0) else (0.0, 0, NOT_KNOWN)),
        z_score(paid, profile.outflow.count, fen),
        paid.max_fen,
        NOT_KNOWN if balance_fen is None else max(balance_fen, 0),
        *_pair_facts(profile, peer, fen, now_s, out_s),
    )


def payee_facts(profile: AccountProfile, transfer: Transfer, lists: AccountLists) -> Facts:
    """Return the facts of `PAYEE_FACTS`; ``lists`` is what verdicts have proven so far of both accounts."""
    at_us, fen, balance_fen = transfer.occurred_us, transfer.amount_fen, transfer.payee_balance_after_fen
    now_s = max(at_us, profile.latest_us) // 1_000_000
    before_fen = profile.balance_fen if balance_fen is None else balance_fen - fen
    credits, received, day_s = profile.credits, profile.received, now_s - DAY_S
    in_s = credits.latest_s()
    return (
        *_account_facts(profile, transfer.payee_opened_us, at_us, now_s, in_s, profile.debits.latest_s()),
        z_score(received, profile.inflow.count, fen),
        received.max_fen,
        NOT_KNOWN if before_fen is None else max(before_fen, 0),
        _alike_since(credits, fen, day_s) if in_s >= day_s else 0,
        lists.payer_proven_paid,
        lists.payer_proven_received,
        lists.payee_proven_paid,
        lists.payee_proven_received,
    )


def _account_facts(  # noqa: PLR0917 - called twice for every transfer, where keywords cost
    profile: AccountProfile, opened_us: int | None, at_us: int, now_s: int, in_s: int, out_s: int
) -> Facts:
    """Return the facts of one side; ``in_s`` and ``out_s`` are the seconds of its latest credit and debit, or -1."""
    cuts = window_cuts(now_s)
    opened_us = opened_us or profile.opened_us
    first_us = profile.first_us or at_us
    born_us = opened_us or first_us
    return (
        *window_totals(profile.inflow, cuts),
        *window_totals(profile.outflow, cuts),
        *circle(profile.payers, now_s),
        *circle(profile.payees, now_s),
        now_s - in_s if in_s >= 0 else NOT_KNOWN,
        now_s - out_s if out_s >= 0 else NOT_KNOWN,
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


def _alike_since(recent: Recent, fen: int, since_s: int) -> int:
    """Return how many remembered events since then had about this amount."""
    at_s, _, fens = recent.columns()
    return alike(fens[bisect_left(at_s, since_s) :], fen)


def alike(fens: tuple[int, ...], fen: int) -> int:
    """Return how many of a few amounts are about the same as one."""
    width = fen // ALIKE_PART
    low, high, number = fen - width, fen + width, 0
    for other in fens:  # a dozen at most: a comprehension would cost more than it saves
        if low <= other <= high:
            number += 1
    return number


def best_pool(credits: Recent, debits: Recent, fen: int, now_s: int) -> tuple[float, int, int]:
    """Return fit (0-1), number of credits and age of the oldest, of the pool this debit completes best.

    A pool is the last ``k`` credits within `POOL_AGE_S`; what has been paid since
    its oldest credit, with this debit, is held against their sum. So one amount
    passed on, several pooled into one and one split into several all fit. At least
    the latest credit is no older than that.
    """
    since_s, best, best_index = now_s - POOL_AGE_S, 0.0, NOT_KNOWN
    times, _, fens = credits.columns()
    paid_s, _, paid_fens = debits.columns()
    paid_fen, received_fen, later = fen, 0, len(paid_s)
    first = len(times) - 1
    for index in range(first, max(first - POOL_KEPT, -1), -1):
        at_s = times[index]
        if at_s < since_s:
            break
        received_fen += fens[index]
        while later and paid_s[later - 1] >= at_s:
            later -= 1
            paid_fen += paid_fens[later]
        ratio = paid_fen / received_fen
        closeness = ratio if ratio < 1.0 else 1.0 / ratio
        if closeness > best:
            best, best_index = closeness, index
    return exp(log(best) / MATCH_WIDTH), first + 1 - best_index, now_s - times[best_index]


def _pair_facts(profile: AccountProfile, peer: int, fen: int, now_s: int, latest_s: int) -> Facts:
    """Return the age of the pair, when money last came the other way, and the latest debits beside this one."""
    payers, debits = profile.payers, profile.debits
    first_s = first_contact_s(profile.payees, peer)
    met_s = last_contact_s(payers, peer) if payers.contacts else NOT_KNOWN
    paid_n = paid_fen = least_fen = alike_n = 0
    if debits.events and (first_s > 0 or latest_s >= now_s - DAY_S):
        at_s, peers, fens = debits.columns()
        if first_s > 0 and peer in peers:
            paid_n = peers[bisect_left(at_s, now_s - WORKING_DAYS_S) :].count(peer)
            paid_fen = fens[len(peers) - 1 - peers[::-1].index(peer)]
        if latest_s >= now_s - DAY_S:
            alike_n = alike(fens[bisect_left(at_s, now_s - DAY_S) :], fen)
        if latest_s >= now_s - HOUR_S:
            least_fen = min(fens[bisect_left(at_s, now_s - HOUR_S) :])
    return (
        NOT_KNOWN if first_s < 0 else now_s - first_s,
        NOT_KNOWN if met_s < 0 else now_s - met_s,
        paid_n,
        _contacts_since(profile.credits, peer, now_s - WORKING_DAYS_S) if met_s > 0 else 0,
        paid_fen,
        least_fen,
        alike_n,
    )


def _contacts_since(recent: Recent, peer: int, since_s: int) -> int:
    """Return how many of the remembered events since then were with this peer."""
    at_s, peers, _ = recent.columns()
    return peers[bisect_left(at_s, since_s) :].count(peer)
