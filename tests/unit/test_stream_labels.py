"""What a transfer is learned as, and when."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.risk.assessment import Assessment, Band
from stream import labels
from stream.labels import Labels, is_sampled
from tests.streamkit import START_US, transfer

DAY_US = 86_400_000_000


def assessment(number: int, band: Band = Band.ALLOW) -> Assessment:
    return Assessment(
        transfer=transfer(number),
        risk=0.1,
        band=band,
        reasons=(),
        features=(float(number),),
        feature_set="f",
        rule_book="r",
        scores=(),
    )


def ids(items: Iterable[labels.Pending]) -> list[str]:
    return [item.transfer_id for item in items]


@pytest.fixture
def book() -> Labels:
    return Labels(maturity_us=DAY_US)


def test_an_undoubted_transfer_matures_to_honest_after_the_delay_and_once(book: Labels) -> None:
    book.assessed(assessment(1))
    ripe_us = START_US + 1_000_000 + DAY_US
    assert book.matured(ripe_us - 1) == []
    (found,) = book.matured(ripe_us)
    assert (found.transfer_id, found.features, found.weight) == ("t-1", (1.0,), 1.0)
    assert book.matured(ripe_us) == []


def test_a_stopped_transfer_never_matures(book: Labels) -> None:
    book.assessed(assessment(1, Band.STOP))
    book.assessed(assessment(2, Band.WATCH))
    assert ids(book.matured(START_US + 30 * DAY_US)) == ["t-2"]


@pytest.mark.parametrize("verdict_first", [True, False])
def test_a_verdict_takes_the_place_of_maturity_whichever_comes_first(book: Labels, verdict_first: bool) -> None:
    if not verdict_first:
        book.assessed(assessment(1))
    assert book.judged("t-1", "fraud")
    if verdict_first:
        book.assessed(assessment(1))
    assert book.matured(START_US + 30 * DAY_US) == []


def test_a_repeated_verdict_tells_nothing_new_and_a_changed_one_does(book: Labels) -> None:
    assert book.judged("t-1", "fraud")
    assert not book.judged("t-1", "fraud")
    assert book.judged("t-1", "honest")


def test_transfers_mature_by_their_own_time_not_by_their_arrival(book: Labels) -> None:
    for number in (3, 1, 2):
        book.assessed(assessment(number))
    assert ids(book.matured(START_US + 30 * DAY_US)) == ["t-1", "t-2", "t-3"]


def test_of_too_many_a_fair_sample_is_kept_and_stands_for_all(book: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_PENDING", 1_000)
    for number in range(20_000):
        book.assessed(assessment(number))
    assert len(book.pending) <= 1_000
    kept = book.matured(START_US + 30 * DAY_US)
    assert sum(item.weight for item in kept) == pytest.approx(20_000, rel=0.25)


def test_memory_of_labels_is_bounded(book: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_LABELLED", 10)
    for number in range(30):
        book.judged(f"t-{number}", "fraud")
    assert len(book.labelled) == 10
    assert not book.judged("t-29", "fraud")


@given(st.text(min_size=1), st.integers(1, 20))
def test_samples_are_nested(transfer_id: str, level: int) -> None:
    assert not is_sampled(transfer_id, level) or is_sampled(transfer_id, level - 1)
    assert is_sampled(transfer_id, 0)
