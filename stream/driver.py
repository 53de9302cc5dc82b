"""Faust's Kafka driver with our waits, our commits and a hand-over that does not cost more than the work.

Everything that reaches into Faust's or aiokafka's inner parts is here and in
`stream.flow`, so that an upgrade has two files to check.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import faust
from aiokafka.consumer.group_coordinator import OffsetCommitRequest
from faust.streams import Stream
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from mode.utils.objects import cached_property

from stream.flow import KeepingFlow
from stream.settings import WorkerSettings

CHUNK_MAX: Final = 200
"""Most records of one partition that are handed over as one."""

FETCH_TIMEOUT_S: Final = 1.0
FULL_WAIT_S: Final = 0.001

SWITCH_INTERVAL_S: Final = 0.0005
"""How long Python lets the fetching thread wait for the working one, and the reverse."""

HEARTBEATS_PER_SESSION: Final = 6
REBALANCE_TIMEOUT_S: Final = 20.0
REQUEST_TIMEOUT_S: Final = 30.0
STREAM_BUFFER: Final = 64
"""Chunks held for one stage before nothing more is fetched."""

MAX_POLL_RECORDS: Final = 2_000


Positions = Callable[[Mapping[TP, int]], None]
"""Told where each partition of the stages goes on, before its first record comes."""


class Chunk(NamedTuple):
    """Records of one partition in their order, as aiokafka gives them, and the generation that fetched them."""

    place: TP
    generation: int
    records: Sequence[Any]


class ConsumerThread(stock.AIOKafkaConsumerThread):
    """Fetches with short waits: the stock driver lets the broker hold an answer for 1.5 s."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = transport.fetch_wait_ms
        consumer._fetch_min_bytes = transport.fetch_min_bytes
        consumer._isolation_level = "read_committed"
        return consumer

    @property
    def is_member(self) -> bool:
        """Whether the group still knows this worker, as far as heard."""
        return bool(self._ensure_consumer()._coordinator.generation != OffsetCommitRequest.DEFAULT_GENERATION_ID)

    async def leave(self) -> None:
        """Tell the group that this worker goes, so that nobody waits for its session to end."""
        await self.call_thread(self._ensure_consumer()._coordinator._maybe_leave_group)


class Consumer(stock.Consumer):
    """Hands records over without two tasks for each, and tells where it goes on."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Go to the committed offsets, or the start of the log where there are none, and say so."""
        await super().perform_seek()
        read_to = cast("dict[TP, int | None]", self._read_offset)
        places = [place for place in self.assignment() if not self._is_changelog_tp(place)]
        unknown = [place for place in places if read_to[place] is None]
        starts = await self.earliest_offsets(*unknown) if unknown else {}
        positions = {place: read_to[place] or starts.get(place, 0) for place in places}
        cast(Transport, self.transport).on_positions(positions)

    @property
    def is_member(self) -> bool:
        """Whether the group still knows this worker, as far as heard."""
        return cast(ConsumerThread, self._thread).is_member

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets; return whether the group took them."""
        owned = self.assignment()
        mine = {place: offset for place, offset in offsets.items() if place in owned}
        return bool(mine) and await self._commit(mine)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand records to the agents' queues for ever, all that came of a partition at once.

        The stock loop makes two tasks and several objects for every record.
        Here only changelog records go its way. What is fetched while the flow is
        stopped is dropped: a rebalance is under way, and it ends by `perform_seek`.
        """
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            fetched, active = await self._wait_next_records(timeout=FETCH_TIMEOUT_S)
            generation = self.app.consumer_generation_id
            for place, records in (fetched or {}).items():
                if not self.flow_active or generation != self.app.consumer_generation_id:
                    break
                if active is not None and place not in active:
                    continue
                if self._is_changelog_tp(place):
                    await self._hand_to_recovery(place, records)
                else:
                    await self._hand_to_stage(place, records, generation)
            await asyncio.sleep(0)

    async def _hand_to_recovery(self, place: Any, records: Sequence[Any]) -> None:
        for record in records:
            await self.callback(self._to_message(place, record))
            self._read_offset[place] = record.offset

    async def _hand_to_stage(self, place: Any, records: Sequence[Any], generation: int) -> None:
        (channel,) = cast(Any, self.app.topics)._tp_index[place]
        queue = channel.queue
        for start in range(0, len(records), CHUNK_MAX):
            while queue.full():
                if not self.flow_active:
                    return
                await asyncio.sleep(FULL_WAIT_S)
            queue.put_nowait(Chunk(ensure_TP(place), generation, records[start : start + CHUNK_MAX]))
        self._read_offset[place] = records[-1].offset


class BatchStream(Stream[Any]):
    """A stream that gives whatever has arrived, at once.

    `noack_take` waits a fixed time to fill a batch, which at a low rate is the
    latency and at a high rate costs a timer; here a batch is as large as the
    work before it has let it become. Nothing is acknowledged (see `stream.epoch`).
    """

    async def batches(self, limit: int) -> AsyncIterator[list[Chunk]]:
        """Yield non-empty lists of chunks, for ever; a list goes beyond ``limit`` records by less than a chunk."""
        queue = cast(Any, self.channel).queue
        while not self.should_stop:
            try:
                chunks = [await queue.get()]
            except StopAsyncIteration:  # how Faust ends a channel
                return
            size = len(chunks[0].records)
            while size < limit and not queue.empty():
                chunks.append(queue.get_nowait())
                size += len(chunks[-1].records)
            yield chunks


class Transport(stock.Transport):
    """Faust's Kafka transport with `Consumer`."""

    Consumer = Consumer

    def __init__(
        self, url: Any, app: Any, *, fetch_wait_ms: int, fetch_min_bytes: int, on_positions: Positions
    ) -> None:
        super().__init__(url, app)
        self.fetch_wait_ms = fetch_wait_ms
        self.fetch_min_bytes = fetch_min_bytes
        self.on_positions = on_positions


class StreamApp(faust.App):
    """A Faust app with our driver and the cure of `stream.flow`."""

    def __init__(self, *args: Any, settings: WorkerSettings, **kwargs: Any) -> None:
        self._sluice = settings
        self.on_positions: Positions = lambda _positions: None
        super().__init__(*args, **kwargs)

    @cached_property
    def flow_control(self) -> KeepingFlow:
        """Flow control that keeps what has arrived."""
        return KeepingFlow(loop=self.loop)

    def _positions(self, positions: Mapping[TP, int]) -> None:
        self.on_positions(positions)

    @property
    def stage_consumer(self) -> Consumer:
        """The consumer of the stages, as `stream.driver` makes it."""
        return cast(Consumer, self.consumer)

    def _new_transport(self) -> Transport:
        return Transport(
            self.conf.broker_consumer,
            self,
            fetch_wait_ms=self._sluice.fetch_wait_ms,
            fetch_min_bytes=self._sluice.fetch_min_bytes,
            on_positions=self._positions,
        )


def create_app(settings: WorkerSettings) -> StreamApp:
    """Return the Faust app of a worker, without agents and tables."""
    return StreamApp(
        settings.group,
        settings=settings,
        broker=";".join(f"kafka://{address}" for address in settings.broker.split(",")),
        store=f"{settings.store}://",
        datadir=str(settings.data_dir / settings.worker_id),
        autodiscover=False,
        web_enabled=False,
        Stream=BatchStream,
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=settings.standby_replicas,
        broker_client_id=f"{settings.group}-{settings.worker_id}",
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / HEARTBEATS_PER_SESSION,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_request_timeout=REQUEST_TIMEOUT_S,
        broker_max_poll_records=MAX_POLL_RECORDS,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=STREAM_BUFFER,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
    )


def tune_threads() -> None:
    """Let the fetching and the working thread take turns quickly."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
