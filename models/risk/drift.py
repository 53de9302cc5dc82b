"""Has the world changed under the detectors? Drift of inputs and of error, with an alarm."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from river import drift as river_drift

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PSI_BINS: Final = 10
PSI_ALARM: Final = 0.25
"""A population stability index above this is by custom a major shift (Siddiqi 2006)."""

ALARM_SHARE: Final = 0.1
"""Inputs are in alarm when more than this share of the features has shifted (ours)."""

WINDOW_ROWS: Final = 2_000
SAMPLE_EVERY: Final = 4
CHECK_ROWS: Final = 500
"""Sampled rows between two looks at the inputs."""

ADWIN_DELTA: Final = 0.002
ALARM_EXAMPLES: Final = 500
"""An error alarm stays up for this many further examples of its kind."""

LEAST_SHARE: Final = 1e-4


def stability_index(expected: Floats, actual: Floats) -> Floats:
    """Return the population stability index of each column of shares (bins x f).

    ``sum((actual - expected) * ln(actual / expected))`` with empty bins at `LEAST_SHARE`.
    """
    expected, actual = np.maximum(expected, LEAST_SHARE), np.maximum(actual, LEAST_SHARE)
    index: Floats = ((actual - expected) * np.log(actual / expected)).sum(axis=0)
    return index


class InputDrift:
    """Compares the latest `WINDOW_ROWS` sampled transfers with those the trees learned from."""

    def __init__(self, width: int) -> None:
        self._window: Floats = np.empty((WINDOW_ROWS, width))
        self._seen = 0
        self._offset = 0
        self._edges: Floats | None = None
        self._expected: Floats = np.empty((PSI_BINS, width))
        self._checked_at = 0
        self.shifted: tuple[int, ...] = ()
        """Columns whose index was above `PSI_ALARM` at the last look."""

    @property
    def alarm(self) -> bool:
        """Whether more than `ALARM_SHARE` of the features had shifted at the last look."""
        return len(self.shifted) > ALARM_SHARE * int(self._window.shape[1])

    def observe(self, rows: Floats) -> None:
        """Take every `SAMPLE_EVERY`-th row; look at the inputs now and then."""
        taken = rows[-self._offset % SAMPLE_EVERY :: SAMPLE_EVERY]
        places = (self._seen + np.arange(len(taken))) % WINDOW_ROWS
        self._window[places[-WINDOW_ROWS:]] = taken[-WINDOW_ROWS:]
        self._seen += len(taken)
        self._offset += len(rows)
        if self._edges is not None and self._seen - self._checked_at >= CHECK_ROWS:
            self._look()

    def set_reference(self) -> None:
        """Make the present window the reference; nothing is in alarm until the next look."""
        if self._seen < WINDOW_ROWS:
            return
        self._edges = np.quantile(self._window, np.linspace(0, 1, PSI_BINS + 1)[1:-1], axis=0)
        self._expected = self._shares()
        self._checked_at, self.shifted = self._seen, ()

    def _look(self) -> None:
        self._checked_at = self._seen
        index = stability_index(self._expected, self._shares())
        self.shifted = tuple(int(column) for column in np.flatnonzero(index > PSI_ALARM))

    def _shares(self) -> Floats:
        """Return the share of the window in each bin (bins x f)."""
        assert self._edges is not None
        below = np.stack([(self._window <= edge).mean(axis=0) for edge in self._edges])
        return np.diff(np.vstack((np.zeros((1, below.shape[1])), below, np.ones((1, below.shape[1])))), axis=0)


class ErrorDrift:
    """River's ADWIN (Bifet and Gavalda 2007) on the risk given to each kind of labelled transfer.

    Frauds and the honest are watched apart, so that a changed share of fraud
    among the labels is no alarm by itself. Errors that have become fewer are none either.
    """

    def __init__(self) -> None:
        make: Any = river_drift.ADWIN
        self._watch = {True: make(delta=ADWIN_DELTA), False: make(delta=ADWIN_DELTA)}
        self._left = {True: 0, False: 0}

    def learn(self, risks: Floats, fraud: Bools) -> None:
        """Take risks as scored with the labels that have come."""
        for risk, is_fraud in zip(risks.tolist(), fraud.tolist(), strict=True):
            watch = self._watch[is_fraud]
            before = watch.estimation
            watch.update(abs(float(is_fraud) - risk))
            worse = watch.drift_detected and watch.estimation > before
            self._left[is_fraud] = ALARM_EXAMPLES if worse else max(self._left[is_fraud] - 1, 0)

    @property
    def alarms(self) -> dict[str, bool]:
        """Which errors have grown lately: of missed frauds, of alarms at the honest."""
        return {"error_fraud": self._left[True] > 0, "error_honest": self._left[False] > 0}
