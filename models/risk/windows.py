"""Event-time windows of counts and sums for one direction of one account.

A window is named by its length and cut into buckets aligned to the epoch. At
clock ``now`` the window of ``n`` buckets of ``r`` seconds holds exactly the
events whose bucket ``at // r`` is one of the ``n`` buckets that end with
``now // r``: between ``length - r`` and ``length`` seconds of real time.

All windows share one list of entries. A new event goes into an entry of the
finest resolution; once an entry has left a window for good it is merged with
its neighbours into the bucket of the next longer one. So every window stays
exact by the definition above, and the list stays short whatever happens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from struct import Struct
from typing import Final

import msgspec

from models.risk.rows import WORD, pack_rows, words

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S

WINDOWS: Final = ((60, 10), (600, 60), (HOUR_S, 300), (DAY_S, 10_800), (WEEK_S, DAY_S))
"""``(length_s, resolution_s)`` of the five windows, shortest first; each resolution divides the next."""

COMPACT_AT: Final = 46
"""Number of entries that sets off a merge; a merge leaves at most 43 (5 windows: 6 + 10 + 12 + 8 + 7)."""

SUM_LIMIT_FEN: Final = 8 * 10**15
"""Sums saturate here, where a double still holds every fen (80 trillion yuan in a week)."""

ENTRY: Final = Struct("<IIq")
"""An entry of a flow: its first second, and count and fen before it."""

ENTRY_BYTES: Final = ENTRY.size
ENTRY_WORDS: Final = ENTRY_BYTES // WORD
COUNT_MASK: Final = 2**32 - 1
_start: Final = Struct("<I").unpack_from
_before: Final = Struct("<Iq").unpack_from

Totals = tuple[int, int, int, int, int, int, int, int, int, int]
"""``(count, fen)`` of the five windows, shortest window first."""

NOTHING: Final[Totals] = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Flow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Money in one direction: running totals, and what they were before each entry.

    ``entries`` are packed rows of `ENTRY`, by start: the second at which an entry begins,
    and the running totals before its first event, so a window is one subtraction. Of
    ``count`` events ever, ``late`` ones came too late for any window; the others are
    counted modulo 2**32 in the rows.
    """

    count: int = 0
    fen: int = 0
    entries: bytes = b""
    late: int = 0

    def rows(self) -> list[tuple[int, int, int]]:
        """Return the entries as ``(start, count before, fen before)``."""
        return list(ENTRY.iter_unpack(self.entries))


EMPTY_FLOW: Final = Flow()


Cuts = tuple[int, int, int, int, int]


def window_cuts(now_s: int) -> Cuts:
    """Return the first second inside each window at clock ``now_s``, shortest window first."""
    return (
        (now_s // 10 - 5) * 10,
        (now_s // 60 - 9) * 60,
        (now_s // 300 - 11) * 300,
        (now_s // 10_800 - 7) * 10_800,
        (now_s // 86_400 - 6) * 86_400,
    )


def window_totals(flow: Flow, cuts: Cuts) -> Totals:  # noqa: PLR0911 - ends with the first empty window
    """Return counts and sums of all windows; ``cuts`` are those of a clock not before any event.

    >>> window_totals(add(EMPTY_FLOW, at_s=100, now_s=100, fen=5), window_cuts(165))
    (0, 0, 1, 5, 1, 5, 1, 5, 1, 5)
    """
    entries = flow.entries
    if not entries:
        return NOTHING
    starts = words(entries)[::ENTRY_WORDS]
    newest = starts[-1]
    if newest < cuts[4]:
        return NOTHING
    count, fen = flow.count - flow.late, flow.fen
    entry = bisect_left(starts, cuts[4])
    n_before, fen_before = _before(entries, entry * ENTRY_BYTES + WORD)
    n_7d, fen_7d = (count - n_before) & COUNT_MASK, fen - fen_before
    if newest < cuts[3]:
        return (0, 0, 0, 0, 0, 0, 0, 0, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[3], entry)
    n_before, fen_before = _before(entries, entry * ENTRY_BYTES + WORD)
    n_24h, fen_24h = (count - n_before) & COUNT_MASK, fen - fen_before
    if newest < cuts[2]:
        return (0, 0, 0, 0, 0, 0, n_24h, fen_24h, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[2], entry)
    n_before, fen_before = _before(entries, entry * ENTRY_BYTES + WORD)
    n_1h, fen_1h = (count - n_before) & COUNT_MASK, fen - fen_before
    if newest < cuts[1]:
        return (0, 0, 0, 0, n_1h, fen_1h, n_24h, fen_24h, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[1], entry)
    n_before, fen_before = _before(entries, entry * ENTRY_BYTES + WORD)
    n_10m, fen_10m = (count - n_before) & COUNT_MASK, fen - fen_before
    if newest < cuts[0]:
        return (0, 0, n_10m, fen_10m, n_1h, fen_1h, n_24h, fen_24h, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[0], entry)
    n_before, fen_before = _before(entries, entry * ENTRY_BYTES + WORD)
    n_1m, fen_1m = (count - n_before) & COUNT_MASK, fen - fen_before
    return (n_1m, fen_1m, n_10m, fen_10m, n_1h, fen_1h, n_24h, fen_24h, n_7d, fen_7d)


def add(flow: Flow, *, at_s: int, now_s: int, fen: int) -> Flow:
    """Return the flow with one more event of time ``at_s``; ``now_s`` is the clock, at least ``at_s``.

    Events may come in any order as long as they are within the longest window.
    """
    if flow.fen + fen > SUM_LIMIT_FEN:
        flow, fen = _make_room(flow, now_s, fen)
    bucket = at_s - at_s % 10
    count, entries, late = flow.count, flow.entries, flow.late
    if entries:
        (newest,) = _start(entries, -ENTRY_BYTES)
        if bucket == newest:
            return Flow(count + 1, flow.fen + fen, entries, late)
        if bucket < newest:
            return _compact(_insert(flow, bucket, fen), now_s)
    entries += ENTRY.pack(bucket, (count - late) & COUNT_MASK, flow.fen)
    grown = Flow(count + 1, flow.fen + fen, entries, late)
    return grown if len(entries) < COMPACT_AT * ENTRY_BYTES else _compact(grown, now_s)


def count_late(flow: Flow) -> Flow:
    """Return the flow with an event counted that came too late for any window."""
    return Flow(flow.count + 1, flow.fen, flow.entries, flow.late + 1)


def _insert(flow: Flow, bucket: int, fen: int) -> Flow:
    """Return the flow with an event placed before its newest entry."""
    starts = words(flow.entries)[::ENTRY_WORDS]
    after = bisect_right(starts, bucket)
    place = after * ENTRY_BYTES
    earlier, rows = flow.entries[:place], list(ENTRY.iter_unpack(flow.entries[place:]))
    if not after or starts[after - 1] != bucket:
        earlier += ENTRY.pack(bucket, rows[0][1], rows[0][2])
    later = pack_rows(ENTRY, [(start, (count + 1) & COUNT_MASK, before + fen) for start, count, before in rows])
    return Flow(flow.count + 1, flow.fen + fen, earlier + later, flow.late)


def _compact(flow: Flow, now_s: int, limit: int = COMPACT_AT) -> Flow:
    """Return the flow with entries merged as far as the windows allow, if it has grown to the limit."""
    if len(flow.entries) < limit * ENTRY_BYTES:
        return flow
    cuts = window_cuts(now_s)
    kept: list[tuple[int, int, int]] = []
    for start, count, before in flow.rows():
        bucket = _coarse_start(start, cuts)
        if bucket >= 0 and (not kept or bucket != kept[-1][0]):
            kept.append((bucket, count, before))
    return Flow(flow.count, flow.fen, pack_rows(ENTRY, kept), flow.late)


def _coarse_start(start: int, cuts: Cuts) -> int:
    """Return the bucket of the shortest window that still holds ``start``, or -1."""
    for cut, (_, unit) in zip(cuts, WINDOWS, strict=True):
        if start >= cut:
            return start - start % unit
    return -1


def _make_room(flow: Flow, now_s: int, fen: int) -> tuple[Flow, int]:
    """Return the flow with running sums counted from its oldest entry, and what may still be added."""
    flow = _compact(flow, now_s, 0)
    rows = flow.rows()
    base = rows[0][2] if rows else flow.fen
    entries = pack_rows(ENTRY, [(start, count, before - base) for start, count, before in rows])
    rebased = Flow(flow.count, flow.fen - base, entries, flow.late)
    return rebased, min(fen, SUM_LIMIT_FEN - rebased.fen)
