"""The panel of detectors: features and the rules' risk in, one calibrated risk out."""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.assessment import DetectorScore

Rows = npt.NDArray[np.float64]


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

    def score(self, rows: Rows, rule_risks: npt.NDArray[np.float64]) -> PanelScores:
        """Return risks of ``rows`` (n x features) given the rules' risks (n)."""
        ...


class RulesOnly:
    """The panel of the first day: the rules' risk is the risk."""

    version = "rules-only"

    def score(self, rows: Rows, rule_risks: npt.NDArray[np.float64]) -> PanelScores:
        """Return the rules' risks unchanged."""
        return PanelScores(risks=[float(risk) for risk in rule_risks], scores=[() for _ in range(len(rows))])
