"""The worst misses are the very frauds that one would pick with everything kept, though few are."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band
from models.risk.learning.learner import Learner
from models.risk.profile import EMPTY_PROFILE
from models.risk.scorer import Draft, Scorer
from simulators.replay_misses import CANDIDATES_KEPT, Candidate, WorstMisses, last_from
from simulators.transferfile import FileRow
from tests.transfers import pay

PANEL = Learner(seed=1).panel()
SCORER = Scorer(panel=PANEL)
TOLD = 5


def judged(transfer: Transfer) -> tuple[Draft, Assessment]:
    view = SCORER.debit(EMPTY_PROFILE, transfer).view
    assert view is not None
    draft = SCORER.credit(EMPTY_PROFILE, transfer, view, AccountLists()).draft
    return draft, SCORER.judge([draft])[0]


DRAFT, ASSESSMENT = judged(pay("a", "b", 5_000))


def candidate(number: int, risk: float, case: str) -> Candidate:
    return Candidate(
        number=number,
        case=case,
        row=FileRow(DRAFT.transfer, True, ""),
        draft=DRAFT,
        assessment=msgspec.structs.replace(ASSESSMENT, risk=risk),
        scorer=SCORER,
        panel=PANEL,
    )


def picked(frauds: list[Candidate], first: int) -> list[Candidate]:
    chosen: dict[str, Candidate] = {}
    for fraud in sorted(frauds, key=lambda each: (each.risk, -each.number)):
        if fraud.number >= first:
            chosen.setdefault(fraud.case, fraud)
    return list(chosen.values())[:TOLD]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cases", [3, 40, 5_000])
@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.0])
def test_the_same_as_with_everything_kept_wherever_the_stream_ends(seed, cases, slope):
    """Also when risks fall or rise all along, or are often equal."""
    rng = np.random.default_rng(seed)
    misses, frauds = WorstMisses(TOLD), list[Candidate]()
    for number in np.flatnonzero(rng.random(1_000) < 0.2).tolist():
        risk = round(float(rng.random()) + slope * number / 1_000, 2)
        frauds.append(candidate(number, risk, f"case {rng.integers(cases)}"))
        misses.offer(frauds[-1])
        first = last_from(number + 1)
        assert misses.worst(first) == picked(frauds, first)


def test_few_are_kept_of_a_file_that_is_all_fraud():
    misses = WorstMisses()
    for number in range(3_000):
        misses.offer(candidate(number, number / 3_000, str(number)))
    assert len(misses) <= CANDIDATES_KEPT
    assert len(misses.worst(last_from(3_000))) == 25


def test_a_miss_tells_the_rules_that_fired_though_its_decision_kept_none():
    """The critical path saves the reasons of what is let through; the story has them all the same."""
    assert (ASSESSMENT.band, ASSESSMENT.reasons) == (Band.ALLOW, ())
    miss = candidate(0, ASSESSMENT.risk, "1")
    reasons = miss.reasons()
    assert {reason.code for reason in reasons} == {"V08"}
    assert "5000.0 yuan" in reasons[0].en
    assert math.isclose(sum(reason.weight for reason in SCORER.grounds(DRAFT, ASSESSMENT)), ASSESSMENT.risk)
    assert any("usually" in told and "odds" in told for told in miss.contributions())
