"""Faust's Kafka driver with our waits, our commits and a hand-over that does not cost more than the work.

Everything that reaches into Faust's or aiokafka's inner parts is here and in
`stream.flow`, so that an upgrade has two files to check.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, Final, NamedTuple, cast

import faust
from aiokafka.consumer.group_coordinator import OffsetCommitRequest, SyncGroupRequest
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    InvalidRequestError,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from faust.assignor.partition_assignor import PartitionAssignor
from faust.streams import Stream
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from mode.utils.objects import cached_property

from stream.flow import KeepingFlow
from stream.settings import WorkerSettings

CHUNK_MAX: Final = 50
"""Most records of one partition that are handed over as one."""

FETCH_TIMEOUT_S: Final = 1.0
FULL_WAIT_S: Final = 0.001

SWITCH_INTERVAL_S: Final = 0.0005
"""How long Python lets the fetching thread wait for the working one, and the reverse."""

HEARTBEATS_PER_SESSION: Final = 6
LEADER_PAUSE_S: Final = 0.1
"""How long a group's leader lets the others ask for their partitions first."""

REBALANCE_TIMEOUT_S: Final = 20.0
REQUEST_TIMEOUT_S: Final = 30.0
STREAM_BUFFER: Final = 256
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
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        """Start the consumer; make it heed what it would take for "nothing committed yet", and pace its fetches."""
        await super().on_start()
        consumer = self._ensure_consumer()
        heed_offset_fetch_errors(consumer._coordinator)
        let_followers_sync_first(consumer._coordinator)
        pace_fetches(consumer._fetcher, cast(Transport, self.transport).fetch_pause_s)

    @property
    def is_member(self) -> bool:
        """Whether the group still knows this worker, as far as heard."""
        coordinator = self._consumer and self._consumer._coordinator
        return bool(coordinator and coordinator.generation != OffsetCommitRequest.DEFAULT_GENERATION_ID)

    def leave(self, timeout_s: float) -> None:
        """Tell the group that this worker goes, so that nobody waits for its session to end; blocks, never raises."""
        consumer = self._consumer
        if consumer is None or not self.is_member:
            return
        leaving = asyncio.run_coroutine_threadsafe(consumer._coordinator._maybe_leave_group(), self.thread_loop)
        with contextlib.suppress(TimeoutError, CancelledError):
            leaving.result(timeout_s)

    async def give_back(self, place: Any, first: int, last: int) -> None:
        """Fetch a partition again from ``first``, unless somebody has sought since ``last`` was fetched."""
        await self.call_thread(self._seek_back, place, first, last)

    async def _seek_back(self, place: Any, first: int, last: int) -> None:
        consumer = self._ensure_consumer()
        subscription = consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        state = assignment and assignment.state_value(place)
        if state and state.has_valid_position and state.position > last:
            consumer._fetcher.seek_to(place, first)


def heed_offset_fetch_errors(coordinator: Any) -> None:
    """Make a group coordinator raise the error of an answer to "which offsets are committed?".

    aiokafka reads only the errors of single partitions, as old brokers gave
    them. Kafka 4 answers "still loading" for the whole group, with no partitions
    in it, and a worker that asks just after a broker's start would think that
    nothing was ever committed and begin anew.
    """
    send = coordinator._send_req

    async def send_and_heed(request: Any) -> Any:
        response = await send(request)
        code = getattr(response, "error_code", 0)
        if isinstance(request, OffsetFetchRequest) and code:
            error = for_code(code)
            if error in (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
                coordinator.coordinator_dead()
            raise error()
        return response

    coordinator._send_req = send_and_heed


def let_followers_sync_first(coordinator: Any) -> None:
    """Make a group coordinator ask last if it leads, and join again if it asked too late.

    The embedded broker takes a rebalance for done once the leader has told who gets what, and refuses a follower
    that asks only then as "invalid request". aiokafka takes that for good: the worker stays, a member of nothing.
    """
    send = coordinator._send_req

    async def send_in_turn(request: Any) -> Any:
        if not isinstance(request, SyncGroupRequest):
            return await send(request)
        if request._group_assignment:
            await asyncio.sleep(LEADER_PAUSE_S)
        response = await send(request)
        if response.error_code == InvalidRequestError.errno:
            response.error_code = RebalanceInProgressError.errno
        return response

    coordinator._send_req = send_in_turn


def pace_fetches(fetcher: Any, pause_s: float) -> None:
    """Make a fetcher ask a broker at most once in ``pause_s`` seconds.

    An idle broker holds its answer until something comes, and gives it at once.
    A busy one would be asked again for every few records; a pause lets them gather.
    """
    fetch = fetcher._proc_fetch_request
    asked_s: dict[int, float] = {}

    async def fetch_in_time(assignment: Any, node: int, request: Any) -> Any:
        wait_s = asked_s.get(node, 0.0) + pause_s - time.monotonic()
        if wait_s > 0:
            try:
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:
                return False  # as the stock one does when it is closed: its closer awaits it and would end with it
        asked_s[node] = time.monotonic()
        return await fetch(assignment, node, request)

    fetcher._proc_fetch_request = fetch_in_time


class Consumer(stock.Consumer):
    """Hands records over without two tasks for each, and tells where it goes on."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Go to the committed offsets, or the start of the log where there are none, and say so.

        Nothing is fetched for the stages meanwhile: partitions are sought one
        after the other, and what came of the first before the last is known
        would be behind the position and in front of what is told of it.
        """
        generation = self.app.consumer_generation_id
        places = {place for place in self.assignment() if not self._is_changelog_tp(place)}
        self.pause_partitions(places)
        await super().perform_seek()
        read_to = cast("dict[TP, int | None]", self._read_offset)
        unknown = [place for place in places if read_to[place] is None]
        starts = await self.earliest_offsets(*unknown) if unknown else {}
        if generation != self.app.consumer_generation_id:
            return
        positions = {place: read_to[place] or starts.get(place, 0) for place in places}
        cast(Transport, self.transport).on_positions(positions)
        self.resume_partitions(places)

    @property
    def is_member(self) -> bool:
        """Whether the group still knows this worker, as far as heard."""
        return cast(ConsumerThread, self._thread).is_member

    def leave(self, timeout_s: float) -> None:
        """Leave the group at once; see `ConsumerThread.leave`."""
        cast(ConsumerThread, self._thread).leave(timeout_s)

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets; return whether the group took them."""
        owned = self.assignment()
        mine = {place: offset for place, offset in offsets.items() if place in owned}
        return bool(mine) and await self._commit(mine)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand records on for ever: to the agents' queues by the chunk, to the recovery of tables one by one.

        The stock loop makes two tasks and several objects for every record, and
        drops what it may not hand on although the position has passed it. Here
        that is given back, to be fetched again.
        """
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            fetched, active = await self._wait_next_records(timeout=FETCH_TIMEOUT_S)
            generation = self.app.consumer_generation_id
            for place, records in (fetched or {}).items():
                taken = 0
                if active is None or place in active:
                    hand_on = self._hand_to_recovery if self._is_changelog_tp(place) else self._hand_to_stage
                    taken = await hand_on(ensure_TP(place), records, generation)
                if taken < len(records):
                    await self._give_back(place, records[taken].offset, records[-1].offset)
            await asyncio.sleep(0)

    def _may_hand_on(self, generation: int) -> bool:
        """Return whether the flow is open and no rebalance has come since the fetch."""
        return self.flow_active and generation == self.app.consumer_generation_id

    async def _hand_to_recovery(self, place: TP, records: Sequence[Any], generation: int) -> int:
        """Hand changelog records to the table; return how many were taken."""
        for taken, record in enumerate(records):
            if not self._may_hand_on(generation):
                return taken
            await self.callback(self._to_message(place, record))
            self._read_offset[place] = record.offset
        return len(records)

    async def _hand_to_stage(self, place: TP, records: Sequence[Any], generation: int) -> int:
        """Put records of a stage into its agent's queue; return how many were taken."""
        (channel,) = cast(Any, self.app.topics)._tp_index[place]
        queue = channel.queue
        for start in range(0, len(records), CHUNK_MAX):
            while queue.full() and self._may_hand_on(generation):  # noqa: ASYNC110 - the queue tells nobody of room
                await asyncio.sleep(FULL_WAIT_S)
            if not self._may_hand_on(generation):
                return start
            queue.put_nowait(Chunk(place, generation, records[start : start + CHUNK_MAX]))
        self._read_offset[place] = records[-1].offset
        return len(records)

    async def _give_back(self, place: Any, first: int, last: int) -> None:
        await cast(ConsumerThread, self._thread).give_back(place, first, last)


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
        self, url: Any, app: Any, *, fetch_wait_ms: int, fetch_pause_s: float, on_positions: Positions
    ) -> None:
        super().__init__(url, app)
        self.fetch_wait_ms = fetch_wait_ms
        self.fetch_pause_s = fetch_pause_s
        self.on_positions = on_positions


class KnownPartitions(NamedTuple):
    """What the assignor needs of metadata: our topics have one number of partitions, which was checked at the start."""

    partitions: int

    def partitions_for_topic(self, _topic: str) -> set[int]:
        """Return the partitions of any topic of the stages."""
        return set(range(self.partitions))


class StageAssignor(PartitionAssignor):
    """Faust's assignor that does not forget a topic of which the broker has told nothing yet.

    A leader that joins just after a broker's start may lack metadata. The stock
    assignor then ignores the topic, and nobody owns its partitions until the
    metadata are refreshed for some other reason, minutes later.
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:  # noqa: ARG002 - what it knows may be incomplete
        """Return who owns which partition."""
        known = KnownPartitions(cast("StreamApp", self.app).partitions)
        return super().assign(cast(Any, known), member_metadata)


class StreamApp(faust.App):
    """A Faust app with our driver and the cure of `stream.flow`."""

    def __init__(self, *args: Any, settings: WorkerSettings, **kwargs: Any) -> None:
        self._sluice = settings
        self.partitions = settings.partitions
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
            fetch_pause_s=self._sluice.fetch_pause_ms / 1000,
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
        PartitionAssignor=StageAssignor,
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
