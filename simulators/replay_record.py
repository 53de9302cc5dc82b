"""What a replay keeps for the judge and for the report, within bounds."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.assessment import Assessment
from models.risk.evaluation import (
    BUDGETS,
    MONEY_BUDGET,
    NO_CASE,
    Judged,
    alert_order,
    alerts,
    calibration,
    precision_recall_points,
    recall_by_budget,
)
from simulators.replay_engine import Assessed
from simulators.replay_misses import Candidate, WorstMisses
from simulators.transferfile import FileRow

TOLD_EVERY: Final = 20_000
"""Rows between two words on progress."""

ALERTED_KEPT: Final = 5_000
"""Highest risks whose reasons are kept for the report."""

TIME_SLICES: Final = 24
BUDGET_POINTS: Final = np.geomspace(0.0005, 0.05, 40)


class Tale(msgspec.Struct, frozen=True):
    """One missed fraud, as the report tells it.

    ``rank`` among the risks of the judged part; ``case_rows`` and ``case_found`` count the frauds of
    its case there, and those of them within the budget of `MONEY_BUDGET`. ``reasons`` are the rules that fired,
    ``contributions`` what raised and lowered the risk.
    """

    row: int
    risk: float
    rank: int
    transfer_id: str
    occurred_us: int
    payer: str
    payee: str
    amount_fen: int
    typology: str
    case: str
    case_rows: int
    case_found: int
    scores: dict[str, float]
    reasons: tuple[str, ...]
    contributions: tuple[str, ...]


class Slice(msgspec.Struct, frozen=True):
    """A stretch of the stream: when it began, rows, frauds, recall at 0.5 % of its rows, mean risk."""

    since_us: int
    rows: int
    fraud: int
    recall: float
    mean_risk: float


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Material of the report, beyond the figures."""

    precision_recall: list[tuple[float, float]]
    recall_by_budget: list[tuple[float, float]]
    bins: list[tuple[float, float, int]]
    slices: list[Slice]
    reasons: list[tuple[str, str, int, int]]
    """Code, text of an example, alerted rows with it, fraud among them."""
    misses: list[Tale]
    """Frauds of the last part with the lowest risks, one for each case while cases last."""


class Recorder:
    """Takes chunks of scored rows; gives the judge's arrays and the report's story."""

    def __init__(self, cases: dict[str, str], progress: Callable[[int], None]) -> None:
        self._cases, self._progress = cases, progress
        self._case_numbers: dict[str, int] = {}
        self._risks: list[float] = []
        self._fraud: list[bool] = []
        self._amounts: list[int] = []
        self._times: list[int] = []
        self._case_of: list[int] = []
        self._typologies: list[str] = []
        self._alerted: list[tuple[float, int, tuple[tuple[str, str], ...]]] = []
        self._misses = WorstMisses()
        self._told = 0

    def tell(self, chunk: Assessed) -> None:
        """Take one chunk; a transfer without assessment counts as risk 0."""
        for place, (row, assessment) in enumerate(zip(chunk.rows, chunk.assessments, strict=True)):
            risk = 0.0 if assessment is None else assessment.risk
            number = len(self._risks)
            self._risks.append(risk)
            self._fraud.append(row.fraud)
            self._amounts.append(row.transfer.amount_fen)
            self._times.append(row.transfer.occurred_us)
            self._case_of.append(self._case(row))
            self._typologies.append(row.typology if row.fraud else "")
            if assessment is not None:
                self._keep_alert(number, assessment)
            if row.fraud:
                self._offer_miss(number, chunk, place)
        if len(self._risks) - self._told >= TOLD_EVERY:
            self._told = len(self._risks)
            self._progress(self._told)

    def judged(self) -> Judged:
        """Return all rows for the judge."""
        return Judged(
            risks=np.array(self._risks),
            fraud=np.array(self._fraud, dtype=bool),
            amounts_fen=np.array(self._amounts, dtype=np.int64),
            cases=np.array(self._case_of, dtype=np.int64),
            typologies=np.array(self._typologies, dtype=str),
        )

    def story(self, last_from: int) -> Story:
        """Return the report's material; ``last_from`` is the first row of the judged part."""
        judged = self.judged().part(last_from)
        return Story(
            precision_recall=precision_recall_points(judged),
            recall_by_budget=recall_by_budget(judged, BUDGET_POINTS),
            bins=list(calibration(judged).bins),
            slices=self._slices(),
            reasons=self._reasons(last_from),
            misses=self._tales(last_from),
        )

    def _case(self, row: FileRow) -> int:
        name = self._cases.get(row.transfer.transfer_id) if row.fraud else None
        return NO_CASE if name is None else self._case_numbers.setdefault(name, len(self._case_numbers))

    def _keep_alert(self, number: int, assessment: Assessment) -> None:
        if len(self._alerted) < ALERTED_KEPT or assessment.risk > self._alerted[0][0]:
            entry = (assessment.risk, number, tuple((reason.code, reason.en) for reason in assessment.reasons))
            push = heapq.heappush if len(self._alerted) < ALERTED_KEPT else heapq.heappushpop
            push(self._alerted, entry)

    def _offer_miss(self, number: int, chunk: Assessed, place: int) -> None:
        row, draft, assessment = chunk.rows[place], chunk.drafts[place], chunk.assessments[place]
        if draft is None or assessment is None:
            return
        transfer_id = row.transfer.transfer_id
        self._misses.offer(
            Candidate(
                number=number,
                case=self._cases.get(transfer_id, transfer_id),
                row=row,
                draft=draft,
                assessment=assessment,
                scorer=chunk.scorer,
                panel=chunk.panel,
            )
        )

    def _slices(self) -> list[Slice]:
        risks, fraud = np.array(self._risks), np.array(self._fraud, dtype=bool)
        edges = np.linspace(0, len(risks), min(TIME_SLICES, max(len(risks), 1)) + 1).astype(int)
        out = []
        for start, stop in pairwise(edges):
            part, labels = risks[start:stop], fraud[start:stop]
            caught = labels[alert_order(part)[: int(len(part) * 0.005)]].sum()
            recall = float(caught / labels.sum()) if labels.any() else 0.0
            mean = float(part.mean()) if len(part) else 0.0
            out.append(Slice(self._times[start] if len(part) else 0, len(part), int(labels.sum()), recall, mean))
        return out

    def _reasons(self, last_from: int) -> list[tuple[str, str, int, int]]:
        seen, true, example = Counter[str](), Counter[str](), dict[str, str]()
        for _, number, reasons in self._alerted:
            if number < last_from:
                continue
            for code, text in reasons:
                seen[code] += 1
                true[code] += self._fraud[number]
                example.setdefault(code, text)
        return [(code, example[code], count, true[code]) for code, count in seen.most_common(20)]

    def _tales(self, last_from: int) -> list[Tale]:
        risks = np.array(self._risks)[last_from:]
        ranks = np.empty(len(risks), dtype=np.int64)
        ranks[alert_order(risks)] = np.arange(1, len(risks) + 1)
        found = alerts(risks, BUDGETS[MONEY_BUDGET])
        return [self._tale(miss, last_from, ranks, found) for miss in self._misses.worst(last_from)]

    def _tale(
        self, miss: Candidate, last_from: int, ranks: npt.NDArray[np.int64], found: npt.NDArray[np.bool_]
    ) -> Tale:
        transfer, place = miss.row.transfer, miss.number - last_from
        of_case = np.array(self._case_of[last_from:]) == self._case_of[miss.number]
        named = self._case_of[miss.number] != NO_CASE
        return Tale(
            row=miss.number,
            risk=miss.risk,
            rank=int(ranks[place]),
            transfer_id=transfer.transfer_id,
            occurred_us=transfer.occurred_us,
            payer=transfer.payer,
            payee=transfer.payee,
            amount_fen=transfer.amount_fen,
            typology=miss.row.typology,
            case=self._cases.get(transfer.transfer_id, ""),
            case_rows=int(of_case.sum()) if named else 0,
            case_found=int((of_case & found).sum()) if named else 0,
            scores={score.name: score.score for score in miss.assessment.scores},
            reasons=tuple(f"{reason.code} {reason.en}" for reason in miss.reasons()),
            contributions=miss.contributions(),
        )
