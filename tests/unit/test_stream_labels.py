"""What a transfer is learned as, and when."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money.types import AccountId
from models.risk.assessment import Assessment, Band
from models.wire import Verdict, VerdictLabel
from stream import labels
from stream.labels import HELD_LONGEST_US, LOOK_AGAIN_US, MOST_SAMPLE_WEIGHT, Labels, is_sampled, weight_of
from tests.streamkit import START_US, transfer

DAY_US = 86_400_000_000
RIPE_US = START_US + 1_000_000 + DAY_US
"""When transfer 1 matures."""

PAYER, PAYEE = transfer(1).payer, transfer(1).payee


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


def verdict(number: int, label: str, source: str = "analyst", sample_rate: float = 1.0) -> Verdict:
    return Verdict(
        transfer_id=f"t-{number}",
        label=VerdictLabel(label),
        source=source,
        decided_us=START_US,
        features=(),
        feature_set="f",
        sample_rate=sample_rate,
    )


def clear(_account: AccountId, _since_us: int) -> bool:
    return False


def ids(items: Iterable[labels.Pending]) -> list[str]:
    return [item.transfer_id for item in items]


@pytest.fixture
def book() -> Labels:
    return Labels(maturity_us=DAY_US)


def test_an_undoubted_transfer_matures_to_honest_after_the_delay_and_once(book: Labels) -> None:
    book.assessed(assessment(1))
    assert book.matured(RIPE_US - 1, clear) == []
    (found,) = book.matured(RIPE_US, clear)
    assert (found.transfer_id, found.features, found.weight) == ("t-1", (1.0,), 1.0)
    assert book.matured(RIPE_US, clear) == []


def test_a_transfer_that_people_should_look_at_never_matures(book: Labels) -> None:
    for number, band in enumerate(Band):
        book.assessed(assessment(number, band))
    assert ids(book.matured(START_US + 90 * DAY_US, clear)) == ["t-0"]


@pytest.mark.parametrize("doubted", [PAYER, PAYEE])
def test_a_transfer_of_a_doubted_account_is_held_until_the_doubt_is_gone(book: Labels, doubted: AccountId) -> None:
    asked: list[int] = []

    def in_doubt(account: AccountId, since_us: int) -> bool:
        asked.append(since_us)
        return account == doubted

    book.assessed(assessment(1))
    assert book.matured(RIPE_US, in_doubt) == []
    assert set(asked) == {START_US + 1_000_000}, "doubt counts from when the money moved"
    assert book.matured(RIPE_US + LOOK_AGAIN_US - 1, clear) == []
    assert ids(book.matured(RIPE_US + LOOK_AGAIN_US, clear)) == ["t-1"]


def test_a_doubt_that_nobody_resolves_lets_a_transfer_be_forgotten_not_learned(book: Labels) -> None:
    book.assessed(assessment(1))
    end_us = RIPE_US + HELD_LONGEST_US
    for now_us in range(RIPE_US, end_us + LOOK_AGAIN_US, LOOK_AGAIN_US):
        assert book.matured(now_us, lambda *_: True) == []
        assert bool(book.pending) == (now_us < end_us)
    assert book.matured(end_us + DAY_US, clear) == []


def test_a_verdict_on_a_held_transfer_ends_the_wait(book: Labels) -> None:
    book.assessed(assessment(1))
    assert book.matured(RIPE_US, lambda *_: True) == []
    assert book.judged(verdict(1, "fraud"))
    assert book.matured(RIPE_US + DAY_US, clear) == []
    assert not book.pending


@pytest.mark.parametrize("verdict_first", [True, False])
def test_a_verdict_takes_the_place_of_maturity_whichever_comes_first(book: Labels, verdict_first: bool) -> None:
    if not verdict_first:
        book.assessed(assessment(1))
    assert book.judged(verdict(1, "fraud"))
    if verdict_first:
        book.assessed(assessment(1))
    assert book.matured(START_US + 30 * DAY_US, clear) == []


def test_a_repeated_verdict_tells_nothing_new_and_a_changed_one_does(book: Labels) -> None:
    assert book.judged(verdict(1, "fraud"))
    assert not book.judged(verdict(1, "fraud"))
    assert book.judged(verdict(1, "honest"))


SOURCES = ("bank", "victim_report", "sample", "analyst")


@given(st.permutations(list(zip(SOURCES, ("honest", "fraud", "fraud", "honest"), strict=True))))
def test_the_highest_source_counts_whatever_the_order(said: list[tuple[str, str]]) -> None:
    book = Labels(maturity_us=DAY_US)
    for source, label in said:
        book.judged(verdict(1, label, source))
    assert not book.labelled["t-1"].fraud
    assert not book.judged(verdict(1, "fraud", "victim_report"))
    assert not book.judged(verdict(1, "fraud", "unheard_of"))
    assert book.judged(verdict(1, "fraud", "analyst"))


def test_only_a_fraud_found_by_lot_stands_for_others_and_not_for_too_many() -> None:
    assert weight_of(verdict(1, "fraud")) == 1.0
    assert weight_of(verdict(1, "fraud", "sample", 0.02)) == pytest.approx(50.0)
    assert weight_of(verdict(1, "fraud", "sample", 0.0005)) == MOST_SAMPLE_WEIGHT
    assert weight_of(verdict(1, "honest", "sample", 0.02)) == 1.0
    assert weight_of(verdict(1, "fraud", "sample", 0.0)) == 1.0, "no chance at all is no lot"


def test_transfers_mature_by_their_own_time_not_by_their_arrival(book: Labels) -> None:
    for number in (3, 1, 2):
        book.assessed(assessment(number))
    assert ids(book.matured(START_US + 30 * DAY_US, clear)) == ["t-1", "t-2", "t-3"]


@given(
    numbers=st.lists(st.integers(0, 30), unique=True),
    held_s=st.integers(0, 31),
    maturity_us=st.integers(0, 3 * DAY_US),
    age_us=st.integers(0, 30_000_000),
)
def test_another_maturity_holds_as_if_it_had_done_so_from_the_beginning(
    numbers: list[int], held_s: int, maturity_us: int, age_us: int
) -> None:
    changed, always = Labels(maturity_us=DAY_US), Labels(maturity_us=maturity_us)
    for number, book in product(numbers, (changed, always)):
        book.assessed(assessment(number))
    assert changed.matured(START_US + DAY_US + held_s * 1_000_000, lambda *_: True) == []
    changed.mature_after(maturity_us)
    for book in (changed, always):
        book.assessed(assessment(31))
    for now_us in (START_US + maturity_us + age_us, START_US + maturity_us + 31_000_000):
        assert changed.matured(now_us, clear) == always.matured(now_us, clear)
    assert not changed.pending


def test_of_too_many_a_fair_sample_is_kept_and_stands_for_all(book: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_PENDING", 1_000)
    for number in range(20_000):
        book.assessed(assessment(number))
    assert len(book.pending) <= 1_000
    kept = book.matured(START_US + 30 * DAY_US, clear)
    assert sum(item.weight for item in kept) == pytest.approx(20_000, rel=0.25)


def test_memory_of_labels_is_bounded(book: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_LABELLED", 10)
    for number in range(30):
        book.judged(verdict(number, "fraud"))
    assert len(book.labelled) == 10
    assert not book.judged(verdict(29, "fraud"))


@given(st.text(min_size=1), st.integers(1, 20))
def test_samples_are_nested(transfer_id: str, level: int) -> None:
    assert not is_sampled(transfer_id, level) or is_sampled(transfer_id, level - 1)
    assert is_sampled(transfer_id, 0)
