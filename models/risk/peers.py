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
from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

from models.risk.rows import WORD, words
from models.risk.windows import DAY_S, HOUR_S, WEEK_S

PEERS_KEPT: Final = 24
BLOOM_BITS: Final = 512
BLOOM_FULL: Final = BLOOM_BITS // 3
"""Bits set that begin a new generation: about 70 counterparties, 4 % false "known" per generation."""

DAY_BITS: Final = 64
DAYS_KEPT: Final = 7
DAY_MASK: Final = (1 << DAY_BITS) - 1
NEWEST_DAYS: Final = tuple((1 << DAY_BITS * days) - 1 for days in range(DAYS_KEPT + 1))
"""Mask of the bitmaps of so many days."""

BIT_OF: Final = tuple(1 << (highest >> 2) for highest in range(256))
"""Bit of a day's bitmap, by the highest byte of a hash, of which it takes six bits."""

LINEAR_COUNT: Final = tuple(
    tuple(round(DAY_BITS * log(free / max(free - used, 0.5))) for used in range(free + 1))
    for free in range(1, DAY_BITS + 1)
)
"""Estimated number of peers by ``[free - 1][used]``: of so many free bits so many were set; all of 64 say 311."""

LONG_AGO_S: Final = 1
"""First contact of a counterparty that only the filter knew when it came back."""


CONTACT: Final = Struct("<III")
"""A counterparty: its hash, and the seconds of the first and the latest contact."""

CONTACT_BYTES: Final = CONTACT.size
CONTACT_WORDS: Final = CONTACT_BYTES // WORD
_FIRST: Final = WORD
_LAST: Final = 2 * WORD
_word: Final = Struct("<I").unpack_from
_pack_word: Final = Struct("<I").pack
_times: Final = Struct("<II").unpack_from


class Peers(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Counterparties of one direction.

    ``ever`` counts the counterparties that were unknown when they came. ``contacts`` are
    packed rows of `CONTACT`, those of the latest contact last. ``bloom`` and ``bloom_before``
    are the two generations of the filter, ``days`` the bitmaps of the `DAYS_KEPT` days that
    end with ``day``; empty means none yet.
    """

    ever: int = 0
    contacts: bytes = b""
    bloom: bytes = b""
    bloom_before: bytes = b""
    day: int = 0
    days: bytes = b""

    def rows(self) -> list[tuple[int, int, int]]:
        """Return the counterparties kept as ``(hash, first contact, latest contact)``, in seconds."""
        return list(CONTACT.iter_unpack(self.contacts))


NO_PEERS: Final = Peers()


def peer_hash(bank: str, account: str) -> int:
    """Return the 32-bit hash of an account's key, the same on every machine.

    >>> peer_hash("icbc", "62")
    3046708820
    """
    return crc32(f"{bank}/{account}".encode())


def is_kept(peers: Peers, peer: int) -> bool:
    """Return whether the peer is among those that are kept exactly."""
    return _place(peers.contacts, peer) >= 0


def first_contact_s(peers: Peers, peer: int) -> int:
    """Return the second of the first contact, 0 if only the filter knows the peer, -1 if nobody does.

    `LONG_AGO_S` is that of a peer that was forgotten by all but the filter and has come back.
    """
    return _contact_s(peers, peer, _FIRST)


def last_contact_s(peers: Peers, peer: int) -> int:
    """Return the second of the latest contact, 0 if only the filter knows the peer, -1 if nobody does."""
    return _contact_s(peers, peer, _LAST)


def _contact_s(peers: Peers, peer: int, part: int) -> int:
    place = _place(peers.contacts, peer)
    if place >= 0:
        second: int = _word(peers.contacts, place + part)[0]
        return second
    return 0 if peers.bloom and _in_bloom(peers, peer) else -1


def _place(contacts: bytes, peer: int) -> int:
    """Return where the peer's row begins, or -1; a match that begins within a row is none."""
    wanted = _pack_word(peer)
    place = contacts.find(wanted)
    while place > 0 and place % CONTACT_BYTES:
        place = contacts.find(wanted, place + 1)
    return place


Circle = tuple[int, int, int, int, int]
"""Distinct peers of 1 h, 24 h and 7 d, those first met within 24 h, and all ever met."""


def circle(peers: Peers, now_s: int) -> Circle:
    """Return how many peers there were, at clock ``now_s`` (windows to the second).

    Exact while at most `PEERS_KEPT` fall into the window, then an estimate; the
    newly met are counted among those kept.
    """
    contacts, week_s, day_s = peers.contacts, now_s - WEEK_S, now_s - DAY_S
    if not contacts:
        return (0, 0, 0, 0, peers.ever)
    columns = words(contacts)
    latest_s = columns[-1]
    if latest_s < week_s:
        return (0, 0, 0, 0, peers.ever)
    last_s = columns[2::CONTACT_WORDS]
    size, week = len(last_s), bisect_left(last_s, week_s)
    of_week = size - week
    bitmaps = free = 0
    if of_week == PEERS_KEPT and peers.days:
        bitmaps, free = int.from_bytes(peers.days, "little"), _free_bits(contacts)
        of_week += _pushed_out(bitmaps, peers.day - week_s // DAY_S + 1, free)
    if latest_s < day_s:
        return (0, 0, of_week, 0, peers.ever)
    day = bisect_left(last_s, day_s, week)
    of_day, new = size - day, 0
    for first_s in columns[1 + CONTACT_WORDS * day :: CONTACT_WORDS].tolist():
        if first_s >= day_s:
            new += 1
    if of_day == PEERS_KEPT and free:
        of_day += _pushed_out(bitmaps, peers.day - day_s // DAY_S + 1, free)
    hour_s = now_s - HOUR_S
    of_hour = size - bisect_left(last_s, hour_s, day) if latest_s >= hour_s else 0
    return (of_hour, of_day, of_week, new, peers.ever)


def meet(peers: Peers, peer: int, at_s: int) -> Peers:
    """Return the memory after a contact at second ``at_s``, in any order of time."""
    ever, contacts, first, last = peers.ever, peers.contacts, at_s, at_s
    place = _place(contacts, peer)
    if place >= 0:
        first, last = _times(contacts, place + _FIRST)
        first, last = min(first, at_s), max(last, at_s)
        contacts = contacts[:place] + contacts[place + CONTACT_BYTES :]
    else:
        if peers.bloom and _in_bloom(peers, peer):
            first = LONG_AGO_S
        else:
            ever += 1
        if len(contacts) >= PEERS_KEPT * CONTACT_BYTES:
            peers = _push_out(peers)
            contacts = contacts[CONTACT_BYTES:]
    row = CONTACT.pack(peer, first, last)
    if not contacts or last >= _word(contacts, -WORD)[0]:
        contacts += row
    else:
        place = CONTACT_BYTES * bisect_right(words(contacts)[2::CONTACT_WORDS], last)
        contacts = contacts[:place] + row + contacts[place:]
    return Peers(ever, contacts, peers.bloom, peers.bloom_before, peers.day, peers.days)


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
    """Return the memory with its oldest peer noted in the sketches (rows unchanged)."""
    peer, _, last_s = CONTACT.unpack_from(peers.contacts)
    bits = int.from_bytes(peers.bloom, "little") | _bloom_mask(peer)
    bloom, bloom_before = bits.to_bytes(BLOOM_BITS // 8, "little"), peers.bloom_before
    if bits.bit_count() > BLOOM_FULL:
        bloom, bloom_before = bytes(BLOOM_BITS // 8), bloom
    newest, days = _note_day(peers, peer, last_s // DAY_S)
    return Peers(peers.ever, peers.contacts, bloom, bloom_before, newest, days)


def _note_day(peers: Peers, peer: int, day: int) -> tuple[int, bytes]:
    """Return the newest day and the bitmaps, newest day in the lowest bits, with the peer in its day's bitmap."""
    bitmaps = int.from_bytes(peers.days, "little")
    newest = max(peers.day, day)
    bitmaps = bitmaps << DAY_BITS * min(newest - peers.day, DAYS_KEPT)
    back = newest - day
    if back < DAYS_KEPT:
        bitmaps |= 1 << (DAY_BITS * back + (peer >> 26))
    return newest, (bitmaps & (1 << DAY_BITS * DAYS_KEPT) - 1).to_bytes(DAY_BITS * DAYS_KEPT // 8, "little")


def _free_bits(contacts: bytes) -> int:
    """Return the bits of a day's bitmap that belong to none of these peers."""
    taken = 0
    for highest in contacts[WORD - 1 :: CONTACT_BYTES]:
        taken |= BIT_OF[highest]
    return DAY_MASK ^ taken


def _pushed_out(bitmaps: int, days: int, free: int) -> int:
    """Return the estimated number of peers pushed out whose last day is among the newest ``days``.

    One that has come back is among the kept ones, whose bits say nothing of others: these are counted by the free bits.
    """
    if days <= 0:
        return 0
    union = bitmaps & NEWEST_DAYS[min(days, DAYS_KEPT)]
    union |= union >> DAY_BITS
    union |= union >> 2 * DAY_BITS
    union |= union >> 4 * DAY_BITS  # now the lowest bitmap has the bits of up to eight
    return LINEAR_COUNT[free.bit_count() - 1][(union & free).bit_count()]
