"""The Faust agents: take what has arrived, let a stage work on it, send, and leave the rest to the epoch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import structlog

from stream.continuity import Continuity, LogReader, OffsetGap
from stream.crash import End
from stream.deadletter import Brake
from stream.driver import Chunk
from stream.epoch import Committer
from stream.exitcodes import ExitCode
from stream.sender import Sender
from stream.stages import Incoming, Outcome
from telemetry.clock import wall_us
from telemetry.metrics import BATCH_SIZE, OFFSET_GAPS, STAGE_LATENCY

log = structlog.get_logger(__name__)


class Stage(Protocol):
    """A stage of `stream.stages`."""

    def run(self, batch: Sequence[Incoming]) -> Outcome:
        """Work through a batch."""
        ...


class Engine(NamedTuple):
    """What a runner works with."""

    sender: Sender
    committer: Committer
    continuity: Continuity
    log_reader: LogReader
    brake: Brake
    end: End
    is_current: Callable[[int], bool]
    """Whether a generation of the group is the one in force and the flow is open."""


class Runner:
    """Runs one stage over the batches of its agent."""

    def __init__(self, name: str, stage: Stage, engine: Engine) -> None:
        self._stage = stage
        self._engine = engine
        self._batch_size = BATCH_SIZE.labels(name)
        self._latency = STAGE_LATENCY.labels(name)

    async def work(self, chunks: Sequence[Chunk]) -> None:
        """Take a batch as far as it goes without waiting: applied, sent, noted in the open epoch."""
        engine = self._engine
        await engine.sender.room()
        chunks = await self._admitted(chunks)
        records = [record for chunk in chunks for record in chunk.records]
        if not records:
            return
        outcome = self._stage.run(records)
        self._send(outcome)
        engine.committer.epoch.dirty.update(outcome.dirty)
        engine.committer.note({chunk.place: engine.continuity.position(chunk.place) for chunk in chunks})
        engine.brake.count(good=len(records) - outcome.bad, bad=outcome.bad)
        self._batch_size.observe(len(records))

    def _send(self, outcome: Outcome) -> None:
        ticket = self._engine.committer.ticket(partial(self._observe, outcome.accepted_us))
        for output in outcome.outputs:
            ticket.send(output.topic, output.key, output.value, headers=output.headers)
        ticket.seal()

    def _observe(self, accepted_us: Sequence[int]) -> None:
        waited_us = wall_us() - np.array(accepted_us, dtype=np.int64)
        self._latency.observe_all(np.maximum(waited_us, 0) / 1_000_000)

    async def _admitted(self, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
        """Return the chunks that belong to the assignment in force, none of them after a gap."""
        engine = self._engine
        while True:
            chunks = [c for c in chunks if engine.is_current(c.generation) and engine.continuity.owns(c.place)]
            try:
                for chunk in chunks:
                    engine.continuity.admit(chunk.place, [record.offset for record in chunk.records])
            except OffsetGap as gap:
                await self._examine(gap)
            else:
                return chunks

    async def _examine(self, gap: OffsetGap) -> None:
        """End the worker over a gap, unless the log itself has it; then go on, loudly."""
        engine = self._engine
        OFFSET_GAPS.labels(gap.place.topic).inc()
        first = await asyncio.to_thread(engine.log_reader.first_from, gap.place, gap.expected)
        if first != gap.found:
            engine.end(ExitCode.OFFSET_GAP, f"{gap}; the log goes on at {first}")
        log.error(
            "the log has a hole: records were removed before they were read, or are a transaction's markers",
            topic=gap.place.topic,
            partition=gap.place.partition,
            expected=gap.expected,
            found=gap.found,
            missing=gap.found - gap.expected,
        )
        engine.continuity.skip(gap)


def attach_agent(app: Any, topic: str, runner: Runner, *, limit: int, end: End) -> None:
    """Register a runner as the Faust agent of a topic with raw keys and values.

    An error that reaches the agent is a bug. Faust would start the agent anew,
    without the batch it had; so the worker ends instead.
    """

    async def agent(stream: Any) -> None:
        try:
            async for chunks in stream.batches(limit):
                await runner.work(chunks)
        except Exception as error:
            log.error("agent failed", topic=topic, exc_info=error)
            end(ExitCode.ENGINE_FAILED, f"the agent of {topic} failed: {error!r}")

    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(channel, name=f"{topic}-agent")(agent)
