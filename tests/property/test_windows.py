"""Windows against a naive recount of every event, whatever the order of arrival."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from models.risk.profile import LATE_TOLERANCE_S
from models.risk.windows import (
    COMPACT_AT,
    EMPTY_FLOW,
    SUM_LIMIT_FEN,
    WEEK_S,
    WINDOWS,
    Flow,
    add,
    window_cuts,
    window_totals,
)

START_S = 1_700_000_000
gaps = st.one_of(
    st.integers(0, 15), st.integers(0, 90), st.integers(0, 900), st.integers(0, 20_000), st.integers(0, 3 * 86_400)
)
arrivals = st.lists(st.tuples(gaps, st.integers(0, LATE_TOLERANCE_S), st.integers(1, 10**13)), min_size=1, max_size=150)


def recount(events: list[tuple[int, int]], now_s: int) -> tuple[int, ...]:
    """Count by the definition: the n buckets of r seconds that end with the clock's."""
    figures: list[int] = []
    for length_s, unit_s in WINDOWS:
        first = now_s // unit_s - length_s // unit_s + 1
        fens = [fen for at_s, fen in events if at_s // unit_s >= first]
        figures += [len(fens), sum(fens)]
    return tuple(figures)


def play(moves: list[tuple[int, int, int]]) -> list[tuple[Flow, list[tuple[int, int]], int]]:
    """Return flow, events so far and clock after each arrival; an event may lie behind the clock."""
    flow, events, clock_s, states = EMPTY_FLOW, [], START_S, []
    for gap, behind, fen in moves:
        at_s = clock_s + gap - (behind if gap % 3 == 0 else 0)
        clock_s = max(clock_s, at_s)
        flow = add(flow, at_s=at_s, now_s=clock_s, fen=fen)
        events.append((at_s, fen))
        states.append((flow, list(events), clock_s))
    return states


@given(arrivals, gaps)
@settings(max_examples=80, deadline=None)
def test_every_window_equals_a_recount_at_every_step_and_later(moves: list[tuple[int, int, int]], wait: int) -> None:
    for flow, events, clock_s in play(moves):
        assert window_totals(flow, window_cuts(clock_s)) == recount(events, clock_s)
        later_s = clock_s + wait
        assert window_totals(flow, window_cuts(later_s)) == recount(events, later_s)
        assert flow.count == len(events)


@given(arrivals)
@settings(max_examples=40, deadline=None)
def test_the_list_of_entries_is_short_and_ordered(moves: list[tuple[int, int, int]]) -> None:
    for flow, _, _ in play(moves):
        starts, counts, _ = zip(*flow.rows(), strict=True)
        assert len(starts) < COMPACT_AT
        assert all(before < after for before, after in pairwise(starts))
        assert all(before <= after for before, after in pairwise(counts))


@given(st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_steady_stream_never_outgrows_the_list(step_s: int, phase: int) -> None:
    flow, now_s = EMPTY_FLOW, START_S + phase
    for _ in range(2_000):
        now_s += step_s
        flow = add(flow, at_s=now_s, now_s=now_s, fen=1)
        assert len(flow.rows()) < COMPACT_AT
    assert window_totals(flow, window_cuts(now_s)) == recount(
        [(now_s - step_s * back, 1) for back in range(2_000)], now_s
    )


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=60), st.integers(0, WEEK_S // 40))
@settings(max_examples=60, deadline=None)
def test_sums_saturate_and_stay_exact_in_a_double(fens: list[int], step_s: int) -> None:
    flow, now_s = EMPTY_FLOW, START_S
    for fen in fens:
        now_s += step_s
        flow = add(flow, at_s=now_s, now_s=now_s, fen=fen)
        totals = window_totals(flow, window_cuts(now_s))
        assert 0 <= totals[9] <= SUM_LIMIT_FEN
        assert float(totals[9]) == totals[9]
        assert totals[1] <= totals[3] <= totals[5] <= totals[7] <= totals[9]
