"""What our driver changes in Faust's and aiokafka's; what loses records is shown beside the stock behaviour.

The losses that need a broker are in `tests/integration`: `test_stream_losses`, `test_stream_recovery`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import GroupCoordinator, SyncGroupRequest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import GroupLoadInProgressError, NotCoordinatorForGroupError
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.assignor.partition_assignor import PartitionAssignor

from models.wire import Topic
from stream.driver import (
    ConsumerThread,
    StageAssignor,
    create_app,
    heed_offset_fetch_errors,
    let_followers_sync_first,
    pace_fetches,
)
from stream.settings import WorkerSettings

TOPICS = {Topic.TRANSFERS.value, Topic.CREDITS.value}


# --- assignment without metadata ---------------------------------------------
def owned(assignor: Any) -> set[tuple[str, int]]:
    """Return what the only member of a group gets from a leader that knows nothing of the topics yet."""
    metadata: ConsumerProtocolMemberMetadata = assignor.metadata(TOPICS)
    assigned = assignor.assign(ClusterMetadata(), {"member": metadata})
    return {(topic, number) for topic, numbers in assigned["member"].assignment for number in numbers}


async def test_a_topic_of_which_the_broker_has_told_nothing_yet_is_assigned_all_the_same() -> None:
    app = create_app(WorkerSettings(broker="127.0.0.1:1", partitions=3))
    assert owned(PartitionAssignor(app)) == set()
    assert owned(StageAssignor(app)) == {(topic, number) for topic in TOPICS for number in range(3)}


# --- "which offsets are committed?" ------------------------------------------
class Coordinator:
    """A group coordinator's client that gives one answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.dead = False

    async def _send_req(self, request: Any) -> Any:
        return self._answer

    def coordinator_dead(self) -> None:
        self.dead = True


LOADING, NOT_COORDINATOR = 14, 16
ASK = OffsetFetchRequest("group", [("transfers", [0])])


@pytest.mark.parametrize(
    ("code", "error", "dead"),
    [(LOADING, GroupLoadInProgressError, False), (NOT_COORDINATOR, NotCoordinatorForGroupError, True)],
)
async def test_still_loading_is_not_taken_for_nothing_committed(code: int, error: type, dead: bool) -> None:
    coordinator = Coordinator(SimpleNamespace(error_code=code, topics=[]))
    heed_offset_fetch_errors(coordinator)
    with pytest.raises(error) as caught:
        await coordinator._send_req(ASK)
    assert caught.value.retriable
    assert coordinator.dead is dead


@pytest.mark.parametrize("answer", [SimpleNamespace(error_code=0), SimpleNamespace(topics=[])])
async def test_an_answer_without_error_is_passed_on(answer: Any) -> None:
    coordinator = Coordinator(answer)
    heed_offset_fetch_errors(coordinator)
    assert await coordinator._send_req(ASK) is answer


class GroupOfOne(GroupCoordinator):
    """As much of aiokafka's coordinator as the look-up of committed offsets touches; ``answers`` are the broker's."""

    group_id = "group"
    _retry_backoff_ms = 1

    def __init__(self, answers: list[Any]) -> None:
        self._answers = iter(answers)

    async def ensure_coordinator_known(self) -> None:
        pass

    async def _send_req(self, request: Any) -> Any:
        return next(self._answers)


PLACE = TopicPartition("transfers", 0)
STILL_LOADING = OffsetFetchResponse_v3(throttle_time_ms=0, topics=[], error_code=LOADING)
COMMITTED_42 = OffsetFetchResponse_v3(throttle_time_ms=0, topics=[("transfers", [(0, 42, "", 0)])], error_code=0)


@pytest.mark.parametrize(
    ("cure", "found"), [(lambda _coordinator: None, {}), (heed_offset_fetch_errors, {PLACE: OffsetAndMetadata(42, "")})]
)
async def test_while_a_group_is_loading_stock_aiokafka_finds_nothing_committed_and_ours_asks_again(
    cure: Callable[[Any], None], found: dict[Any, Any]
) -> None:
    coordinator = GroupOfOne([STILL_LOADING, COMMITTED_42])
    cure(coordinator)
    assert await coordinator.fetch_committed_offsets([PLACE]) == found


# --- who asks first for partitions -------------------------------------------
def sync_request(assignment: list[Any]) -> SyncGroupRequest:
    return SyncGroupRequest("group", 1, "member", None, assignment)


async def test_a_leader_asks_after_those_who_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def pause(_seconds: float) -> None:
        asked.append("pause")

    class Heard(Coordinator):
        async def _send_req(self, request: Any) -> Any:
            asked.append("request")
            return self._answer

    coordinator = Heard(SimpleNamespace(error_code=0))
    let_followers_sync_first(coordinator)
    monkeypatch.setattr(asyncio, "sleep", pause)
    await coordinator._send_req(sync_request([]))
    await coordinator._send_req(ASK)
    assert asked == ["request", "request"]
    await coordinator._send_req(sync_request([("member", b"partitions")]))
    assert asked == ["request", "request", "pause", "request"]


@pytest.mark.parametrize(("code", "found"), [(42, 27), (0, 0), (25, 25)])
async def test_a_follower_that_asked_too_late_joins_again(code: int, found: int) -> None:
    coordinator = Coordinator(SimpleNamespace(error_code=code))
    let_followers_sync_first(coordinator)
    assert (await coordinator._send_req(sync_request([]))).error_code == found


# --- records that may not be handed on ---------------------------------------
class State:
    has_valid_position = True

    def __init__(self, position: int) -> None:
        self.position = position


class Fetched:
    """As much of an aiokafka consumer as `_seek_back` touches."""

    def __init__(self, position: int | None) -> None:
        states = {} if position is None else {"place": State(position)}
        assignment = SimpleNamespace(state_value=states.get)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self.sought: list[int] = []
        self._fetcher = SimpleNamespace(seek_to=lambda _place, offset: self.sought.append(offset))


@pytest.mark.parametrize(
    ("position", "sought"),
    [
        (20, [10]),  # untouched since offsets 10 to 19 were fetched
        (25, [10]),  # the same, with a transaction's markers behind them
        (5, []),  # somebody has sought the committed offset since
        (None, []),  # the partition is no longer ours
    ],
)
async def test_what_is_not_handed_on_is_fetched_again(position: int | None, sought: list[int]) -> None:
    consumer = Fetched(position)
    thread: Any = SimpleNamespace(_ensure_consumer=lambda: consumer)
    await ConsumerThread._seek_back(thread, "place", 10, 19)
    assert consumer.sought == sought


# --- pace --------------------------------------------------------------------
async def test_a_broker_is_asked_at_most_once_in_a_pause() -> None:
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    async def fetch(_assignment: Any, _node: int, _request: Any) -> bool:
        asked.append(loop.time())
        return True

    fetcher: Any = SimpleNamespace(_proc_fetch_request=fetch)
    pace_fetches(fetcher, 0.02)
    for _ in range(4):
        assert await fetcher._proc_fetch_request(None, 1, None)
    assert all(later - earlier >= 0.019 for earlier, later in itertools.pairwise(asked))


async def test_a_fetcher_that_is_closed_during_the_pause_does_not_end_its_closer() -> None:
    async def fetch(_assignment: Any, _node: int, _request: Any) -> bool:
        return True

    fetcher: Any = SimpleNamespace(_proc_fetch_request=fetch)
    pace_fetches(fetcher, 60.0)
    assert await fetcher._proc_fetch_request(None, 1, None)
    pausing = asyncio.ensure_future(fetcher._proc_fetch_request(None, 1, None))
    await asyncio.sleep(0)
    pausing.cancel()
    assert await pausing is False
