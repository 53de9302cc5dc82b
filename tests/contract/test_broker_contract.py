"""The same agents on every broker: embedded, and a real Apache Kafka. What one promises the other keeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from models.money.types import account_id
from models.risk.assessment import Band, ListLevel
from models.risk.learning.learner import Learner
from models.signing import sign_snapshot
from models.wire import TOPIC_PLANS, ControlEntry, Topic, encode
from stream.broker import EmbeddedBroker
from stream.deadletter import Fault, RecordFault
from stream.exitcodes import ExitCode
from stream.follower import Record
from stream.inspector import Inspector
from stream.tables import partition_of
from stream.topics import TopicMismatch, ensure_topics
from tests.streamkit import (
    START_US,
    WAIT_S,
    Eye,
    WorkerProcess,
    assessments,
    dead_letters,
    ids,
    letters_of,
    post,
    post_control,
    post_raw,
    replay,
    running_kafka,
    transfer,
    undated,
)

KEY = "a key for tests"
FOLLOWED = (Topic.CONTROLS, Topic.MODELS)
BLACK = account_id("ccb", "BLACK-1")


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "embedded":
        broker = EmbeddedBroker()
        yield broker.bootstrap
        broker.close()
    else:
        for kafka in running_kafka(tmp_path_factory.mktemp("kafka")):
            yield kafka.bootstrap


@pytest.fixture(scope="module")
def folder(address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def worker(address: str, folder: Path) -> Iterator[WorkerProcess]:
    ensure_topics(address, 4)
    post_control(address, ControlEntry(account=BLACK, level=ListLevel.BLACK))
    process = WorkerProcess(address, folder, snapshot_key=KEY).start()
    yield process
    process.stop()


@pytest.fixture
def eye(address: str, worker: WorkerProcess) -> Iterator[Eye]:
    view = assessments(address)
    yield view
    view.close()


def test_topics_are_made_once_and_checked_ever_after(address: str) -> None:
    ensure_topics(address, 4)
    ensure_topics(address, 4)
    found = AdminClient({"bootstrap.servers": address}).list_topics(timeout=WAIT_S).topics
    assert {plan.topic for plan in TOPIC_PLANS} <= found.keys()
    assert len(found[Topic.TRANSFERS].partitions) == 4
    with pytest.raises(TopicMismatch, match="4 partitions, but SLUICE_PARTITIONS asks for 5"):
        ensure_topics(address, 5)


def test_every_transfer_gets_one_assessment_in_the_order_of_its_account(address: str, eye: Eye) -> None:
    sent = [transfer(i, f"A{i % 5}", f"B{i % 3}", transfer_id=f"order-{i}") for i in range(300)]
    post(address, sent)
    found = eye.until(lambda seen: len(ids(seen, "order-")) >= 300)
    assert sorted(ids(eye.settle(), "order-")) == sorted(record.transfer_id for record in sent)
    for payee in {record.payee for record in sent}:
        numbers = [int(a.transfer.transfer_id[6:]) for a in found if a.transfer.payee == payee]
        by_payer = {n % 5: [m for m in numbers if m % 5 == n % 5] for n in numbers}
        assert all(mine == sorted(mine) for mine in by_payer.values())


def test_stages_are_dated_in_their_order(address: str, eye: Eye) -> None:
    before = time.time_ns() // 1000
    post(address, [transfer(1, transfer_id="dated-1")])
    eye.until(lambda seen: ids(seen, "dated-") != [])
    (found,) = (a for a in eye.seen if a.transfer.transfer_id == "dated-1")
    stages = found.stages
    assert before <= stages.accepted_us <= stages.debited_us <= stages.assessed_us <= time.time_ns() // 1000


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_of_every_codec_are_read(address: str, eye: Eye, codec: str) -> None:
    batch = [transfer(i, "C1", "D1", transfer_id=f"{codec}-{i}") for i in range(20)]
    post(address, batch, **{"compression.type": codec, "linger.ms": 50})
    eye.until(lambda seen: len(ids(seen, f"{codec}-")) == 20)


def test_a_reposted_transfer_is_counted_once(address: str, eye: Eye) -> None:
    once = transfer(1, "E1", "F1", transfer_id="again-1")
    post(address, [once, once, transfer(2, "E1", "F1", transfer_id="again-2"), once])
    eye.until(lambda seen: "again-2" in ids(seen))
    assert sorted(ids(eye.settle(), "again-")) == ["again-1", "again-2"]


def test_controls_are_respected_old_and_new(address: str, eye: Eye) -> None:
    post(address, [transfer(1, "G1", "BLACK-1", transfer_id="listed-1")])
    eye.until(lambda seen: "listed-1" in ids(seen))
    later = account_id("ccb", "BLACK-2")
    post_control(address, ControlEntry(account=later, level=ListLevel.BLACK))
    deadline = time.monotonic() + WAIT_S
    bands: list[Band] = []
    for number in range(1_000):
        name = f"listed-later-{number}"
        post(address, [transfer(number, "G1", "BLACK-2", transfer_id=name)])
        eye.until(lambda seen, name=name: name in ids(seen))
        bands.append(next(a.band for a in eye.seen if a.transfer.transfer_id == name))
        if bands[-1] is Band.STOP or time.monotonic() > deadline:
            break
    assert next(a.band for a in eye.seen if a.transfer.transfer_id == "listed-1") is Band.STOP
    assert bands[-1] is Band.STOP


POISON = {
    "no json": b"\xff\xfe not json",
    "wrong type": encode(transfer(1)).replace(b'"amount_fen":10001', b'"amount_fen":"much"'),
    "negative amount": encode(transfer(1)).replace(b'"amount_fen":10001', b'"amount_fen":-1'),
    "missing field": b'{"schema":1,"transfer_id":"x"}',
    "other schema": encode(transfer(1)).replace(b'"schema":1', b'"schema":2'),
    "deep": b"[" * 100_000,
    "broken utf-8": encode(transfer(1)).replace(b"t-1", b"t-\xff"),
    "tombstone": None,
    "large": b'"' + b"x" * 900_000 + b'"',
}


@pytest.mark.parametrize("topic", [Topic.TRANSFERS, Topic.CREDITS, Topic.CONTROLS])
def test_poison_becomes_a_dead_letter_each_and_nothing_stops(
    address: str, worker: WorkerProcess, eye: Eye, topic: Topic
) -> None:
    expected = 0
    for value in POISON.values():
        if value is None and topic is Topic.CONTROLS:
            continue  # there it takes an entry away
        place = 0 if topic is Topic.CONTROLS else partition_of(b"icbc/A1", 4)
        post_raw(address, topic, b"icbc/A1", value, partition=place)
        expected += 1
    letters = dead_letters(address)
    found = letters_of(letters.until(lambda seen: len(letters_of(seen, topic)) >= expected), topic)
    assert len(found) == expected
    assert {letter.reason for letter in found} <= {"malformed", "empty"}
    assert b"\xff\xfe not json" in [letter.value for letter in found]
    post(address, [transfer(1, "H1", "I1", transfer_id=f"after-{topic}")])
    eye.until(lambda seen: f"after-{topic}" in ids(seen))
    letters.close()


def test_what_is_readable_and_wrong_is_quarantined_with_its_reason(address: str, worker: WorkerProcess) -> None:
    right = partition_of(b"icbc/A1", 4)
    post_raw(address, Topic.TRANSFERS, b"icbc/OTHER", encode(transfer(1)))
    post_raw(address, Topic.TRANSFERS, None, encode(transfer(2)))
    post_raw(address, Topic.TRANSFERS, b"icbc/A1", encode(transfer(3)), partition=(right + 1) % 4)
    future = transfer(4, occurred_us=START_US + 10 * 365 * 86_400_000_000)
    post_raw(address, Topic.TRANSFERS, b"icbc/A1", encode(future), partition=right)
    letters = dead_letters(address)
    letters.until(lambda seen: {"key", "misplaced", "future"} <= {letter.reason for letter in seen})
    assert sum(letter.reason == "key" for letter in letters.settle()) == 2
    letters.close()


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
def test_a_worker_started_again_counts_nothing_twice(address: str, folder: Path, store: str) -> None:
    sent = [transfer(i, f"{store}-P", f"{store}-Q", transfer_id=f"{store}-{i}") for i in range(100)]
    ensure_topics(address, 4, group=store)
    first = WorkerProcess(address, folder, store, group=store, store=store).start()
    post(address, sent[:50])
    view = assessments(address)
    view.until(lambda seen: len(ids(seen, f"{store}-")) >= 50)
    assert first.stop() == 0
    post(address, sent[50:])
    second = WorkerProcess(address, folder, store, group=store, store=store).start()
    try:
        view.until(lambda seen: set(ids(seen, f"{store}-")) == {record.transfer_id for record in sent})
    finally:
        second.stop()
        view.close()
    expected = replay(sent)
    for found in view.seen:
        if found.transfer.transfer_id in expected:
            assert undated(found) == expected[found.transfer.transfer_id]


def test_a_trace_goes_with_its_transfer(address: str, worker: WorkerProcess) -> None:
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    record = transfer(1, "J1", "K1", transfer_id="traced-1")
    post_raw(address, Topic.TRANSFERS, record.payer.encode(), encode(record), headers={"traceparent": trace})
    raw = Eye(address, Topic.ASSESSMENTS, bytes, headers=True)
    raw.until(lambda seen: any(b"traced-1" in value for _, value in seen))
    assert [dict(headers or []) for headers, value in raw.seen if b"traced-1" in value] == [{"traceparent": trace}]
    raw.close()


def test_local_state_of_another_broker_is_dropped_and_built_anew(address: str, folder: Path) -> None:
    """As after the broker's data were lost: RocksDB files that are ahead of their changelog."""
    name, group = "stale", "stale-group"
    ensure_topics(address, 4, group=name)
    first = WorkerProcess(address, folder, name, group=name, store="rocksdb").start()
    post(address, [transfer(i, "stale-P", "stale-Q", transfer_id=f"stale-{i}") for i in range(5)])
    view = assessments(address)
    view.until(lambda seen: len(ids(seen, "stale-")) >= 5)
    assert first.stop() == 0
    ensure_topics(address, 4, group=group)
    again = WorkerProcess(address, folder, name, group=group, store="rocksdb").start(wait=False)
    assert again.wait() == ExitCode.ENGINE_FAILED
    assert not again.ready
    assert again.start().stop() == 0
    view.close()


def test_a_signed_panel_is_swapped_in_and_another_is_quarantined(address: str, eye: Eye) -> None:
    (snapshot,) = Learner(seed=1).snapshots()
    forged = sign_snapshot(snapshot, key=b"another key", created_us=START_US)
    signed = sign_snapshot(snapshot, key=KEY.encode(), created_us=START_US)
    for record in (forged, signed):
        post_raw(address, Topic.MODELS, snapshot.detector.encode(), encode(record), partition=0)
    post_raw(address, Topic.MODELS, snapshot.detector.encode(), b"no snapshot", partition=0)
    letters = dead_letters(address)
    letters.until(lambda seen: len(letters_of(seen, Topic.MODELS)) == 2)
    assert [letter.reason for letter in letters_of(letters.seen, Topic.MODELS)] == ["signature", "malformed"]
    letters.close()
    deadline, number, used = time.monotonic() + WAIT_S, 0, set[tuple[str, str]]()
    while ("panel", snapshot.version) not in used:
        assert time.monotonic() < deadline, "the panel is not used"
        name, number = f"panel-{number}", number + 1
        post(address, [transfer(number, "L1", "M1", transfer_id=name)])
        eye.until(lambda seen, name=name: name in ids(seen))
        used = {(s.name, s.version) for a in eye.seen if a.transfer.transfer_id == name for s in a.scores}


def test_a_bad_record_of_a_followed_topic_is_one_dead_letter_for_all_starts_of_a_worker(
    address: str, folder: Path
) -> None:
    ensure_topics(address, 4, group="again")
    worker = WorkerProcess(address, folder, "again", group="again", snapshot_key=KEY)
    letters, sent = dead_letters(address), set[tuple[str, bytes]]()
    for start in range(2):
        worker.start()
        for topic in FOLLOWED:
            value = b"bad before stop %d" % start
            sent.add((topic, value))
            post_raw(address, topic, b"panel", value, partition=0)
        letters.until(lambda seen: sent <= {(each.topic, each.value) for each in seen if each.program == "again"})
        assert worker.stop() == 0
    ours = [
        (each.topic, each.offset) for each in letters.settle() if each.program == "again" and each.topic in FOLLOWED
    ]
    letters.close()
    assert len(ours) == len(set(ours))


def refuse_unfit(record: Record) -> None:
    if record.value and record.value.startswith(b"unfit"):
        raise RecordFault(Fault.MALFORMED, record.value.decode())


def test_inspectors_of_one_group_set_aside_each_bad_record_once(address: str) -> None:
    ensure_topics(address, 4)
    found: list[str] = []

    def set_aside(record: Record, fault: RecordFault) -> threading.Event:
        found.append(f"{record.topic} {fault}")
        confirmed = threading.Event()
        confirmed.set()
        return confirmed

    sent = []
    for start in range(2):
        checks = dict.fromkeys(FOLLOWED, refuse_unfit)
        inspectors = [Inspector(address, "inspected", checks=checks, set_aside=set_aside) for _ in range(3)]
        for inspector in inspectors:
            inspector.start()
        for topic in FOLLOWED:
            for number in range(3):
                post_raw(address, topic, b"key", b"good", partition=0)
                post_raw(address, topic, b"key", b"unfit %d.%d" % (start, number), partition=0)
                sent.append(f"{topic} unfit {start}.{number}")
        deadline = time.monotonic() + WAIT_S
        while not set(sent) <= set(found):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for inspector in inspectors:
            inspector.check()
            inspector.stop()
    assert sorted(found) == sorted(sent)
