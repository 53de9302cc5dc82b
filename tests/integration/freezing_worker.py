"""A worker that stands still, until it is woken, right before its first write to the changelog."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

import stream.engine
from stream.app import run_worker
from stream.epoch import Committer
from stream.settings import WorkerSettings
from stream.tables import Change


class FreezingCommitter(Committer):
    """Stands still with outputs confirmed and their changelog at hand."""

    async def _write_changelog(self, changes: Mapping[bytes, Change]) -> Mapping[int, int]:
        os.kill(os.getpid(), signal.SIGSTOP)
        return await super()._write_changelog(changes)


if __name__ == "__main__":
    stream.engine.Committer = FreezingCommitter  # type: ignore[misc]
    sys.exit(run_worker(WorkerSettings()))
