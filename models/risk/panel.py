"""The panel of detectors: features and the rules' risk in, one calibrated risk out."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.assessment import DetectorScore
from models.risk.calibration import MEMBERS, blend_logits, sigmoid
from models.risk.cold import cold_logits
from models.risk.detectors import Forest, Linear, Novelty
from models.risk.features import FEATURE_NAMES, FEATURE_SET
from models.risk.snapshot import PanelState, SnapshotError, decode_state, digest_of, encode_state

Rows = npt.NDArray[np.float64]

PANEL: Final = "panel"
"""Name of the panel among detectors: the key of its snapshot."""


class PanelScores(msgspec.Struct, frozen=True):
    """What a panel says of ``n`` transfers; both lists have length ``n``.

    ``risks`` are calibrated probabilities 0-1; ``scores`` name each detector's part.
    """

    risks: list[float]
    scores: list[tuple[DetectorScore, ...]]


class Panel(Protocol):
    """Several detectors and the way they are combined, frozen at one version.

    A row's score must not depend on the rows beside it, to the last bit: a
    batch of one and a batch of a thousand give the same risk, or replay would
    not equal live. (So no BLAS product over the batch.)
    """

    @property
    def version(self) -> str:
        """Name of this frozen state; recorded with every assessment."""
        ...

    @property
    def watch_from(self) -> float | None:
        """Risk from which a transfer is watched, if this panel came with a threshold."""
        ...

    def score(self, rows: Rows, rule_risks: npt.NDArray[np.float64]) -> PanelScores:
        """Return risks of ``rows`` (n x features) given the rules' risks (n)."""
        ...


class RulesOnly:
    """The panel of the first day: the rules' risk is the risk."""

    version = "rules-only"
    watch_from: float | None = None

    def score(self, rows: Rows, rule_risks: npt.NDArray[np.float64]) -> PanelScores:
        """Return the rules' risks unchanged."""
        return PanelScores(risks=[float(risk) for risk in rule_risks], scores=[() for _ in range(len(rows))])


class MemberLogits(msgspec.Struct, frozen=True):
    """Logits of the members (n x 3, in the order of `calibration.MEMBERS`) and the novelty behind the first (n)."""

    logits: Rows
    novelty: npt.NDArray[np.float64]


class TrainedPanel:
    """Novelty, online linear and boosted trees at one version, blended and calibrated."""

    def __init__(self, state: PanelState, *, version: str) -> None:
        self.version = version
        self.state = state
        self.watch_from = state.watch_from
        self.novelty = Novelty(state.novelty) if state.novelty is not None else None
        self.linear = Linear(state.linear) if state.linear is not None else None
        self.forest = Forest(state.forest) if state.forest is not None else None

    @property
    def usual(self) -> Rows | None:
        """Mean of each feature (f) over the transfers this panel has learned from; None before the first."""
        return self.state.usual if self.state.linear is None else self.state.linear.means

    def members(self, rows: Rows, rule_risks: npt.NDArray[np.float64]) -> MemberLogits:
        """Return each member's logits; 0 for one that has not begun."""
        novelty = self.novelty.score(rows) if self.novelty is not None else None
        logits = np.zeros((len(rows), 3))
        logits[:, 0] = cold_logits(rows, rule_risks, novelty)
        if self.linear is not None:
            logits[:, 1] = self.linear.score(rows)
        if self.forest is not None:
            logits[:, 2] = self.forest.score(rows)
        return MemberLogits(logits, np.zeros(len(rows)) if novelty is None else novelty)

    def score(self, rows: Rows, rule_risks: npt.NDArray[np.float64]) -> PanelScores:
        """Return blended risks and each member's part; rounded, so equal on every machine."""
        if not len(rows):
            return PanelScores([], [])
        members = self.members(rows, rule_risks)
        blend = self.state.blend
        risks = sigmoid(blend_logits(members.logits, blend.weights, blend.intercept)).tolist()
        return PanelScores(risks, self._parts(members, risks))

    def _parts(self, members: MemberLogits, risks: list[float]) -> list[tuple[DetectorScore, ...]]:
        columns = [[DetectorScore(PANEL, self.version, risk) for risk in risks]]
        if self.novelty is not None:
            rarity = np.round(1.0 - np.exp(-members.novelty), 6).tolist()
            columns.append([DetectorScore("novelty", self.novelty.version, score) for score in rarity])
        chances = np.round(sigmoid(members.logits[:, 1:]), 6).T.tolist()
        for name, member, said in zip(MEMBERS[1:], (self.linear, self.forest), chances, strict=True):
            if member is not None:
                columns.append([DetectorScore(name, member.version, score) for score in said])
        return list(zip(*columns, strict=True))


def watched_from(panel: TrainedPanel, threshold: float | None) -> TrainedPanel:
    """Return a panel with another threshold of watching; its risks stay."""
    return panel_from_state(msgspec.structs.replace(panel.state, watch_from=threshold))


def panel_from_state(state: PanelState) -> TrainedPanel:
    """Return the panel of a state; its version names the payload's digest."""
    return TrainedPanel(state, version=f"p-{digest_of(encode_state(state))[:12]}")


def panel_from_snapshot(payload: bytes) -> TrainedPanel:
    """Return the panel of a published payload.

    Raise `SnapshotError` for a payload that is not one, or is of another feature set.
    """
    state = decode_state(payload)
    if state.feature_set != FEATURE_SET or state.width != len(FEATURE_NAMES):
        raise SnapshotError(f"snapshot of feature set {state.feature_set!r}, panel of {FEATURE_SET!r}")
    return TrainedPanel(state, version=f"p-{digest_of(payload)[:12]}")
