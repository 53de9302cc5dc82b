"""The worst misses of a replay: found as frauds pass, told at the end, since only then the judged part is known."""

from __future__ import annotations

from typing import Final

import msgspec

from models.risk.assessment import Assessment, Reason
from models.risk.explain import explain
from models.risk.panel import TrainedPanel
from models.risk.scorer import Draft, Scorer
from simulators.transferfile import FileRow

LAST_SHARE: Final = 0.4
"""Part of the rows, the latest, that figures and misses are taken from."""

MISSES_TOLD: Final = 25
CANDIDATES_KEPT: Final = 400
"""Frauds kept at most, with the panels that judged them (a few hundred KB each)."""

REASONS_TOLD: Final = 4
CONTRIBUTIONS_TOLD: Final = 6


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A fraud that may turn out to be among the worst misses, with all that is needed to say why it was missed.

    ``number`` is its place in the file, ``case`` its ring, or its own id if none is known.
    """

    number: int
    case: str
    row: FileRow
    draft: Draft
    assessment: Assessment
    scorer: Scorer
    panel: TrainedPanel

    @property
    def risk(self) -> float:
        """The risk it was given."""
        return self.assessment.risk

    def reasons(self) -> tuple[Reason, ...]:
        """Return the rules that fired, strongest first, and what the detectors added."""
        return self.scorer.grounds(self.draft, self.assessment)[:REASONS_TOLD]

    def contributions(self) -> tuple[str, ...]:
        """Return what raised and what lowered the risk, with the usual and the present value, strongest first."""
        found = explain(self.assessment, self.panel, most=CONTRIBUTIONS_TOLD, scorer=self.scorer)
        return tuple(part.en for part in found.contributions)


class WorstMisses:
    """The frauds with the lowest risks of the last part of a stream whose end is not known yet, one for each case.

    A fraud is forgotten once no end of the stream can bring it back: it is before the
    last part already, or later frauds have beaten it (one of its own case, or as many
    other cases as are told). So few are kept, and nothing but that is done as they pass.
    """

    def __init__(self, told: int = MISSES_TOLD) -> None:
        self._told = told
        self._kept: list[tuple[Candidate, set[str]]] = []
        """With the cases that have beaten each since."""

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, new: Candidate) -> None:
        """Take the next fraud of the stream."""
        begins = last_from(new.number + 1)
        for old, beaten_by in self._kept:
            if new.risk <= old.risk:
                beaten_by.add(new.case)
        self._kept = [
            (old, beaten_by)
            for old, beaten_by in self._kept
            if old.number >= begins and old.case not in beaten_by and len(beaten_by) < self._told
        ]
        self._kept.append((new, set()))
        if len(self._kept) > CANDIDATES_KEPT:
            self._kept.remove(max(self._kept, key=lambda each: each[0].risk))

    def worst(self, first: int) -> list[Candidate]:
        """Return those from row ``first`` on, lowest risk first, of equal ones the latest; one for each case."""
        order = sorted((old for old, _ in self._kept if old.number >= first), key=lambda old: (old.risk, -old.number))
        chosen: dict[str, Candidate] = {}
        for candidate in order:
            chosen.setdefault(candidate.case, candidate)
        return list(chosen.values())[: self._told]


def last_from(rows: int) -> int:
    """Return the first row of the last part of a stream of so many rows.

    >>> last_from(1_000)
    600
    """
    return int(rows * (1 - LAST_SHARE))
