"""The memory of counterparties against sets that forget nothing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from models.risk.peers import (
    LONG_AGO_S,
    NO_PEERS,
    PEERS_KEPT,
    Peers,
    circle,
    first_contact_s,
    last_contact_s,
    meet,
)
from models.risk.windows import DAY_S, HOUR_S, WEEK_S

START_S = 1_700_000_000
contacts = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 40_000), st.integers(0, 3_600)), min_size=1, max_size=120
)
few = st.lists(
    st.tuples(st.integers(0, PEERS_KEPT - 1), st.integers(0, 80_000), st.integers(0, 3_600)), min_size=1, max_size=80
)


def play(moves: list[tuple[int, int, int]]) -> tuple[Peers, list[tuple[int, int]], int]:
    """Return memory, contacts and clock; every third contact arrives late."""
    peers, met, clock_s = NO_PEERS, [], START_S
    for peer, gap, behind in moves:
        at_s = clock_s + gap - (behind if gap % 3 == 0 else 0)
        clock_s = max(clock_s, at_s)
        peers = meet(peers, peer, at_s)
        met.append((peer, at_s))
    return peers, met, clock_s


@given(few)
@settings(max_examples=150, deadline=None)
def test_few_counterparties_are_counted_exactly(moves: list[tuple[int, int, int]]) -> None:
    peers, met, now_s = play(moves)
    last = {peer: max(at_s for other, at_s in met if other == peer) for peer, _ in met}
    first = {peer: min(at_s for other, at_s in met if other == peer) for peer, _ in met}

    def since(length_s: int) -> int:
        return sum(at_s >= now_s - length_s for at_s in last.values())

    new = sum(last[peer] >= now_s - DAY_S and first[peer] >= now_s - DAY_S for peer in last)
    assert circle(peers, now_s) == (since(HOUR_S), since(DAY_S), since(WEEK_S), new if since(DAY_S) else 0, len(last))
    for peer, last_s in last.items():
        assert first_contact_s(peers, peer) == first[peer]
        assert last_contact_s(peers, peer) == last_s


@given(contacts)
@settings(max_examples=80, deadline=None)
def test_nobody_met_lately_is_forgotten(moves: list[tuple[int, int, int]]) -> None:
    peers, met, _ = play(moves)
    for peer, _ in met[-(PEERS_KEPT + 50) :]:
        assert first_contact_s(peers, peer) >= 0


@given(st.integers(0, 1_000), st.integers(1, 3_000))
@settings(max_examples=15, deadline=None)
def test_a_crowd_is_estimated_within_bounds(seed: int, gap_s: int) -> None:
    source, peers, now_s, size = random.Random(seed), NO_PEERS, START_S, 100
    for _ in range(size):
        now_s += gap_s
        peers = meet(peers, source.getrandbits(32), now_s)
    hour, day, week, _, ever = circle(peers, now_s)
    true_week = min(size, WEEK_S // gap_s + 1)
    assert hour <= day <= week
    assert 0.6 * true_week <= week <= 1.6 * true_week
    assert 0.85 * size <= ever <= size


@given(st.integers(0, 1_000), st.integers(PEERS_KEPT + 1, 60), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_regulars_who_come_again_every_day_are_not_met_anew(seed: int, size: int, days: int) -> None:
    source, peers, midnight_s = random.Random(seed), NO_PEERS, START_S - START_S % DAY_S
    regulars = [source.getrandbits(32) for _ in range(size)]
    for day in range(days):
        for second, peer in enumerate(regulars):
            peers = meet(peers, peer, midnight_s + day * DAY_S + second)
    _, of_day, of_week, new, ever = circle(peers, midnight_s + (days - 1) * DAY_S + size)
    assert new == 0, "the last of them was met days ago"
    assert 0.9 * size <= ever <= size
    assert 0.65 * size <= of_day <= of_week <= 1.35 * size + 3, "who was pushed out and has come back counts once"
    assert {first_contact_s(peers, peer) for peer in regulars[-PEERS_KEPT:]} == {LONG_AGO_S}


@given(contacts)
@settings(max_examples=60, deadline=None)
def test_strangers_are_strangers_until_met(moves: list[tuple[int, int, int]]) -> None:
    known = {peer for peer, _, _ in moves[:PEERS_KEPT]}
    peers, _, _ = play(moves[:PEERS_KEPT])
    assert all(first_contact_s(peers, peer) == -1 for peer in range(50) if peer not in known)
