"""The cure for records that vanish after a recovery with a backlog (``docs/decisions/0006``).

At the end of a recovery Faust seeks to the committed offsets, starts to fetch,
and only then resumes the flow; its flow control then also clears the agents'
queues, so what arrived in between is gone, and later acknowledgements commit
past it. Nothing stale can be in those queues: a revocation has cleared them
already, and records of an older generation are dropped when they are taken.
"""

from __future__ import annotations

from mode.utils.queues import FlowControlEvent


class KeepingFlow(FlowControlEvent):
    """A flow control that resumes without throwing away what has arrived."""

    def resume(self) -> None:
        """Let records through again; queues keep what they hold."""
        self._suspend.clear()
        self._resume.set()
