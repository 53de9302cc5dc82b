"""A worker that leaves its place in the group with a changelog write under way and the next batch in memory.

``SLUICE_REJOIN`` names what aiokafka's coordinator is told: ``reset_generation``
(the group has given it up) or ``request_rejoin`` (the group wants it to rejoin).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import structlog

import stream.app
import stream.engine
from stream.engine import ScoringEngine
from stream.sender import Sender
from stream.settings import WorkerSettings
from stream.topics import changelog_topic

log = structlog.get_logger(__name__)


class HoldingSender(Sender):
    """Lets no changelog write go; the batch that is taken next does not get any further either."""

    changelog: str
    under_way = False
    on_batch: Callable[[], None]

    def produce(self, topic: str, *args: Any) -> None:
        if topic != self.changelog:
            super().produce(topic, *args)
        elif not self.under_way:
            self.under_way = True
            log.info("changelog write under way")

    async def room(self) -> None:
        await super().room()
        if self.under_way:
            log.info("a batch is in memory")
            self.on_batch()
            await asyncio.Event().wait()


class RejoiningEngine(ScoringEngine):
    """Has to rejoin as soon as a batch is in memory."""

    sender: HoldingSender

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self.sender.on_batch = self._rejoin

    def _rejoin(self) -> None:
        thread: Any = self.app.stage_consumer._thread
        coordinator = thread._consumer._coordinator
        thread.thread_loop.call_soon_threadsafe(getattr(coordinator, os.environ["SLUICE_REJOIN"]))


if __name__ == "__main__":
    settings = WorkerSettings()
    HoldingSender.changelog = changelog_topic(settings.group)
    stream.engine.Sender = HoldingSender  # type: ignore[misc]
    stream.app.ScoringEngine = RejoiningEngine  # type: ignore[misc]
    sys.exit(stream.app.run_worker(settings))
