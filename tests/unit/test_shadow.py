"""A rival is compared on what it would have done, never on what it was told."""

from __future__ import annotations

from models.risk.shadow import DIFFERENCES_KEPT, Seen, Shadow

STOP = 0.8


def seen(transfer_id: str, champion: float, rival: float) -> Seen:
    return Seen(
        transfer_id=transfer_id,
        occurred_us=1,
        amount_fen=100,
        champion_risk=champion,
        rival_risk=rival,
        champion_stops=champion >= STOP,
        rival_stops=rival >= STOP,
    )


def test_overlap_precision_and_who_would_have_been_stopped() -> None:
    shadow = Shadow()
    shadow.observe([seen("a", 0.9, 0.8), seen("b", 0.9, 0.3), seen("c", 0.1, 0.95), seen("d", 0.2, 0.79)])
    for transfer_id, fraud in (("a", True), ("b", False), ("c", True), ("d", True), ("a", True), ("unknown", True)):
        shadow.learn(transfer_id, fraud=fraud)
    found = shadow.figures()
    assert (found.transfers, found.champion_stops, found.rival_stops, found.both_stops) == (4, 2, 2, 1)
    assert found.overlap == 1 / 3
    assert (found.champion_precision, found.rival_precision) == (0.5, 1.0)
    (only_rival,), (only_champion,) = found.only_rival, found.only_champion
    assert (only_rival.transfer_id, only_rival.rival_risk, only_rival.label) == ("c", 0.95, "fraud")
    assert (only_champion.transfer_id, only_champion.champion_risk, only_champion.label) == ("b", 0.9, "honest")


def test_before_any_stop_or_label_nothing_is_claimed() -> None:
    shadow = Shadow()
    shadow.observe([seen("a", 0.1, 0.2)])
    found = shadow.figures()
    assert (found.overlap, found.champion_precision, found.rival_precision) == (None, None, None)


def test_a_stop_that_comes_again_counts_once() -> None:
    shadow = Shadow()
    shadow.observe([seen("a", 0.9, 0.1), seen("a", 0.9, 0.1)])
    assert shadow.figures().champion_stops == 1


def test_differences_are_bounded() -> None:
    shadow = Shadow()
    names = [f"t{number}" for number in range(3 * DIFFERENCES_KEPT)]
    shadow.observe([seen(name, 0.0, 1.0) for name in names])
    assert [each.transfer_id for each in shadow.figures().only_rival] == names[-DIFFERENCES_KEPT:]
