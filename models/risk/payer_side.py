"""Features that the payer's profile knows, made before the transfer is counted."""

from __future__ import annotations

from bisect import bisect_left
from math import cos, exp, log, log1p, pi, sin, sqrt
from typing import Final
from zlib import crc32

from models.money.types import Transfer
from models.risk.features import NEVER_S, RATIO_LIMIT, Z_LIMIT
from models.risk.peers import distinct_since, first_contact_s, new_since, peer_hash
from models.risk.profile import AccountProfile, Habit, Recent
from models.risk.windows import DAY_S, HOUR_S, MINUTE_S, WEEK_S, window_totals

SHANGHAI_S: Final = 8 * HOUR_S
"""China has one zone, UTC+8, and no daylight saving since 1991."""

NIGHT_END_S: Final = 5 * HOUR_S
"""Night is 00:00-05:00 (a vendor's rule, domain.md 3.1; no regulator gives hours)."""

POOL_KEPT: Final = 6
"""A debit is matched against pools of the last 1 to 6 credits."""

MATCH_WIDTH: Final = 0.12
"""Fit falls to 1/e at this logarithmic distance (44 % of real hops forward within 12 %)."""

ALIKE: Final = 0.02
CASH_CHANNELS: Final = frozenset(
    {"ATM", "CASH", "CASHOUT", "CASH_OUT", "CASH-OUT", "WITHDRAWAL", "CRYPTO", "OTC", "USDT", "GOLD", "TOPUP"}
)

LOG_COUNT: Final = tuple(log1p(count) for count in range(1024))
DAY_CURVE: Final = tuple((sin(2 * pi * m / 1440), cos(2 * pi * m / 1440)) for m in range(1440))


def n(count: int) -> float:
    """Return ``log1p(count)``.

    >>> n(0)
    0.0
    """
    return LOG_COUNT[count] if count < 1024 else log1p(count)


def yuan(fen: int) -> float:
    """Return ``log1p`` of the amount in yuan."""
    return log1p(fen * 0.01)


def ln_ratio(above: float, below: float) -> float:
    """Return the logarithm of a ratio within +-`RATIO_LIMIT`, 0 if a part is nothing."""
    if above <= 0 or below <= 0:
        return 0.0
    value = log(above / below)
    return value if -RATIO_LIMIT < value < RATIO_LIMIT else (RATIO_LIMIT if value > 0 else -RATIO_LIMIT)


def since(now_s: int, at_s: int) -> float:
    """Return ``log1p`` of the seconds from ``at_s`` to the clock, `NEVER_S` for 0 (never)."""
    return log1p(max(now_s - at_s, 0)) if at_s else NEVER_S


def z_score(habit: Habit, seen: int, fen: int) -> float:
    """Return the amount's distance from the habit in standard deviations, 0 before the third amount."""
    if seen < 3:
        return 0.0
    z = (log1p(fen) - habit.mean) / (sqrt(habit.variance) + 0.25)
    return z if -Z_LIMIT < z < Z_LIMIT else (Z_LIMIT if z > 0 else -Z_LIMIT)


def alike(recent: Recent, fen: int, since_s: int) -> int:
    """Return how many remembered events since then had about this amount."""
    fens = recent.fens[bisect_left(recent.at_s, since_s) :]
    width = fen * ALIKE
    return sum(1 for other in fens if -width <= other - fen <= width) if fens else 0


def last_s(recent: Recent) -> int:
    """Return the second of the latest event, 0 if none."""
    return recent.at_s[-1] if recent.at_s else 0


def taint_share(profile: AccountProfile, now_s: int, received_24h_fen: int) -> float:
    """Return the suspected part of the money received of late, 0 to 1."""
    taint = profile.taint_at(now_s)
    return min(taint / max(received_24h_fen, taint), 1.0) if taint > 1.0 else 0.0


def debit_features(profile: AccountProfile, transfer: Transfer) -> tuple[float, ...]:
    """Return the payer's half of the features, in the order of `DEBIT_FEATURES`."""
    at_us = transfer.occurred_us
    now_s = max(at_us, profile.latest_us) // 1_000_000
    fen = transfer.amount_fen
    inflow = window_totals(profile.inflow, now_s)
    outflow = window_totals(profile.outflow, now_s)
    peer = peer_hash(transfer.payee_bank, transfer.payee_account)
    return (
        *_transfer_part(profile, transfer),
        *_volume_part(inflow, outflow),
        *_people_part(profile, now_s),
        *_time_part(profile, transfer.payer_opened_us or 0, at_us, now_s),
        *_flow_part(profile, inflow, outflow, fen, now_s),
        profile.quick,
        taint_share(profile, now_s, inflow[7]),
        z_score(profile.paid, profile.outflow.count, fen),
        ln_ratio(fen, profile.paid.max_fen),
        _emptied(profile, transfer),
        *_pair_part(profile, peer, fen, now_s),
    )


def _transfer_part(profile: AccountProfile, transfer: Transfer) -> tuple[float, ...]:
    fen = transfer.amount_fen
    second = (transfer.occurred_us // 1_000_000 + SHANGHAI_S) % DAY_S
    sine, cosine = DAY_CURVE[second // MINUTE_S]
    return (
        yuan(fen),
        sine,
        cosine,
        1.0 if second < NIGHT_END_S else 0.0,
        0.0 if fen % 10_000 else (0.5 if fen % 100_000 else 1.0),
        1.0 if transfer.payer_bank == transfer.payee_bank else 0.0,
        1.0 if transfer.channel and transfer.channel.upper() in CASH_CHANNELS else 0.0,
        _tri(transfer.in_call),
        -_tri(transfer.payee_known),
        _device_changed(profile, transfer.device_id),
    )


def _tri(told: bool | None) -> float:
    return 0.0 if told is None else (1.0 if told else -1.0)


def _device_changed(profile: AccountProfile, device_id: str) -> float:
    if not device_id or not profile.device:
        return 0.0
    return -1.0 if crc32(device_id.encode()) == profile.device else 1.0


def _volume_part(inflow: tuple[int, ...], outflow: tuple[int, ...]) -> tuple[float, ...]:
    return (
        n(inflow[2]),
        n(inflow[4]),
        n(inflow[6]),
        n(inflow[8]),
        yuan(inflow[3]),
        yuan(inflow[5]),
        yuan(inflow[7]),
        yuan(inflow[9]),
        n(outflow[0]),
        n(outflow[2]),
        n(outflow[4]),
        n(outflow[6]),
        n(outflow[8]),
        yuan(outflow[5]),
        yuan(outflow[7]),
        yuan(outflow[9]),
    )


def _people_part(profile: AccountProfile, now_s: int) -> tuple[float, ...]:
    payers, payees = profile.payers, profile.payees
    day, week = now_s - DAY_S, now_s - WEEK_S
    return (
        n(distinct_since(payers, day)),
        n(distinct_since(payers, week)),
        n(payers.ever),
        n(distinct_since(payees, day)),
        n(distinct_since(payees, week)),
        n(payees.ever),
        n(new_since(payees, day)),
        n(new_since(payers, day)),
    )


def _time_part(profile: AccountProfile, opened_us: int, at_us: int, now_s: int) -> tuple[float, ...]:
    in_s, out_s = last_s(profile.credits), last_s(profile.debits)
    return (since(now_s, in_s), since(now_s, out_s), since(now_s, max(in_s, out_s)), age(profile, opened_us, at_us))


def age(profile: AccountProfile, opened_us: int, at_us: int) -> float:
    """Return ``log1p`` of the account's age in seconds: since opening if a bank told it, else since first seen."""
    born_us = opened_us or profile.opened_us or profile.first_us
    return log1p(max(at_us - born_us, 0) // 1_000_000) if born_us else 0.0


def _flow_part(
    profile: AccountProfile, inflow: tuple[int, ...], outflow: tuple[int, ...], fen: int, now_s: int
) -> tuple[float, ...]:
    credits = profile.credits
    match, pool, oldest_s = best_pool(credits, profile.debits, fen, now_s)
    return (
        ln_ratio(outflow[3] + fen, inflow[3]),
        ln_ratio(outflow[5] + fen, inflow[5]),
        ln_ratio(outflow[7] + fen, inflow[7]),
        ln_ratio(outflow[9] + fen, inflow[9]),
        ln_ratio(fen, credits.fens[-1]) if credits.fens else 0.0,
        match,
        n(pool),
        since(now_s, oldest_s),
        match * exp((oldest_s - now_s) / HOUR_S) if pool else 0.0,
    )


def best_pool(credits: Recent, debits: Recent, fen: int, now_s: int) -> tuple[float, int, int]:
    """Return fit (0-1), number of credits and second of the oldest, of the pool this debit completes best.

    A pool is the last ``k`` credits within a day; what has been paid since its
    oldest credit, with this debit, is held against their sum. So one amount
    passed on, several pooled into one and one split into several all fit.
    """
    best, best_pool_size, best_s = RATIO_LIMIT, 0, 0
    paid, received, index = fen, 0, len(debits.at_s)
    times, size = credits.at_s, len(credits.at_s)
    for pool in range(1, min(POOL_KEPT, size) + 1):
        at_s = times[size - pool]
        if at_s < now_s - DAY_S:
            break
        received += credits.fens[size - pool]
        while index and debits.at_s[index - 1] >= at_s:
            index -= 1
            paid += debits.fens[index]
        distance = abs(log(paid / received))
        if distance < best:
            best, best_pool_size, best_s = distance, pool, at_s
    return (exp(-best / MATCH_WIDTH) if best_pool_size else 0.0), best_pool_size, best_s


def _emptied(profile: AccountProfile, transfer: Transfer) -> float:
    fen, after = transfer.amount_fen, transfer.payer_balance_after_fen
    if after is None:
        if profile.balance_fen is None:
            return 0.0
        after = profile.balance_fen - fen
    return fen / (fen + max(after, 0))


def _pair_part(profile: AccountProfile, peer: int, fen: int, now_s: int) -> tuple[float, ...]:
    first = first_contact_s(profile.payees, peer)
    reverse = first_contact_s(profile.payers, peer)
    debits = profile.debits
    hour = debits.fens[bisect_left(debits.at_s, now_s - HOUR_S) :]
    return (
        1.0 if first < 0 else 0.0,
        since(now_s, first) if first >= 0 else 0.0,
        1.0 if reverse >= 0 else 0.0,
        _reverse_recent(profile, peer, now_s) if reverse > 0 else 0.0,
        _step_up(debits, peer, fen),
        ln_ratio(fen, min(hour)) if hour else 0.0,
        n(alike(debits, fen, now_s - DAY_S)),
    )


def _reverse_recent(profile: AccountProfile, peer: int, now_s: int) -> float:
    payers = profile.payers
    return exp((payers.last_s[payers.hashes.index(peer)] - now_s) / DAY_S)


def _step_up(debits: Recent, peer: int, fen: int) -> float:
    for index in range(len(debits.peers) - 1, -1, -1):
        if debits.peers[index] == peer:
            return ln_ratio(fen, debits.fens[index])
    return 0.0
