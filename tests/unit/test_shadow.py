"""A challenger is compared on what it would have done, never on what it was told."""

from __future__ import annotations

from models.risk.shadow import DIFFERENCES_KEPT, Shadow


def test_overlap_precision_and_who_would_have_been_stopped():
    shadow = Shadow(stop=0.8)
    shadow.observe(["a", "b", "c", "d"], [0.9, 0.9, 0.1, 0.2], [0.8, 0.3, 0.95, 0.79])
    for transfer_id, fraud in (("a", True), ("b", False), ("c", True), ("d", True), ("a", True), ("unknown", True)):
        shadow.learn(transfer_id, fraud=fraud)
    found = shadow.figures()
    assert (found.transfers, found.champion_stops, found.challenger_stops, found.both_stops) == (4, 2, 2, 1)
    assert found.overlap == 1 / 3
    assert (found.champion_precision, found.challenger_precision) == (0.5, 1.0)
    assert (found.only_challenger, found.only_champion) == (("c",), ("b",))


def test_before_any_stop_or_label_nothing_is_claimed():
    shadow = Shadow(stop=0.8)
    shadow.observe(["a"], [0.1], [0.2])
    found = shadow.figures()
    assert (found.overlap, found.champion_precision, found.challenger_precision) == (None, None, None)


def test_differences_are_bounded():
    shadow = Shadow(stop=0.5)
    names = [f"t{number}" for number in range(3 * DIFFERENCES_KEPT)]
    shadow.observe(names, [0.0] * len(names), [1.0] * len(names))
    assert shadow.figures().only_challenger == tuple(names[-DIFFERENCES_KEPT:])
