"""Which panel is in service: the champion, a challenger on trial beside it, and the last good one to fall back to.

Rivals are judged by log loss on labels that neither side has learned, each
label once, before the learner gets it. A challenger is promoted only if it was
no worse; a champion that is clearly worse than the last good panel loses its
place. No clock, no I/O; all figures are sums, so a contest can be saved and go on.
"""

from __future__ import annotations

from enum import StrEnum
from math import sqrt
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.columns import FEATURE_INDEX
from models.risk.panel import TrainedPanel, panel_from_snapshot
from models.risk.snapshot import encode_state

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

RULE_RISK: Final = FEATURE_INDEX["rule_risk"]
RISK_FLOOR: Final = 1e-9
"""Risks are kept this far from 0 and 1 before their logarithm is taken; the last decimal of a risk."""

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
    """Standard errors by which a champion must be worse to fall back,"""
    harm: float = 0.1
    """and by what share its loss must be higher: a difference that matters, not only one that shows."""


DEFAULT_CONTEST: Final = ContestSettings()


class Evidence(msgspec.Struct):
    """Sums over labels: how much more a rival lost than the champion. Negative means the rival is better."""

    frauds: int = 0
    honest: int = 0
    weight: float = 0.0
    gap: float = 0.0
    squares: float = 0.0
    """Sum of squared weights,"""
    squares_gap: float = 0.0
    """times gap,"""
    squares_gap2: float = 0.0
    """times gap squared."""
    rival_loss: float = 0.0

    def add(self, champion: Floats, rival: Floats, fraud: Bools, weights: Floats) -> None:
        """Take both losses (n) on labelled transfers, and how many transfers each stands for."""
        gaps, squares = rival - champion, weights**2
        self.frauds += int(fraud.sum())
        self.honest += int((~fraud).sum())
        self.weight += float(weights.sum())
        self.gap += float((weights * gaps).sum())
        self.squares += float(squares.sum())
        self.squares_gap += float((squares * gaps).sum())
        self.squares_gap2 += float((squares * gaps**2).sum())
        self.rival_loss += float((weights * rival).sum())

    @property
    def mean(self) -> float:
        """Mean log loss of the rival less that of the champion; 0 before any label."""
        return self.gap / self.weight if self.weight else 0.0

    @property
    def error(self) -> float:
        """Standard error of `mean`."""
        mean = self.mean
        spread = self.squares_gap2 - 2.0 * mean * self.squares_gap + mean**2 * self.squares
        return sqrt(max(spread, 0.0)) / self.weight if self.weight else 0.0


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
        """Whether a challenger is on trial; the champion stays as it is for so long."""
        return Role.CHALLENGER in self.rivals

    def follow(self, panel: TrainedPanel) -> None:
        """Take what the learner has learned online: into the champion, or into the challenger while on trial."""
        if self.on_trial:
            self.rivals[Role.CHALLENGER] = panel
        elif not self.apart:
            self.champion = panel

    def refitted(self, panel: TrainedPanel, at_us: int) -> None:
        """Take the learner's panel with new trees: on trial, or at once where there have been none.

        The first trees stand against no trees, which labels soon show to be worse;
        the panel without them stays as the last good one.
        """
        if self.champion.forest is None and not self.apart:
            self._enter(Role.LAST_GOOD, self.champion)
            self.champion = panel
        else:
            self.challenge(panel, at_us)

    def challenge(self, panel: TrainedPanel, at_us: int) -> None:
        """Put a panel on trial at world time ``at_us``, in place of the challenger there may be."""
        self._enter(Role.CHALLENGER, panel)
        self._since_us = at_us

    def judge(self, rows: Floats, fraud: Bools, weights: Floats, at_us: int) -> Outcome | None:
        """Take labels that nobody has learned yet (n x features, n, n) and return what they decide, if anything."""
        if len(rows) and self.rivals:
            champion = losses(self.champion, rows, fraud)
            for role, panel in self.rivals.items():
                self.evidence[role].add(champion, losses(panel, rows, fraud), fraud, weights)
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

    def _enough(self, role: Role) -> bool:
        found = self.evidence.get(role)
        return found is not None and found.frauds >= self._settings.frauds and found.honest >= self._settings.honest

    def _guarded(self) -> Outcome | None:
        """Fall back to the last good panel if the champion is clearly worse; else the champion is the last good one."""
        if not self._enough(Role.LAST_GOOD):
            return None
        found, settings = self.evidence[Role.LAST_GOOD], self._settings
        worse = -found.gap > settings.harm * found.rival_loss and -found.mean > settings.clearly * found.error
        if not worse:
            self._enter(Role.LAST_GOOD, self.champion)
            return None
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
        challenger, better = self.rivals[Role.CHALLENGER], self.evidence[Role.CHALLENGER].mean <= 0.0
        self._leave(Role.CHALLENGER)
        if not (enough and better):
            return Outcome.REJECTED
        self._enter(Role.LAST_GOOD, self.champion)
        self.champion, self.apart = challenger, False
        return Outcome.PROMOTED


def losses(panel: TrainedPanel, rows: Floats, fraud: Bools) -> Floats:
    """Return the logarithmic loss of a panel's risk on each labelled transfer (n)."""
    risks = np.clip(np.array(panel.score(rows, rows[:, RULE_RISK]).risks), RISK_FLOOR, 1.0 - RISK_FLOOR)
    found: Floats = -np.log(np.where(fraud, risks, 1.0 - risks))
    return found
