"""A worker with a bug outside of scoring: its debit stage raises on the third batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stream.app import run_worker
from stream.settings import WorkerSettings
from stream.stages import DebitStage, Incoming, Outcome

FAILS_AT = 10


class BuggyStage(DebitStage):
    """Works until it has seen `FAILS_AT` records."""

    seen = 0

    def run(self, batch: Sequence[Incoming]) -> Outcome:
        type(self).seen += len(batch)
        if self.seen >= FAILS_AT:
            raise KeyError("a bug")
        return super().run(batch)


if __name__ == "__main__":
    import stream.engine

    stream.engine.DebitStage = BuggyStage
    sys.exit(run_worker(WorkerSettings()))
