"""One file through the worker's scoring code, in arrival order, labels late.

Progressive: a transfer's features come only from earlier ones, it is scored
before anything is learned from it, and its label reaches the learner only
``labels_delay_us`` of event time later. Panels change between chunks, as a
worker's do between batches; learning is in `replay_learning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from time import thread_time_ns
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from models.money.types import AccountId
from models.risk.assessment import AccountLists, Assessment
from models.risk.features import rows_of
from models.risk.learning.learner import DEFAULT_LEARNING, Health, Learner, LearnerSettings
from models.risk.panel import Panel, PanelScores, TrainedPanel, panel_from_state
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.rules.book import RuleBook
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings
from models.risk.scorer import Draft, Scorer
from models.risk.thresholds import threshold_for_budget
from simulators.labels import NOBODY, Labels, Proven, Selection, Told, told_of
from simulators.replay_learning import Learned, LearningSettings, Scored, learning
from simulators.transferfile import FileRow

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHUNK_ROWS: Final = 256
"""Rows judged at once, the size of a busy worker's batch."""

RULES_EVERY: Final = 64
"""The rules of every 64th transfer are run once more to tell their cost."""

BUDGET_ROWS: Final = 20_000
"""Selective labels: the alert threshold is that of the latest this many transfers."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a replay learns. ``labels_delay_us`` None: no labels at all."""

    labels_delay_us: int | None
    seed: int
    rules: RuleSettings = DEFAULT_RULES
    selection: Selection | None = None
    use_proven: bool = True
    learning: LearnerSettings = DEFAULT_LEARNING


class Assessed(NamedTuple):
    """One chunk of n rows with drafts and assessments (n each; None for a re-posted transfer), and who judged it."""

    rows: list[FileRow]
    drafts: list[Draft | None]
    assessments: list[Assessment | None]
    scorer: Scorer
    panel: TrainedPanel


class Costs(msgspec.Struct):
    """Thread CPU time in nanoseconds, summed over all rows."""

    sides_ns: int = 0
    judge_ns: int = 0
    detectors_ns: int = 0
    rules_ns: int = 0
    rules_runs: int = 0


class TimedPanel:
    """A panel that adds its CPU time to ``costs``."""

    def __init__(self, panel: Panel, costs: Costs) -> None:
        self._panel, self._costs = panel, costs
        self.version, self.watch_from = panel.version, panel.watch_from

    def score(self, rows: Floats, rule_risks: Floats) -> PanelScores:
        """Return what the panel says."""
        began = thread_time_ns()
        spoken = self._panel.score(rows, rule_risks)
        self._costs.detectors_ns += thread_time_ns() - began
        return spoken


class Engine:
    """Scores, and hands on what is to be learned; `run` drives it over a file's rows.

    ``beside`` learns in a second process; the risks are the same.
    """

    def __init__(self, settings: EngineSettings, *, beside: bool = False) -> None:
        self._settings = settings
        labelled = settings.labels_delay_us is not None
        taught = LearningSettings(seed=settings.seed, labelled=labelled, learning=settings.learning)
        self._learning = learning(taught, beside=beside)
        self._learned: Learned | None = None
        self.costs = Costs()
        self._panel = _first_panel(settings)
        self._scorer = Scorer(rules=settings.rules, panel=TimedPanel(self._panel, self.costs))
        self._book = RuleBook(settings.rules)
        self._profiles: dict[AccountId, AccountProfile] = {}
        self._proven = Proven()
        self._now_us = 0
        self._recent: list[float] = []

    @property
    def health(self) -> Health:
        """The learner's health at the end of `run`."""
        if self._learned is None:
            raise RuntimeError("the replay has not ended")
        return self._learned.health

    def us_per_transfer(self, rows: int) -> dict[str, float]:
        """Return CPU microseconds per transfer on one core, by part; features take all that is no other part's."""
        costs, count = self.costs, max(rows, 1)
        total = (costs.sides_ns + costs.judge_ns) / count / 1_000
        rules = costs.rules_ns / max(costs.rules_runs, 1) / 1_000
        detectors = costs.detectors_ns / count / 1_000
        parts = {"features": total - rules - detectors, "rules": rules, "detectors": detectors, "total": total}
        return {name: round(us, 2) for name, us in parts.items()}

    def learning_us(self, rows: int) -> float:
        """Return CPU microseconds per transfer spent on learning, refits included."""
        return round((self._learned.cpu_ns if self._learned is not None else 0) / max(rows, 1) / 1_000, 2)

    def run(self, rows: Iterable[FileRow], tell: Callable[[Assessed], None]) -> None:
        """Score all rows; ``tell`` gets each chunk once it is assessed."""
        stream = iter(rows)
        try:
            while chunk := list(islice(stream, CHUNK_ROWS)):
                self._take_panel()
                assessed = self._score(chunk)
                self._learning.take(self._scored(chunk, assessed.assessments))
                tell(assessed)
        finally:
            self._learned = self._learning.end()

    def _take_panel(self) -> None:
        panel = self._learning.panel()
        if panel is not None:
            self._panel = panel
            self._scorer = self._scorer.with_panel(TimedPanel(panel, self.costs))

    def _score(self, chunk: list[FileRow]) -> Assessed:
        began = thread_time_ns()
        drafts = [self._draft(row) for row in chunk]
        drafted = thread_time_ns()
        known = [draft for draft in drafts if draft is not None]
        judged = iter(self._scorer.judge(known))
        ended = thread_time_ns()
        self.costs.sides_ns += drafted - began
        self.costs.judge_ns += ended - drafted
        self._time_rules(known)
        assessments = [None if draft is None else next(judged) for draft in drafts]
        return Assessed(chunk, drafts, assessments, self._scorer, self._panel)

    def _draft(self, row: FileRow) -> Draft | None:
        transfer = row.transfer
        self._now_us = max(self._now_us, transfer.occurred_us)
        payer, payee, profiles = transfer.payer, transfer.payee, self._profiles
        lists = self._lists(payer, payee)
        debited = self._scorer.debit(profiles.get(payer, EMPTY_PROFILE), transfer)
        profiles[payer] = debited.profile
        if debited.view is None:
            return None
        credited = self._scorer.credit(profiles.get(payee, EMPTY_PROFILE), transfer, debited.view, lists)
        profiles[payee] = credited.profile
        return credited.draft

    def _lists(self, payer: AccountId, payee: AccountId) -> AccountLists:
        return self._proven.lists(payer, payee, self._now_us) if self._settings.use_proven else NOBODY

    def _time_rules(self, drafts: list[Draft]) -> None:
        sample = [draft.facts for draft in drafts[::RULES_EVERY]]
        began = thread_time_ns()
        for facts in sample:
            self._book.hits(facts)
        self.costs.rules_ns += thread_time_ns() - began
        self.costs.rules_runs += len(sample)

    def _scored(self, chunk: list[FileRow], assessments: list[Assessment | None]) -> Scored:
        features = rows_of([one.features for one in assessments if one is not None])
        delay_us = self._settings.labels_delay_us
        if delay_us is None:
            return Scored(len(chunk), self._now_us, features, None)
        labels, by_victim = self._labels(chunk, assessments, features, delay_us)
        known = labels.weights > 0.0
        looked, reported = labels.part(known & ~by_victim), labels.part(known & by_victim)
        return Scored(len(chunk), self._now_us, features, looked, reported)

    def _labels(
        self, chunk: list[FileRow], assessments: list[Assessment | None], features: Floats, delay_us: int
    ) -> tuple[Labels, Bools]:
        """Return a label for each assessed transfer, of weight 0 if none will come, and which come from victims."""
        threshold = self._alert_threshold(assessments)
        known = [(row, one) for row, one in zip(chunk, assessments, strict=True) if one is not None]
        told = [self._told_of(row, one.risk >= threshold, delay_us) for row, one in known]
        due_us = [row.transfer.occurred_us + each.after_us for (row, _), each in zip(known, told, strict=True)]
        for (row, _), each, at_us in zip(known, told, due_us, strict=True):
            if row.fraud and each.weight > 0.0:
                self._proven.put(at_us, row.transfer)
        fraud, weights = np.array([row.fraud for row, _ in known], bool), np.array([each.weight for each in told])
        by_victim = np.array([each.by_victim for each in told], bool)
        return Labels(np.array(due_us, np.int64), features, fraud, weights), by_victim

    def _told_of(self, row: FileRow, alerted: bool, delay_us: int) -> Told:
        transfer_id, selection = row.transfer.transfer_id, self._settings.selection
        return told_of(transfer_id, selection, fraud=row.fraud, alerted=alerted, looked_after_us=delay_us)

    def _alert_threshold(self, assessments: list[Assessment | None]) -> float:
        """Return the risk that the alert budget reached over the latest transfers (selective labels only)."""
        if self._settings.selection is None:
            return 1.0
        known = self._recent
        threshold = threshold_for_budget(np.array(known), self._settings.selection.alerted_budget)
        self._recent = (known + [one.risk for one in assessments if one is not None])[-BUDGET_ROWS:]
        return threshold


def _first_panel(settings: EngineSettings) -> TrainedPanel:
    """Return the panel of a learner that has seen nothing."""
    return panel_from_state(Learner(seed=settings.seed, settings=settings.learning).state())
