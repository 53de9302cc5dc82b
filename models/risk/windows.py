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

SUM_LIMIT_FEN: Final = 10**18
"""Sums saturate here: what must be added beyond it is dropped (10 quadrillion yuan in a week)."""

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


def window_totals(flow: Flow, now_s: int) -> Totals:
    """Return counts and sums of all windows at clock ``now_s`` (not before any event).

    >>> window_totals(add(EMPTY_FLOW, at_s=100, now_s=100, fen=5), now_s=165)
    (0, 0, 1, 5, 1, 5, 1, 5, 1, 5)
    """
    starts = flow.starts
    size = len(starts)
    week = bisect_left(starts, (now_s // 86_400 - 6) * 86_400)
    if week == size:
        return NOTHING
    counts, fens, count, fen = flow.counts, flow.fens, flow.count, flow.fen
    day = bisect_left(starts, (now_s // 10_800 - 7) * 10_800, week)
    if day == size:
        return (0, 0, 0, 0, 0, 0, 0, 0, count - counts[week], fen - fens[week])
    hour = bisect_left(starts, (now_s // 300 - 11) * 300, day)
    if hour == size:
        return (0, 0, 0, 0, 0, 0, count - counts[day], fen - fens[day], count - counts[week], fen - fens[week])
    ten = bisect_left(starts, (now_s // 60 - 9) * 60, hour)
    one = bisect_left(starts, (now_s // 10 - 5) * 10, ten)
    return (
        *((count - counts[one], fen - fens[one]) if one < size else (0, 0)),
        *((count - counts[ten], fen - fens[ten]) if ten < size else (0, 0)),
        count - counts[hour],
        fen - fens[hour],
        count - counts[day],
        fen - fens[day],
        count - counts[week],
        fen - fens[week],
    )


def add(flow: Flow, *, at_s: int, now_s: int, fen: int) -> Flow:
    """Return the flow with one more event of time ``at_s``; ``now_s`` is the clock, at least ``at_s``.

    Events may come in any order as long as they are within the longest window.
    """
    if flow.fen + fen > SUM_LIMIT_FEN:
        flow, fen = _make_room(flow, fen)
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


def _compact(flow: Flow, now_s: int) -> Flow:
    """Return the flow with entries merged as far as the windows allow, if it has grown long."""
    if len(flow.starts) < COMPACT_AT:
        return flow
    cuts = tuple((now_s // unit - length // unit + 1) * unit for length, unit in WINDOWS)
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
        tuple(flow.counts[index] for index in kept),
        tuple(flow.fens[index] for index in kept),
    )


def _coarse_start(start: int, cuts: tuple[int, ...]) -> int:
    """Return the bucket of the shortest window that still holds ``start``, or -1."""
    for cut, (_, unit) in zip(cuts, WINDOWS, strict=True):
        if start >= cut:
            return start - start % unit
    return -1


def _make_room(flow: Flow, fen: int) -> tuple[Flow, int]:
    """Return the flow with running sums counted from its oldest entry, and what may still be added."""
    base = flow.fens[0] if flow.fens else flow.fen
    rebased = Flow(flow.count, flow.fen - base, flow.starts, flow.counts, tuple(before - base for before in flow.fens))
    return rebased, min(fen, SUM_LIMIT_FEN - rebased.fen)
