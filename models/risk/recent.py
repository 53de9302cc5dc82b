"""The latest events of one direction of an account: when, with whom, how much."""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct
from typing import Final

import msgspec

from models.risk.rows import WORD, words

RECENT_KEPT: Final = 12
"""Exactly remembered credits, and debits, of an account."""

EVENT: Final = Struct("<IIq")
"""An event: its second, the counterparty's hash, its amount in fen."""

EVENT_BYTES: Final = EVENT.size
EVENT_WORDS: Final = EVENT_BYTES // WORD
FEN_BYTES: Final = 2 * WORD
_word: Final = Struct("<I").unpack_from
_fen: Final = Struct("<q").unpack_from
_unpackers: Final = tuple(Struct("<" + number * "IIq").unpack for number in range(RECENT_KEPT + 1))

Columns = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Seconds, hashes and amounts of events, oldest first."""


class Recent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """At most `RECENT_KEPT` events, oldest first, as packed rows of `EVENT`."""

    events: bytes = b""

    def columns(self) -> Columns:
        """Return seconds, counterparties' hashes and amounts (fen).

        >>> remember(remember(Recent(), 20, 7, 500), 10, 8, 900).columns()
        ((10, 20), (8, 7), (900, 500))
        """
        cells = _unpackers[len(self.events) // EVENT_BYTES](self.events)
        return cells[::3], cells[1::3], cells[2::3]

    def latest_s(self) -> int:
        """Return the second of the latest event, -1 if there is none."""
        if not self.events:
            return -1
        second: int = _word(self.events, -EVENT_BYTES)[0]
        return second

    def latest_fen(self) -> int:
        """Return the amount of the latest event, 0 if there is none."""
        if not self.events:
            return 0
        fen: int = _fen(self.events, -FEN_BYTES)[0]
        return fen


def remember(recent: Recent, at_s: int, peer: int, fen: int) -> Recent:
    """Return the ring with one more event in its place by time; the oldest leaves when it is full."""
    events, row = recent.events, EVENT.pack(at_s, peer, fen)
    if not events or _word(events, -EVENT_BYTES)[0] <= at_s:
        return Recent(events[-(RECENT_KEPT - 1) * EVENT_BYTES :] + row)
    place = EVENT_BYTES * bisect_right(words(events)[::EVENT_WORDS], at_s)
    if len(events) < RECENT_KEPT * EVENT_BYTES:
        return Recent(events[:place] + row + events[place:])
    return Recent(events[EVENT_BYTES:place] + row + events[place:]) if place else recent
