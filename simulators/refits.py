"""Refits of the trees beside the scoring: begun at one row, in service a fixed number of rows later.

Whether a refit runs in this process or in another one, its trees come into
service at the same row, so scores do not depend on how fast a machine is.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from time import process_time_ns
from typing import Final

from models.risk.learning.learner import Learner, RefitJob
from models.risk.snapshot import ForestState

LAG_ROWS: Final = 4_096
"""Rows from the beginning of a refit until its trees are in service."""


class Refitter:
    """Runs refits when they are due; ``beside`` in a process of its own, else here."""

    def __init__(self, *, beside: bool) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) if beside else None
        self._running: Future[tuple[ForestState, int]] | None = None
        self._ready: tuple[ForestState, int] | None = None
        self._adopt_at = 0
        self.cpu_beside_ns = 0
        """CPU time of the refits that ran in the other process."""

    def step(self, learner: Learner, *, row: int, now_us: int) -> None:
        """Begin a refit if one is due and none runs; put a finished one into service at its row."""
        if self._running is not None or self._ready is not None:
            if row >= self._adopt_at:
                self._adopt(learner)
        elif learner.due(now_us):
            job = learner.refit_job(now_us)
            self._adopt_at = row + LAG_ROWS
            if self._pool is not None:
                self._running = self._pool.submit(run_timed, job)
            else:
                self._ready = run_timed(job)

    def close(self) -> None:
        """Let go of the process; a refit not yet in service is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _adopt(self, learner: Learner) -> None:
        forest, cpu_ns = self._running.result() if self._running is not None else self._ready or (None, 0)
        self._running = self._ready = None
        self.cpu_beside_ns += cpu_ns if self._pool is not None else 0
        if forest is not None:
            learner.adopt(forest)


def run_timed(job: RefitJob) -> tuple[ForestState, int]:
    """Return the fitted trees and the CPU time they took, in nanoseconds."""
    began = process_time_ns()
    forest = job.run()
    return forest, process_time_ns() - began
