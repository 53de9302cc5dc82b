"""A bounded memory of an account's counterparties in one direction.

The most recent `PEERS_KEPT` counterparties are kept exactly, by a 32-bit hash,
with the times of first and last contact. A counterparty that is pushed out goes
into two small sketches: a Bloom filter in two generations, which answers "have
they dealt before", and one bitmap per day, which answers "how many were there
this week" by linear counting (Whang, Vander-Zanden and Taylor, 1990). One that
comes back from there is an old acquaintance whose first contact is `LONG_AGO_S`.
An account with a million counterparties needs no more room than one with thirty.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import log
from typing import Final
from zlib import crc32

import msgspec

from models.risk.windows import DAY_S, HOUR_S, WEEK_S

PEERS_KEPT: Final = 24
BLOOM_BITS: Final = 512
BLOOM_FULL: Final = BLOOM_BITS // 3
"""Bits set that begin a new generation: about 70 counterparties, 4 % false "known" per generation."""

DAY_BITS: Final = 64
DAYS_KEPT: Final = 7
DAY_MASK: Final = (1 << DAY_BITS) - 1
LINEAR_COUNT: Final = tuple(
    tuple(round(DAY_BITS * log(free / max(free - used, 0.5))) for used in range(free + 1))
    for free in range(1, DAY_BITS + 1)
)
"""Estimated number of peers by ``[free - 1][used]``: of so many free bits so many were set; all of 64 say 311."""

LONG_AGO_S: Final = 1
"""First contact of a counterparty that only the filter knew when it came back."""


class Peers(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Counterparties of one direction, those of the latest contact last.

    ``ever`` counts the counterparties that were unknown when they came.
    ``bloom`` and ``bloom_before`` are the two generations of the filter, ``days``
    the bitmaps of the `DAYS_KEPT` days that end with ``day``; empty means none yet.
    """

    ever: int = 0
    hashes: tuple[int, ...] = ()
    first_s: tuple[int, ...] = ()
    last_s: tuple[int, ...] = ()
    bloom: bytes = b""
    bloom_before: bytes = b""
    day: int = 0
    days: bytes = b""


NO_PEERS: Final = Peers()


def peer_hash(bank: str, account: str) -> int:
    """Return the 32-bit hash of an account's key, the same on every machine.

    >>> peer_hash("icbc", "62")
    3046708820
    """
    return crc32(f"{bank}/{account}".encode())


def first_contact_s(peers: Peers, peer: int) -> int:
    """Return the second of the first contact, 0 if only the filter knows the peer, -1 if nobody does.

    `LONG_AGO_S` is that of a peer that was forgotten by all but the filter and has come back.
    """
    if peer in peers.hashes:
        return peers.first_s[peers.hashes.index(peer)]
    return 0 if peers.bloom and _in_bloom(peers, peer) else -1


def last_contact_s(peers: Peers, peer: int) -> int:
    """Return the second of the latest contact, 0 if only the filter knows the peer, -1 if nobody does."""
    if peer in peers.hashes:
        return peers.last_s[peers.hashes.index(peer)]
    return 0 if peers.bloom and _in_bloom(peers, peer) else -1


Circle = tuple[int, int, int, int, int]
"""Distinct peers of 1 h, 24 h and 7 d, those first met within 24 h, and all ever met."""


def circle(peers: Peers, now_s: int) -> Circle:
    """Return how many peers there were, at clock ``now_s`` (windows to the second).

    Exact while at most `PEERS_KEPT` fall into the window, then an estimate; the
    newly met are counted among those kept.
    """
    last_s = peers.last_s
    week_s, day_s = now_s - WEEK_S, now_s - DAY_S
    if not last_s or last_s[-1] < week_s:
        return (0, 0, 0, 0, peers.ever)
    size, week = len(last_s), bisect_left(last_s, week_s)
    of_week = size - week
    bitmaps = free = 0
    if of_week == PEERS_KEPT and peers.days:
        bitmaps, free = int.from_bytes(peers.days, "little"), _free_bits(peers.hashes)
        of_week += _pushed_out(bitmaps, peers.day - week_s // DAY_S + 1, free)
    if last_s[-1] < day_s:
        return (0, 0, of_week, 0, peers.ever)
    day = bisect_left(last_s, day_s, week)
    of_day = size - day
    first_s = peers.first_s[day:]
    new = 0 if max(first_s) < day_s else sum([first >= day_s for first in first_s])
    if of_day == PEERS_KEPT and free:
        of_day += _pushed_out(bitmaps, peers.day - day_s // DAY_S + 1, free)
    hour_s = now_s - HOUR_S
    of_hour = size - bisect_left(last_s, hour_s, day) if last_s[-1] >= hour_s else 0
    return (of_hour, of_day, of_week, new, peers.ever)


def meet(peers: Peers, peer: int, at_s: int) -> Peers:
    """Return the memory after a contact at second ``at_s``, in any order of time."""
    ever, hashes, first_s, last_s = peers.ever, peers.hashes, peers.first_s, peers.last_s
    first = last = at_s
    if peer in hashes:
        index = hashes.index(peer)
        first, last = min(first_s[index], at_s), max(last_s[index], at_s)
        hashes, first_s, last_s = _without(hashes, index), _without(first_s, index), _without(last_s, index)
    else:
        if peers.bloom and _in_bloom(peers, peer):
            first = LONG_AGO_S
        else:
            ever += 1
        if len(hashes) >= PEERS_KEPT:
            peers = _push_out(peers)
            hashes, first_s, last_s = hashes[1:], first_s[1:], last_s[1:]
    if not last_s or last >= last_s[-1]:
        hashes, first_s, last_s = (*hashes, peer), (*first_s, first), (*last_s, last)
    else:
        place = bisect_right(last_s, last)
        hashes = (*hashes[:place], peer, *hashes[place:])
        first_s = (*first_s[:place], first, *first_s[place:])
        last_s = (*last_s[:place], last, *last_s[place:])
    return Peers(ever, hashes, first_s, last_s, peers.bloom, peers.bloom_before, peers.day, peers.days)


def _without(column: tuple[int, ...], index: int) -> tuple[int, ...]:
    return column[:index] + column[index + 1 :]


def _bloom_mask(peer: int) -> int:
    """Return the peer's three bits, from three disjoint slices of its hash."""
    return 1 << (peer & 511) | 1 << (peer >> 9 & 511) | 1 << (peer >> 18 & 511)


def _in_bloom(peers: Peers, peer: int) -> bool:
    return _has(peers.bloom, peer) or (bool(peers.bloom_before) and _has(peers.bloom_before, peer))


def _has(bloom: bytes, peer: int) -> bool:
    """Return whether the peer's three bits are set, least significant bit of the first byte first."""
    return bool(
        bloom[peer >> 3 & 63] >> (peer & 7) & 1
        and bloom[peer >> 12 & 63] >> (peer >> 9 & 7) & 1
        and bloom[peer >> 21 & 63] >> (peer >> 18 & 7) & 1
    )


def _push_out(peers: Peers) -> Peers:
    """Return the memory with its oldest peer noted in the sketches (columns unchanged)."""
    peer, day = peers.hashes[0], peers.last_s[0] // DAY_S
    bits = int.from_bytes(peers.bloom, "little") | _bloom_mask(peer)
    bloom, bloom_before = bits.to_bytes(BLOOM_BITS // 8, "little"), peers.bloom_before
    if bits.bit_count() > BLOOM_FULL:
        bloom, bloom_before = bytes(BLOOM_BITS // 8), bloom
    newest, days = _note_day(peers, peer, day)
    return Peers(peers.ever, peers.hashes, peers.first_s, peers.last_s, bloom, bloom_before, newest, days)


def _note_day(peers: Peers, peer: int, day: int) -> tuple[int, bytes]:
    """Return the newest day and the bitmaps, newest day in the lowest bits, with the peer in its day's bitmap."""
    bitmaps = int.from_bytes(peers.days, "little")
    newest = max(peers.day, day)
    bitmaps = bitmaps << DAY_BITS * min(newest - peers.day, DAYS_KEPT)
    back = newest - day
    if back < DAYS_KEPT:
        bitmaps |= 1 << (DAY_BITS * back + (peer >> 26))
    return newest, (bitmaps & (1 << DAY_BITS * DAYS_KEPT) - 1).to_bytes(DAY_BITS * DAYS_KEPT // 8, "little")


def _free_bits(hashes: tuple[int, ...]) -> int:
    """Return the bits of a day's bitmap that belong to none of these peers."""
    taken = 0
    for peer in hashes:
        taken |= 1 << (peer >> 26)
    return DAY_MASK & ~taken


def _pushed_out(bitmaps: int, days: int, free: int) -> int:
    """Return the estimated number of peers pushed out whose last day is among the newest ``days``.

    One that has come back is among the kept ones, whose bits say nothing of others: these are counted by the free bits.
    """
    if days <= 0:
        return 0
    union = bitmaps
    for back in range(1, min(days, DAYS_KEPT)):
        union |= bitmaps >> DAY_BITS * back
    return LINEAR_COUNT[free.bit_count() - 1][(union & free).bit_count()]
