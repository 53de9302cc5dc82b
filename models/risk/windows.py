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
from typing import Final

import msgspec

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

Totals = tuple[int, int, int, int, int, int, int, int, int, int]
"""``(count, fen)`` of the five windows, shortest window first."""

NOTHING: Final[Totals] = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Flow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Money in one direction: running totals, and what they were before each entry.

    Entry ``i`` begins at second ``starts[i]``; ``counts[i]`` and ``fens[i]`` are
    the running totals before its first event, so a window is one subtraction.
    """

    count: int = 0
    fen: int = 0
    starts: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    fens: tuple[int, ...] = ()


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


def window_totals(flow: Flow, cuts: Cuts) -> Totals:
    """Return counts and sums of all windows; ``cuts`` are those of a clock not before any event.

    >>> window_totals(add(EMPTY_FLOW, at_s=100, now_s=100, fen=5), window_cuts(165))
    (0, 0, 1, 5, 1, 5, 1, 5, 1, 5)
    """
    starts = flow.starts
    if not starts or starts[-1] < cuts[4]:
        return NOTHING
    counts, fens, count, fen, newest = flow.counts, flow.fens, flow.count, flow.fen, starts[-1]
    entry = bisect_left(starts, cuts[4])
    n_7d, fen_7d = count - counts[entry], fen - fens[entry]
    if newest < cuts[3]:
        return (0, 0, 0, 0, 0, 0, 0, 0, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[3], entry)
    n_24h, fen_24h = count - counts[entry], fen - fens[entry]
    if newest < cuts[2]:
        return (0, 0, 0, 0, 0, 0, n_24h, fen_24h, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[2], entry)
    n_1h, fen_1h = count - counts[entry], fen - fens[entry]
    if newest < cuts[1]:
        return (0, 0, 0, 0, n_1h, fen_1h, n_24h, fen_24h, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[1], entry)
    n_10m, fen_10m = count - counts[entry], fen - fens[entry]
    if newest < cuts[0]:
        return (0, 0, n_10m, fen_10m, n_1h, fen_1h, n_24h, fen_24h, n_7d, fen_7d)
    entry = bisect_left(starts, cuts[0], entry)
    return (count - counts[entry], fen - fens[entry], n_10m, fen_10m, n_1h, fen_1h, n_24h, fen_24h, n_7d, fen_7d)


def add(flow: Flow, *, at_s: int, now_s: int, fen: int) -> Flow:
    """Return the flow with one more event of time ``at_s``; ``now_s`` is the clock, at least ``at_s``.

    Events may come in any order as long as they are within the longest window.
    """
    if flow.fen + fen > SUM_LIMIT_FEN:
        flow, fen = _make_room(flow, now_s, fen)
    bucket = at_s - at_s % 10
    starts = flow.starts
    if starts and bucket <= starts[-1]:
        if bucket == starts[-1]:
            return Flow(flow.count + 1, flow.fen + fen, starts, flow.counts, flow.fens)
        return _compact(_insert(flow, bucket, fen), now_s)
    grown = Flow(flow.count + 1, flow.fen + fen, (*starts, bucket), (*flow.counts, flow.count), (*flow.fens, flow.fen))
    return grown if len(starts) < COMPACT_AT - 1 else _compact(grown, now_s)


def _insert(flow: Flow, bucket: int, fen: int) -> Flow:
    """Return the flow with an event placed before its newest entry."""
    starts, counts, fens = flow.starts, flow.counts, flow.fens
    after = bisect_right(starts, bucket)
    later_counts = tuple(count + 1 for count in counts[after:])
    later_fens = tuple(before + fen for before in fens[after:])
    if after and starts[after - 1] == bucket:
        return Flow(flow.count + 1, flow.fen + fen, starts, counts[:after] + later_counts, fens[:after] + later_fens)
    return Flow(
        flow.count + 1,
        flow.fen + fen,
        (*starts[:after], bucket, *starts[after:]),
        (*counts[:after], counts[after], *later_counts),
        (*fens[:after], fens[after], *later_fens),
    )


def _compact(flow: Flow, now_s: int, limit: int = COMPACT_AT) -> Flow:
    """Return the flow with entries merged as far as the windows allow, if it has grown to the limit."""
    if len(flow.starts) < limit:
        return flow
    cuts = window_cuts(now_s)
    starts: list[int] = []
    kept: list[int] = []
    for index, start in enumerate(flow.starts):
        bucket = _coarse_start(start, cuts)
        if bucket >= 0 and (not starts or bucket != starts[-1]):
            starts.append(bucket)
            kept.append(index)
    return Flow(
        flow.count,
        flow.fen,
        tuple(starts),
        tuple([flow.counts[index] for index in kept]),
        tuple([flow.fens[index] for index in kept]),
    )


def _coarse_start(start: int, cuts: Cuts) -> int:
    """Return the bucket of the shortest window that still holds ``start``, or -1."""
    for cut, (_, unit) in zip(cuts, WINDOWS, strict=True):
        if start >= cut:
            return start - start % unit
    return -1


def _make_room(flow: Flow, now_s: int, fen: int) -> tuple[Flow, int]:
    """Return the flow with running sums counted from its oldest entry, and what may still be added."""
    flow = _compact(flow, now_s, 0)
    base = flow.fens[0] if flow.fens else flow.fen
    rebased = Flow(flow.count, flow.fen - base, flow.starts, flow.counts, tuple(before - base for before in flow.fens))
    return rebased, min(fen, SUM_LIMIT_FEN - rebased.fen)
