"""The contest of panels on live traffic: feeds it, counts it, and tells operators what it says.

Every live transfer is scored by the champion and by each rival, every label is
judged before the learner gets it. The report is a file beside the trainer's
state, for ``sluice shadow``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from models.risk.assessment import Assessment, Band
from models.risk.columns import RULE_RISK
from models.risk.contest import Contest, Evidence, Outcome, Role
from models.risk.panel import TrainedPanel
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings
from models.risk.scorer import Scorer
from models.risk.shadow import SIDES, Seen, Shadow, ShadowFigures
from telemetry.metrics import (
    CONTESTS,
    DRIFT_ALARM,
    SHADOW_LABELLED,
    SHADOW_LOSS_GAP,
    SHADOW_ON_TRIAL,
    SHADOW_STOPS,
    SHADOW_TRANSFERS,
)

log = structlog.get_logger(__name__)

FALLBACK: Final = "fallback"
"""Signal of the drift alarm while the last good panel serves."""

WHO: Final = ("champion_only", "rival_only", "both")
LABELS: Final = ("fraud", "honest")
LOGGED_IDS: Final = 5
"""Of each kind of difference, how many transfers a log line names."""


class RivalReport(msgspec.Struct, frozen=True, kw_only=True):
    """One rival beside the champion since it became one; ``loss_gap`` below 0 means the rival is better.

    Labels are saved with the trainer; ``figures`` are counted since its last start.
    Of the last good panel only the latest labels are counted, as far back as it is compared.
    """

    role: Role
    version: str
    labelled_frauds: int
    labelled_honest: int
    loss_gap: float
    loss_gap_error: float
    figures: ShadowFigures


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `sluice shadow` prints; world time in UTC microseconds."""

    at_us: int
    champion: str
    on_trial: bool
    fallback: bool
    rivals: tuple[RivalReport, ...]


class Watch:
    """Compares panels on what the trainer reads anyway."""

    def __init__(self, contest: Contest, rules: RuleSettings = DEFAULT_RULES) -> None:
        self.contest = contest
        self._scorer = Scorer(rules=rules)
        self._shadows: dict[Role, Shadow] = {}
        self._begun: dict[Role, Evidence] = {}
        _touch()
        self._settle()

    def observe(self, assessed: Sequence[Assessment], rows: Any) -> None:
        """Score live transfers (rows: n x features) by the champion and every rival."""
        if not assessed or not self.contest.rivals:
            return
        champion = self._listed(self.contest.champion, assessed, rows)
        for role, panel in self.contest.rivals.items():
            rival = self._listed(panel, assessed, rows)
            self._count(role, [_seen(*each) for each in zip(assessed, champion, rival, strict=True)])

    def _listed(self, panel: TrainedPanel, assessed: Sequence[Assessment], rows: Any) -> list[tuple[float, Band]]:
        """Return a panel's risk after lists and band of each transfer."""
        risks = panel.score(rows, rows[:, RULE_RISK]).risks
        return [
            self._scorer.decide(risk, item.lists, item.transfer.amount_fen)[:2]
            for risk, item in zip(risks, assessed, strict=True)
        ]

    def _count(self, role: Role, seen: Sequence[Seen]) -> None:
        shadow = self._shadows[role]
        before = dict(shadow.stops)
        shadow.observe(seen)
        SHADOW_TRANSFERS.labels(role).inc(len(seen))
        for who, count in shadow.stops.items():
            SHADOW_STOPS.labels(role, who).inc(count - before[who])

    def label(self, transfer_id: str, *, fraud: bool) -> None:
        """Take a label for what the panels would have stopped."""
        for role, shadow in self._shadows.items():
            before = {side: msgspec.structs.asdict(shadow.labelled[side]) for side in SIDES}
            shadow.learn(transfer_id, fraud=fraud)
            for side in SIDES:
                for label, count in msgspec.structs.asdict(shadow.labelled[side]).items():
                    SHADOW_LABELLED.labels(role, side, label).inc(count - before[side][label])

    def judge(self, rows: Any, fraud: Any, weights: Any, at_us: int) -> Outcome | None:
        """Judge labels that the learner does not know yet; return what they decide, if anything."""
        outcome = self.contest.judge(rows, fraud, weights, at_us)
        if outcome is not None:
            CONTESTS.labels(outcome).inc()
            log.warning("panels judged", outcome=outcome, champion=self.contest.champion.version)
        self._settle()
        return outcome

    def refitted(self, panel: TrainedPanel, at_us: int) -> None:
        """Take the learner's panel with new trees."""
        self.contest.refitted(panel, at_us)
        self._settle()
        log.info("new trees", version=panel.version, on_trial=self.contest.on_trial)

    def challenge(self, panel: TrainedPanel, at_us: int) -> None:
        """Put the learner's panel on trial."""
        self.contest.challenge(panel, at_us)
        self._settle()

    def _settle(self) -> None:
        """Begin a new comparison for every rival that has just become one, and show where the contest stands."""
        for role in Role:
            evidence = self.contest.evidence.get(role)
            if evidence is None:
                self._shadows.pop(role, None)
                self._begun.pop(role, None)
            elif self._begun.get(role) is not evidence:
                self._shadows[role], self._begun[role] = Shadow(), evidence
            if evidence is None:
                SHADOW_LOSS_GAP.labels(role).set(0.0)
        SHADOW_ON_TRIAL.set(self.contest.on_trial)
        DRIFT_ALARM.labels(FALLBACK).set(self.contest.apart)

    def report(self, at_us: int) -> ShadowReport:
        """Return the comparison so far."""
        contest = self.contest
        rivals = tuple(self._rival(role, panel) for role, panel in contest.rivals.items())
        return ShadowReport(
            at_us=at_us,
            champion=contest.champion.version,
            on_trial=contest.on_trial,
            fallback=contest.apart,
            rivals=rivals,
        )

    def _rival(self, role: Role, panel: TrainedPanel) -> RivalReport:
        evidence = self.contest.evidence[role]
        gap = evidence.verdict()
        return RivalReport(
            role=role,
            version=panel.version,
            labelled_frauds=evidence.frauds,
            labelled_honest=evidence.honest,
            loss_gap=gap.mean,
            loss_gap_error=gap.error,
            figures=self._shadows[role].figures(),
        )

    def tell(self, path: Path, at_us: int) -> None:
        """Write the report, all of it or nothing, and one log line per rival."""
        report = self.report(at_us)
        draft = path.with_name(f"{path.name}.draft")
        draft.write_bytes(msgspec.json.encode(report))
        draft.replace(path)
        for rival in report.rivals:
            figures = rival.figures
            SHADOW_LOSS_GAP.labels(rival.role).set(rival.loss_gap)
            log.info(
                "shadow",
                rival=rival.role,
                champion=report.champion,
                version=rival.version,
                transfers=figures.transfers,
                champion_stops=figures.champion_stops,
                rival_stops=figures.rival_stops,
                overlap=figures.overlap,
                champion_precision=figures.champion_precision,
                rival_precision=figures.rival_precision,
                loss_gap=round(rival.loss_gap, 6),
                only_rival=[each.transfer_id for each in figures.only_rival[-LOGGED_IDS:]],
                only_champion=[each.transfer_id for each in figures.only_champion[-LOGGED_IDS:]],
            )


def _seen(assessment: Assessment, champion: tuple[float, Band], rival: tuple[float, Band]) -> Seen:
    transfer = assessment.transfer
    return Seen(
        transfer_id=transfer.transfer_id,
        occurred_us=transfer.occurred_us,
        amount_fen=transfer.amount_fen,
        champion_risk=champion[0],
        rival_risk=rival[0],
        champion_stops=champion[1] is Band.STOP,
        rival_stops=rival[1] is Band.STOP,
    )


def _touch() -> None:
    """Make every series exist at 0, so that a panel shows "none" and not "no data"."""
    for role in Role:
        SHADOW_TRANSFERS.labels(role)
        for who in WHO:
            SHADOW_STOPS.labels(role, who)
        for side in SIDES:
            for label in LABELS:
                SHADOW_LABELLED.labels(role, side, label)
    for outcome in Outcome:
        CONTESTS.labels(outcome)
