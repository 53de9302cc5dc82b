"""Has the world changed under the detectors? Drift of inputs and of error, with an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from river import drift as river_drift

from models.risk.learning.checkpoint import Plain
from models.risk.learning.trials import Ring

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PSI_BINS: Final = 10
PSI_ALARM: Final = 0.25
"""A population stability index above this is by custom a major shift (Siddiqi 2006)."""

MOST_AGEING: Final = 1.0
"""No shift above this counts as ageing, and before a stream has aged once any below it may be (ours)."""

ALARM_SHARE: Final = 0.1
"""Inputs are in alarm when more than this share of the features has shifted (ours)."""

WINDOW_ROWS: Final = 2_000
SAMPLE_EVERY: Final = 4
CHECK_ROWS: Final = 500
"""Sampled rows between two looks at the inputs."""

POSITIONS: Final = ("offset", "held", "renew_at", "checked_at")
"""Plain values of the watch on inputs that its state holds."""

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
    """Compares the latest `WINDOW_ROWS` sampled transfers with a reference of as many earlier ones.

    The first full window is the first reference. Until trees are fitted it is renewed
    whenever twice as many transfers have been seen: profiles that fill make a young stream
    shift by itself, the less the older it is. A shift shows at once, and is taken for
    normal when the stream has doubled its age. From the first trees on, the reference
    is what the present trees learned from, and holds until others come.

    A feature has shifted if its index is above `PSI_ALARM` and above what it had come to
    when the last reference was let go, at most `MOST_AGEING`: a young stream ages ever more
    slowly, so what goes on as before is no news. ``clocks`` are columns that tell nothing but
    how long somebody has been known: they shift for ever and never count.
    """

    def __init__(self, width: int, *, clocks: Sequence[int] = ()) -> None:
        self._window = Ring(width, WINDOW_ROWS)
        self._width, self._clocks = width, list(clocks)
        self._offset = 0
        self._edges: Floats = np.empty((0, width))
        self._expected: Floats = np.empty((0, width))
        self._ageing: Floats = np.full(width, MOST_AGEING)
        self._held = False
        self._renew_at = WINDOW_ROWS
        self._checked_at = 0
        self.shifted: tuple[int, ...] = ()
        """Columns that had shifted at the last look."""

    @property
    def alarm(self) -> bool:
        """Whether more than `ALARM_SHARE` of the features had shifted at the last look."""
        return len(self.shifted) > ALARM_SHARE * self._width

    @property
    def has_reference(self) -> bool:
        """Whether there is anything to compare with yet."""
        return len(self._edges) > 0

    def observe(self, rows: Floats) -> None:
        """Take every `SAMPLE_EVERY`-th row; look at the inputs now and then."""
        self._window.add(rows[-self._offset % SAMPLE_EVERY :: SAMPLE_EVERY])
        self._offset += len(rows)
        if self.has_reference and self._window.seen - self._checked_at >= CHECK_ROWS:
            self._look()
        if self._window.seen >= self._renew_at and not (self._held and self.has_reference):
            self._follow()

    def hold_reference(self) -> None:
        """Make the present window, or the first full one, the reference until it is held or taken anew."""
        self._held = True
        self._follow()

    def take_reference(self) -> None:
        """Make the present window the reference, once it is full; nothing is in alarm until the next look."""
        seen = self._window.seen
        if seen < WINDOW_ROWS:
            return
        self._edges = np.quantile(self._window.rows, np.linspace(0, 1, PSI_BINS + 1)[1:-1], axis=0)
        self._expected = self._shares()
        self._checked_at, self._renew_at, self.shifted = seen, 2 * seen, ()

    def dump(self) -> Plain:
        """Return everything needed to go on exactly from here."""
        return {
            "window": self._window.dump(),
            "edges": self._edges,
            "expected": self._expected,
            "ageing": self._ageing,
            "shifted": list(self.shifted),
            **{name: getattr(self, f"_{name}") for name in POSITIONS},
        }

    def load(self, state: Plain) -> None:
        """Go on from a state of `dump`."""
        self._window.load(state["window"])
        self._edges, self._expected = state["edges"], state["expected"]
        self._ageing = state["ageing"]
        self.shifted = tuple(state["shifted"])
        for name in POSITIONS:
            setattr(self, f"_{name}", state[name])

    def _follow(self) -> None:
        """Take a new reference, and remember how far the stream has come since the old one."""
        if self.has_reference:
            self._ageing = np.minimum(self._index(), MOST_AGEING)
        self.take_reference()

    def _look(self) -> None:
        self._checked_at = self._window.seen
        over = self._index() > np.maximum(self._ageing, PSI_ALARM)
        over[self._clocks] = False
        self.shifted = tuple(int(column) for column in np.flatnonzero(over))

    def _index(self) -> Floats:
        """Return the stability index of the present window against the reference (f)."""
        return stability_index(self._expected, self._shares())

    def _shares(self) -> Floats:
        """Return the share of the window in each bin (bins x f)."""
        rows = self._window.rows
        below = np.stack([(rows <= edge).mean(axis=0) for edge in self._edges])
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
