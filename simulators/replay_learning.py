"""The learning half of a replay: takes scored chunks, gives panels; here or in a process of its own.

The panel in use at a row holds what was learned up to a fixed earlier row
(`PANEL_CHUNKS`), whether learning keeps up with scoring or not. So a replay
gives the same risks with one process as with several, on any machine.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from time import thread_time_ns
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from models.risk.learning.learner import DEFAULT_LEARNING, Health, Learner, LearnerSettings
from models.risk.learning.trials import ForestTrials
from models.risk.panel import TrainedPanel, panel_from_state
from models.risk.snapshot import PanelState
from simulators.labels import Floats, LabelQueue, Labels
from simulators.refits import Refitter

PANEL_CHUNKS: Final = 2
"""Chunks after which a panel is published, and as many later it comes into use."""


class LearningSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a replay learns: the learner's seed and settings, and whether labels come at all."""

    seed: int
    labelled: bool
    learning: LearnerSettings = DEFAULT_LEARNING


class Scored(NamedTuple):
    """One scored chunk: its number of file rows, the latest event time, features (n x f), labels on their way.

    Labels by looking and victims' reports take each their own time, each kind in arrival order.
    """

    rows: int
    now_us: int
    features: Floats
    labels: Labels | None
    reports: Labels | None = None


class Learned(NamedTuple):
    """What is told at the end: the learner's health and the CPU time of learning in nanoseconds."""

    health: Health
    cpu_ns: int


class Learning(Protocol):
    """Where a replay's learner lives."""

    def take(self, chunk: Scored) -> None:
        """Learn from a chunk, sooner or later."""
        ...

    def panel(self) -> TrainedPanel | None:
        """Return the panel to use for the next chunk, None to go on with the present one; may wait for it."""
        ...

    def end(self) -> Learned:
        """Finish and let go of everything."""
        ...


class Student:
    """A learner with labels on their way to it, and refits."""

    def __init__(self, settings: LearningSettings, refitter: Refitter) -> None:
        self._labelled = settings.labelled
        self._refitter = refitter
        self._learner = Learner(seed=settings.seed, settings=settings.learning, trials=ForestTrials())
        self._labels, self._reports = LabelQueue(), LabelQueue()
        self._row = 0
        self._cpu_ns = 0

    def take(self, chunk: Scored) -> None:
        """Learn from a chunk, and from the labels that are due at its end."""
        began = thread_time_ns()
        self._row += chunk.rows
        self._learner.observe(chunk.features, at_us=chunk.now_us)
        if chunk.labels is not None:
            self._labels.put(chunk.labels)
        if chunk.reports is not None:
            self._reports.put(chunk.reports)
        if self._labelled:
            self._learn(chunk.now_us)
            self._refitter.step(self._learner, row=self._row, now_us=chunk.now_us)
        self._cpu_ns += thread_time_ns() - began

    def _learn(self, now_us: int) -> None:
        due = self._labels.due(now_us) + self._reports.due(now_us)
        if due:
            _, features, fraud, weights = (np.concatenate(parts) for parts in zip(*due, strict=True))
            self._learner.learn(features, fraud, weights)

    def state(self) -> PanelState:
        """Return the learner's present panel as data."""
        began = thread_time_ns()
        state = self._learner.state()
        self._cpu_ns += thread_time_ns() - began
        return state

    def end(self) -> Learned:
        """Finish; a refit not yet in service is dropped."""
        self._refitter.close()
        return Learned(self._learner.health(), self._cpu_ns + self._refitter.cpu_beside_ns)


class Here:
    """Learns in the scoring process, between chunks."""

    def __init__(self, student: Student) -> None:
        self._student = student
        self._taken = 0
        self._states: deque[PanelState] = deque()

    def take(self, chunk: Scored) -> None:
        """Learn from a chunk at once."""
        self._student.take(chunk)
        self._taken += 1
        if self._taken % PANEL_CHUNKS == 0:
            self._states.append(self._student.state())

    def panel(self) -> TrainedPanel | None:
        """Return the panel published `PANEL_CHUNKS` chunks ago, if one was."""
        if self._taken % PANEL_CHUNKS or len(self._states) < 2:
            return None
        return panel_from_state(self._states.popleft())

    def end(self) -> Learned:
        """Return what is told at the end."""
        return self._student.end()


class Beside:
    """Learns in a second process, refits in a third; scoring waits only for a panel that is not ready yet."""

    def __init__(self, settings: LearningSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(settings,))
        self._taken = 0
        self._running: deque[Future[PanelState | None]] = deque()

    def take(self, chunk: Scored) -> None:
        """Hand a chunk over."""
        self._taken += 1
        self._running.append(self._pool.submit(_take, chunk, publish=self._taken % PANEL_CHUNKS == 0))

    def panel(self) -> TrainedPanel | None:
        """Return the panel published `PANEL_CHUNKS` chunks ago, if one was; wait until it is learned."""
        if self._taken % PANEL_CHUNKS or self._taken < 2 * PANEL_CHUNKS:
            return None
        state: PanelState | None = None
        for _ in range(PANEL_CHUNKS):
            state = self._running.popleft().result()
        return None if state is None else panel_from_state(state)

    def end(self) -> Learned:
        """Wait for all chunks; return what is told at the end."""
        with self._pool as pool:
            for running in self._running:
                running.result()
            return pool.submit(_end).result()


_THERE: dict[str, Student] = {}
"""The student of this process, if it is a learning process; filled by `_begin`."""


def _begin(settings: LearningSettings) -> None:
    _THERE["student"] = Student(settings, Refitter(beside=True))


def _take(chunk: Scored, *, publish: bool) -> PanelState | None:
    student = _THERE["student"]
    student.take(chunk)
    return student.state() if publish else None


def _end() -> Learned:
    return _THERE["student"].end()


def learning(settings: LearningSettings, *, beside: bool) -> Learning:
    """Return a learner in a process of its own, or here."""
    return Beside(settings) if beside else Here(Student(settings, Refitter(beside=False)))
