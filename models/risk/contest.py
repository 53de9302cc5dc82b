"""Which panel is in service: the champion, a challenger on trial beside it, and the last good one to fall back to.

Rivals are judged by log loss on labels that neither side has learned, each
label once, before the learner gets it. A challenger is promoted only if it was
no worse; a champion that is clearly worse than the last good panel loses its
place. The last good panel stays what it is until a champion has beaten it, so
that many small losses add up and are seen. No clock, no I/O; a contest can be saved and go on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.columns import RULE_RISK
from models.risk.learning.trials import log_loss, mean_and_error
from models.risk.panel import TrainedPanel, panel_from_snapshot, panel_from_state, watched_from
from models.risk.snapshot import encode_state

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

RISK_FLOOR: Final = 1e-9
"""Risks are kept this far from 0 and 1 before their logarithm is taken; the last decimal of a risk."""

LABELS_KEPT: Final = 20_000
"""Labels kept of one comparison; of more, honest ones are thinned out."""

SHIFT_LIMIT: Final = 40.0
HALVINGS: Final = 50

DAY_US: Final = 86_400_000_000


class Role(StrEnum):
    """What a panel beside the champion is there for."""

    CHALLENGER = "challenger"
    LAST_GOOD = "last_good"


class Outcome(StrEnum):
    """How a judgement ended."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    FELL_BACK = "fell_back"


class ContestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When there is evidence enough (all ours)."""

    frauds: int = 20
    """Labelled frauds before anything is judged,"""
    honest: int = 200
    """and labelled honest transfers."""
    longest_trial_us: int = 14 * DAY_US
    """A challenger without that evidence by then is rejected; the learner will make another."""
    clearly: float = 2.0
    """Standard errors by which a champion must be worse to fall back, or better to be the last good one itself,"""
    harm: float = 0.1
    """and by what share its loss must be higher to fall back: a difference that matters, not only one that shows."""
    horizon_frauds: int = 100
    """Champion and last good panel are compared on labels since the latest so many frauds: five looks' worth."""


DEFAULT_CONTEST: Final = ContestSettings()


class Evidence(msgspec.Struct):
    """Logits of champion and rival on labels, and what the difference in loss comes to."""

    fraud: list[bool] = []
    weight: list[float] = []
    """How many transfers each label stands for."""
    champion: list[float] = []
    rival: list[float] = []
    new_frauds: int = 0
    """Labelled frauds since the last look,"""
    new_honest: int = 0
    """and labelled honest transfers."""

    def add(self, champion: Floats, rival: Floats, fraud: Bools, weights: Floats) -> None:
        """Take both logits (n) of labelled transfers, and how many transfers each stands for."""
        self.fraud += fraud.tolist()
        self.weight += weights.tolist()
        self.champion += champion.tolist()
        self.rival += rival.tolist()
        found = int(fraud.sum())
        self.new_frauds += found
        self.new_honest += len(fraud) - found
        if len(self.fraud) > LABELS_KEPT:
            self._thin()

    def looked(self, horizon_frauds: int) -> None:
        """Note a look that decided nothing; forget what is older than the latest ``horizon_frauds`` frauds."""
        self.new_frauds = self.new_honest = 0
        fraud = np.array(self.fraud, bool)
        self._keep(np.cumsum(fraud) > int(fraud.sum()) - horizon_frauds)

    def _thin(self) -> None:
        """Keep every second honest label, which then stands for two."""
        fraud = np.array(self.fraud)
        self.weight = (np.where(fraud, 1.0, 2.0) * np.array(self.weight)).tolist()
        self._keep(fraud | (np.cumsum(~fraud) % 2 == 1))

    def _keep(self, kept: Bools) -> None:
        self.fraud, self.weight = np.array(self.fraud)[kept].tolist(), np.array(self.weight)[kept].tolist()
        self.champion, self.rival = np.array(self.champion)[kept].tolist(), np.array(self.rival)[kept].tolist()

    @property
    def frauds(self) -> int:
        """Labelled frauds."""
        return sum(self.fraud)

    @property
    def honest(self) -> int:
        """Labelled honest transfers that are kept."""
        return len(self.fraud) - sum(self.fraud)

    def verdict(self) -> Gap:
        """Return how much more the rival loses than the champion, both at the labels' own share of fraud.

        Frauds get their label at once, honest transfers when nobody has doubted them for
        long, so the mix of fresh labels says nothing of the level of risk. Each side's
        logits are therefore shifted to that mix before losses are compared (an
        intercept is fitted), so that only what tells fraud from honest counts.
        """
        if not self.frauds or not self.honest:
            return Gap(0.0, 0.0, 0.0)
        fraud, weights = np.array(self.fraud), np.array(self.weight)
        champion, rival = (_shifted_losses(np.array(side), fraud, weights) for side in (self.champion, self.rival))
        mean, error = mean_and_error(rival - champion, weights)
        return Gap(mean, error, float((weights * rival).sum()) / float(weights.sum()))


class Gap(NamedTuple):
    """Mean log loss of a rival less that of the champion, its standard error, and the rival's mean log loss."""

    mean: float
    error: float
    rival_loss: float


class ContestState(msgspec.Struct, frozen=True, kw_only=True):
    """A contest as it is saved; panels are payloads of snapshots. The challenger is the learner's own panel."""

    champion: bytes
    last_good: bytes | None
    on_trial: bool
    since_us: int
    apart: bool
    evidence: dict[str, Evidence]


class Contest:
    """Champion, challenger and last good panel; decides from labels alone which one serves."""

    def __init__(self, champion: TrainedPanel, *, settings: ContestSettings = DEFAULT_CONTEST) -> None:
        self._settings = settings
        self.champion = champion
        self.rivals: dict[Role, TrainedPanel] = {}
        self.evidence: dict[Role, Evidence] = {}
        self.apart = False
        """Whether the learner has lost its place: only a trial that it wins brings it back."""
        self._since_us = 0

    @property
    def on_trial(self) -> bool:
        """Whether a challenger is on trial."""
        return Role.CHALLENGER in self.rivals

    def follow(self, panel: TrainedPanel) -> None:
        """Take what the learner has learned online, but for what is on trial.

        While new trees are on trial the champion keeps its own trees and their weights.
        Once the learner has lost its place, nothing of it reaches the champion.
        """
        if self.on_trial:
            self.rivals[Role.CHALLENGER] = panel
        if not self.apart:
            own = self.champion.state
            kept = {"forest": own.forest, "blend": own.blend} if self.on_trial else {}
            self.champion = panel_from_state(msgspec.structs.replace(panel.state, **kept)) if kept else panel

    def watch_from(self, threshold: float | None) -> None:
        """Let the champion watch from another risk on; its risks, and so the contest, stay as they are."""
        if threshold != self.champion.watch_from:
            self.champion = watched_from(self.champion, threshold)

    def refitted(self, panel: TrainedPanel, at_us: int) -> None:
        """Take the learner's panel with new trees: on trial, or at once where there have been none.

        The first trees stand against no trees, which labels soon show to be worse;
        the panel without them stays as the last good one.
        """
        if self.champion.forest is None and not self.apart:
            self._succeed(panel)
        else:
            self.challenge(panel, at_us)

    def challenge(self, panel: TrainedPanel, at_us: int) -> None:
        """Put a panel on trial at world time ``at_us``, in place of the challenger there may be."""
        self._enter(Role.CHALLENGER, panel)
        self._since_us = at_us

    def judge(self, rows: Floats, fraud: Bools, weights: Floats, at_us: int) -> Outcome | None:
        """Take labels that nobody has learned yet (n x features, n, n) and return what they decide, if anything."""
        if len(rows) and self.rivals:
            champion = logits(self.champion, rows)
            for role, panel in self.rivals.items():
                self.evidence[role].add(champion, logits(panel, rows), fraud, weights)
        return self._guarded() or self._tried(at_us)

    def dump(self) -> ContestState:
        """Return everything needed to go on from here, beside the learner."""
        last_good = self.rivals.get(Role.LAST_GOOD)
        return ContestState(
            champion=encode_state(self.champion.state),
            last_good=None if last_good is None else encode_state(last_good.state),
            on_trial=self.on_trial,
            since_us=self._since_us,
            apart=self.apart,
            evidence={role.value: found for role, found in self.evidence.items()},
        )

    @classmethod
    def load(
        cls, state: ContestState, learned: TrainedPanel, *, settings: ContestSettings = DEFAULT_CONTEST
    ) -> Contest:
        """Return the contest of `dump`, the challenger being the learner's panel; raise `SnapshotError`."""
        contest = cls(panel_from_snapshot(state.champion), settings=settings)
        if state.last_good is not None:
            contest.rivals[Role.LAST_GOOD] = panel_from_snapshot(state.last_good)
        if state.on_trial:
            contest.rivals[Role.CHALLENGER] = learned
        contest.evidence = {role: state.evidence.get(role.value, Evidence()) for role in contest.rivals}
        contest.apart, contest._since_us = state.apart, state.since_us
        return contest

    def _enter(self, role: Role, panel: TrainedPanel) -> None:
        self.rivals[role], self.evidence[role] = panel, Evidence()

    def _leave(self, role: Role) -> None:
        self.rivals.pop(role, None)
        self.evidence.pop(role, None)

    def _succeed(self, panel: TrainedPanel) -> None:
        """Put a panel into service; the last good one stays, or is the old champion where there is none."""
        self._enter(Role.LAST_GOOD, self.rivals.get(Role.LAST_GOOD, self.champion))
        self.champion = panel

    def _enough(self, role: Role) -> bool:
        found, settings = self.evidence.get(role), self._settings
        return found is not None and found.new_frauds >= settings.frauds and found.new_honest >= settings.honest

    def _guarded(self) -> Outcome | None:
        """Fall back to the last good panel if the champion is clearly worse; let it be that one if clearly better.

        Anything between leaves the last good panel as it is: if each champion that is
        not much worse took its place, quality could slide away in many small steps.
        """
        if not self._enough(Role.LAST_GOOD):
            return None
        evidence, settings = self.evidence[Role.LAST_GOOD], self._settings
        gap = evidence.verdict()
        if -gap.mean > max(settings.harm * gap.rival_loss, settings.clearly * gap.error):
            return self._fall_back()
        if gap.mean > settings.clearly * gap.error:
            self._enter(Role.LAST_GOOD, self.champion)
        else:
            evidence.looked(settings.horizon_frauds)
        return None

    def _fall_back(self) -> Outcome:
        self.champion = self.rivals[Role.LAST_GOOD]
        self._leave(Role.LAST_GOOD)
        self._leave(Role.CHALLENGER)
        self.apart = True
        return Outcome.FELL_BACK

    def _tried(self, at_us: int) -> Outcome | None:
        """Promote or reject the challenger once there is evidence, or its time is over."""
        if not self.on_trial:
            return None
        enough = self._enough(Role.CHALLENGER)
        if not enough and at_us - self._since_us < self._settings.longest_trial_us:
            return None
        challenger, better = self.rivals[Role.CHALLENGER], self.evidence[Role.CHALLENGER].verdict().mean <= 0.0
        self._leave(Role.CHALLENGER)
        if not (enough and better):
            return Outcome.REJECTED
        self._succeed(challenger)
        self.apart = False
        return Outcome.PROMOTED


def logits(panel: TrainedPanel, rows: Floats) -> Floats:
    """Return the log-odds of a panel's risk on each transfer (n)."""
    risks = np.clip(np.array(panel.score(rows, rows[:, RULE_RISK]).risks), RISK_FLOOR, 1.0 - RISK_FLOOR)
    found: Floats = np.log(risks) - np.log1p(-risks)
    return found


def _shifted_losses(values: Floats, fraud: Bools, weights: Floats) -> Floats:
    """Return log losses (n) of logits after the one shift that makes their mean risk the share of fraud."""
    share = float(weights[fraud].sum() / weights.sum())
    low, high = -SHIFT_LIMIT, SHIFT_LIMIT
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        mean = float((weights / (1.0 + np.exp(-(values + middle)))).sum() / weights.sum())
        low, high = (middle, high) if mean < share else (low, middle)
    return log_loss(values + (low + high) / 2.0, fraud)
