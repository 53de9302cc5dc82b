"""The stream's small parts: offsets, states, brake, lists, settings, logs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from mode.utils.queues import FlowControlEvent, FlowControlQueue
from prometheus_client import REGISTRY
from pydantic import ValidationError
from rocksdict import Options, Rdict

from models.control.messages import ControlKind
from models.money.types import account_id
from models.risk.assessment import AccountLists, ListLevel
from models.risk.learning.learner import Learner
from models.risk.profile import EMPTY_PROFILE
from models.risk.scorer import Scorer
from models.signing import sign_snapshot
from models.wire import ControlEntry, ModelSnapshot, Topic, decode_control, decode_dead_letter, encode
from stream.app import followed_checks
from stream.continuity import Continuity, OffsetGap
from stream.controls import NO_LISTS, Controls
from stream.deadletter import Brake, Fault, Quarantine
from stream.exitcodes import RESTART_CODES, ExitCode
from stream.flow import KeepingFlow
from stream.follower import Record
from stream.inspector import faults
from stream.panels import CurrentScorer, Panels
from stream.quiet import SeldomFilter
from stream.ready import announce_ready
from stream.settings import WorkerSettings
from stream.tables import EMPTY_STATE, AccountState, Change, Misplaced, RocksProfiles, decode_state, partition_of

PLACE = TP("transfers", 1)
KEY = b"a key for tests"


class Ended(Exception):
    """Stands for the end of the process."""


def end(code: ExitCode, reason: str) -> NoReturn:
    raise Ended(code, reason)


def signed(key: bytes, **changes: str) -> ModelSnapshot:
    """Return the panel of a new learner as the trainer signs it, or with ``changes`` made before."""
    (snapshot,) = Learner(seed=1).snapshots()
    return sign_snapshot(msgspec.structs.replace(snapshot, **changes), key=key, created_us=1)


# --- offsets -----------------------------------------------------------------
def test_offsets_that_follow_each_other_pass() -> None:
    continuity = Continuity()
    continuity.start({PLACE: 10})
    continuity.admit(PLACE, [10, 11])
    continuity.admit(PLACE, [12])
    assert continuity.position(PLACE) == 13


@pytest.mark.parametrize("offsets", [[11], [10, 12], [9, 10, 11, 13]])
def test_a_break_is_seen_where_it_is(offsets: list[int]) -> None:
    continuity = Continuity()
    continuity.start({PLACE: 10})
    with pytest.raises(OffsetGap) as caught:
        continuity.admit(PLACE, offsets)
    assert caught.value.found == offsets[-1]
    assert caught.value.expected == continuity.position(PLACE) < offsets[-1]


def test_redelivered_offsets_pass_and_do_not_move_the_position_back() -> None:
    continuity = Continuity()
    continuity.start({PLACE: 10})
    continuity.admit(PLACE, [3, 4, 5])
    continuity.admit(PLACE, [9, 10, 11])
    assert continuity.position(PLACE) == 12


def test_a_hole_of_the_log_is_skipped_only_where_it_was_found() -> None:
    continuity = Continuity()
    continuity.start({PLACE: 10})
    continuity.skip(OffsetGap(PLACE, 10, 15))
    assert continuity.position(PLACE) == 15
    continuity.skip(OffsetGap(PLACE, 10, 99))
    assert continuity.position(PLACE) == 15
    continuity.start({})
    continuity.skip(OffsetGap(PLACE, 10, 15))
    assert not continuity.owns(PLACE)


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 60))
def test_nothing_missing_is_ever_passed_over(offsets: set[int], start: int) -> None:
    continuity, delivered = Continuity(), sorted(offsets)
    continuity.start({PLACE: start})
    complete = set(range(start, max(delivered) + 1)) <= offsets
    try:
        continuity.admit(PLACE, delivered)
    except OffsetGap:
        assert not complete
        assert continuity.position(PLACE) not in offsets
    else:
        assert complete


# --- states ------------------------------------------------------------------
def test_a_state_survives_its_bytes() -> None:
    state = AccountState(EMPTY_PROFILE, 7, {0: 3, 5: 9})
    assert decode_state(state.encode()) == state


def test_each_side_applies_each_source_offset_once() -> None:
    state = EMPTY_STATE.debited(EMPTY_PROFILE, 5).credited(EMPTY_PROFILE, 2, 8)
    assert [state.has_debit(offset) for offset in (4, 5, 6)] == [True, True, False]
    assert [state.has_credit(2, offset) for offset in (7, 8, 9)] == [True, True, False]
    assert not state.has_credit(3, 0)
    assert EMPTY_STATE.credit_offsets == {}


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_keys_are_placed_as_the_java_client_places_them(key: bytes, murmur2: int) -> None:
    """Hashes from Apache Kafka's own UtilsTest."""
    assert partition_of(key, 1_000) == (murmur2 & 0x7FFFFFFF) % 1_000


class RocksStore:
    """Faust's RocksDB store as far as profiles use it, over real RocksDB files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, Rdict] = {}
        self.persisted: dict[int, int] = {}

    def _db_for_partition(self, partition: int) -> Rdict:
        if partition not in self._open:
            self._open[partition] = Rdict(str(self._folder / str(partition)), Options(raw_mode=True))
        return self._open[partition]

    def set_persisted_offset(self, place: TP, offset: int) -> None:
        self.persisted[place.partition] = offset


def test_files_hold_only_what_the_changelog_holds(tmp_path: Path) -> None:
    store, key = RocksStore(tmp_path), b"icbc/A1"
    partition = partition_of(key, 4)
    profiles = RocksProfiles(store, "changelog", 4)
    state = profiles.get(key, partition).debited(EMPTY_PROFILE, 5)
    profiles.put(key, partition, state)
    assert profiles.get(key, partition) is state
    assert store._db_for_partition(partition).get(key) is None
    newer = state.debited(EMPTY_PROFILE, 6)
    profiles.put(key, partition, newer)
    profiles.committed({key: Change(partition, state, state.encode())}, {partition: 41})
    assert decode_state(store._db_for_partition(partition).get(key)) == state
    assert profiles.get(key, partition) is newer
    assert store.persisted == {partition: 41}
    assert RocksProfiles(store, "changelog", 4).get(key, partition) == state


def test_files_of_another_partition_are_not_asked(tmp_path: Path) -> None:
    key = b"icbc/A1"
    profiles = RocksProfiles(RocksStore(tmp_path), "changelog", 4)
    with pytest.raises(Misplaced):
        profiles.get(key, (partition_of(key, 4) + 1) % 4)


# --- quarantine --------------------------------------------------------------
def test_a_few_bad_records_do_not_trip_the_brake() -> None:
    brake = Brake(window=100, share=0.5, end=end)
    brake.count(bad=99)
    brake.count(good=1_000)
    brake.count(bad=50)


def test_too_large_a_share_of_bad_records_trips_the_brake() -> None:
    brake = Brake(window=100, share=0.5, end=end)
    brake.count(good=100)
    brake.count(bad=50)
    with pytest.raises(Ended, match="51 of the last 100"):
        brake.count(bad=1)


@given(st.lists(st.booleans(), max_size=300))
def test_the_brake_looks_at_exactly_its_window(fates: list[bool]) -> None:
    brake, tripped = Brake(window=20, share=0.5, end=end), None
    for number, is_bad in enumerate(fates):
        try:
            brake.count(good=not is_bad, bad=is_bad)
        except Ended:
            tripped = number
            break
    windows = (fates[i - 19 : i + 1] for i in range(19, len(fates)))
    assert tripped == next((i + 19 for i, window in enumerate(windows) if sum(window) > 10), None)


def test_a_dead_letter_fits_a_record_however_large_its_original() -> None:
    record = Record("transfers", 1, 2, b"k" * 50_000, b"v" * 2_000_000)
    key, value = Quarantine("w").letter(record, Fault.MALFORMED, "why " * 1_000)
    assert len(value) < 1_000_000
    assert "cut from 2000000" in decode_dead_letter(value).detail
    assert key == b"k" * 10_000


# --- followed topics ---------------------------------------------------------
def followed(topic: Topic, value: bytes | None, key: bytes | None = b"ccb/1") -> Record:
    return Record(topic, 0, 7, key, value)


def unusable(topic: Topic, fault: Fault) -> float:
    labels = {"topic": topic.value, "reason": fault.value}
    return REGISTRY.get_sample_value("sluice_followed_unusable_total", labels) or 0.0


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (followed(Topic.CONTROLS, b"{", None), Fault.KEY),
        (followed(Topic.CONTROLS, b"{"), Fault.MALFORMED),
        (followed(Topic.MODELS, None), Fault.MALFORMED),
        (followed(Topic.MODELS, b"{}"), Fault.MALFORMED),
        (followed(Topic.MODELS, encode(signed(b"another"))), Fault.SIGNATURE),
    ],
)
def test_a_bad_followed_record_is_a_fault_for_the_inspector_and_passed_by_by_the_follower(
    record: Record, fault: Fault
) -> None:
    ((found, reason),) = faults([record], followed_checks(KEY))
    assert (found, reason.fault) == (record, fault)
    scorer = CurrentScorer(Scorer())
    panels, before, version = Panels(scorer, key=KEY), unusable(Topic(record.topic), fault), scorer().panel.version
    panels.go_live()
    {Topic.CONTROLS: Controls().follow, Topic.MODELS: panels.follow}[Topic(record.topic)](record)
    assert unusable(Topic(record.topic), fault) == before + 1
    assert scorer().panel.version == version


def test_what_a_follower_can_use_is_no_fault() -> None:
    entry, panel = ControlEntry(account=account_id("ccb", "1"), level=ListLevel.BLACK), signed(KEY)
    records = [
        followed(Topic.CONTROLS, encode(entry)),
        followed(Topic.CONTROLS, None),
        followed(Topic.MODELS, encode(panel)),
        followed(Topic.MODELS, encode(signed(KEY, feature_set="other"))),
    ]
    assert faults(records, followed_checks(KEY)) == []
    scorer, controls = CurrentScorer(Scorer()), Controls()
    panels = Panels(scorer, key=KEY)
    panels.go_live()
    panels.follow(records[2])
    panels.follow(records[3])
    assert scorer().panel.version == panel.version
    controls.follow(records[0])
    assert len(controls) == 1
    controls.follow(records[1])
    assert len(controls) == 0


def test_without_the_key_of_snapshots_nothing_is_said_of_models() -> None:
    assert list(followed_checks(b"")) == [Topic.CONTROLS]
    assert list(followed_checks(b"", "north.")) == ["north.controls"]


# --- lists -------------------------------------------------------------------
def test_the_latest_entry_of_an_account_is_in_force_until_the_next() -> None:
    controls, payer, payee = Controls(), account_id("a", "1"), account_id("b", "2")
    assert controls.lists(payer, payee) is NO_LISTS
    controls.apply(ControlEntry(account=payee, level=ListLevel.GREY))
    controls.apply(ControlEntry(account=payee, level=ListLevel.BLACK))
    assert controls.lists(payer, payee) == AccountLists(payee=ListLevel.BLACK)
    controls.apply(ControlEntry(account=payee))
    assert controls.lists(payer, payee) == AccountLists()
    controls.forget(payee)
    assert controls.lists(payer, payee) is NO_LISTS


def test_what_is_proven_of_an_account_is_known_beside_its_listing() -> None:
    controls, payer, payee = Controls(), account_id("a", "1"), account_id("b", "2")
    controls.apply(ControlEntry(account=payer, proven_paid=1))
    controls.apply(ControlEntry(account=payee, level=ListLevel.BLACK, proven_received=3))
    assert controls.lists(payee, payer) == AccountLists(
        payer=ListLevel.BLACK, payer_proven_received=3, payee_proven_paid=1
    )
    controls.apply(ControlEntry(account=payee, proven_received=3))
    assert controls.lists(payer, payee) == AccountLists(payer_proven_paid=1, payee_proven_received=3)


def test_the_end_of_a_control_is_called_on_the_topic_as_it_always_was() -> None:
    written = b'{"schema":1,"account":"ccb/1","control":"amount_hold","order_id":"PS-1","until_us":10}'
    entry = ControlEntry(
        account=account_id("ccb", "1"), control=ControlKind.AMOUNT_HOLD, order_id="PS-1", control_until_us=10
    )
    assert decode_control(written) == entry
    assert encode(entry) == written


@pytest.mark.parametrize(
    ("entry", "in_doubt"),
    [
        ({}, False),
        ({"level": ListLevel.WHITE}, False),
        ({"level": ListLevel.GREY}, False),
        ({"level": ListLevel.BLACK}, True),
        ({"control": ControlKind.AMOUNT_HOLD}, True),
        ({"doubted_until_us": 10}, False),
        ({"doubted_until_us": 11}, True),
    ],
)
def test_an_account_is_in_doubt_by_list_control_or_order(entry: dict[str, Any], in_doubt: bool) -> None:
    controls, account = Controls(), account_id("a", "1")
    assert not controls.in_doubt(account, 10)
    controls.apply(ControlEntry(account=account, **entry))
    assert controls.in_doubt(account, 10) is in_doubt


# --- flow --------------------------------------------------------------------
@pytest.mark.parametrize(("flow", "kept"), [(FlowControlEvent, 0), (KeepingFlow, 1)])
async def test_resuming_keeps_what_has_arrived(flow: type[FlowControlEvent], kept: int) -> None:
    control = flow()
    queue: Any = FlowControlQueue(flow_control=control, clear_on_resume=True)
    queue.put_nowait("fetched while a recovery ended")
    control.resume()
    assert queue.qsize() == kept
    assert control.is_active()


async def test_a_suspended_flow_holds_records_back() -> None:
    control = KeepingFlow()
    queue: Any = FlowControlQueue(flow_control=control)
    waiting = asyncio.ensure_future(queue.put("late"))
    await asyncio.sleep(0)
    assert queue.empty()
    control.resume()
    await waiting
    assert queue.qsize() == 1


# --- settings and logs -------------------------------------------------------
def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_BROKER", "127.0.0.1:1")
    monkeypatch.setenv("SLUICE_PARTITIONS", "12")
    settings = WorkerSettings()
    assert (settings.broker, settings.partitions, settings.store) == ("127.0.0.1:1", 12, "memory")


def test_a_write_may_not_outlive_the_session() -> None:
    with pytest.raises(ValidationError, match="confirm_timeout_s must be less"):
        WorkerSettings(broker="x", confirm_timeout_s=6.0, session_timeout_s=6.0)


def test_what_needs_a_person_is_not_started_again() -> None:
    assert not RESTART_CODES & {ExitCode.OK, ExitCode.BRAKE, ExitCode.MISCONFIGURED}


def test_a_broker_away_does_not_flood_the_log() -> None:
    seldom = SeldomFilter()
    record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no node %s", (1,), None)
    assert [seldom.filter(record) for _ in range(3)] == [True, False, False]
    assert seldom.filter(logging.LogRecord("aiokafka", logging.ERROR, "", 0, "other", (), None))


def test_a_ready_file_is_there_at_once_with_all_it_says(tmp_path: Path) -> None:
    announce_ready(tmp_path / "new" / "ready", "127.0.0.1:9")
    assert (tmp_path / "new" / "ready").read_text() == "127.0.0.1:9\n"
    announce_ready(None, "nobody asked")
