"""Holes in the broker's own log: told loudly and passed, since no restart would ever fill them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from models.wire import Topic, encode
from stream.exitcodes import ExitCode
from stream.kafka import LocalKafka
from stream.tables import partition_of
from stream.topics import admin_client, ensure_topics
from tests.streamkit import WorkerProcess, assessments, ids, new_producer, post, running_kafka, transfer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITION = partition_of(b"icbc/A1", 4)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    yield from running_kafka(tmp_path_factory.mktemp("kafka"))


def holes(worker: WorkerProcess) -> list[int]:
    return [int(event["missing"]) for event in worker.events() if str(event["event"]).startswith("the log has a hole")]


def test_records_that_retention_took_are_told_and_the_rest_is_scored(kafka: LocalKafka, tmp_path: Path) -> None:
    ensure_topics(kafka.bootstrap, 4)
    worker = WorkerProcess(kafka.bootstrap, tmp_path).start()
    post(kafka.bootstrap, [transfer(i, transfer_id=f"before-{i}") for i in range(10)])
    view = assessments(kafka.bootstrap)
    view.until(lambda seen: len(ids(seen, "before-")) == 10)
    assert worker.stop() == ExitCode.OK
    post(kafka.bootstrap, [transfer(10 + i, transfer_id=f"away-{i}") for i in range(10)])
    admin = admin_client(kafka.bootstrap)
    for deleted in admin.delete_records([TopicPartition(Topic.TRANSFERS, PARTITION, 15)]).values():
        deleted.result(60)
    worker.start()
    view.until(lambda seen: len(ids(seen, "away-")) == 5)
    assert sorted(ids(view.settle(), "away-")) == [f"away-{i}" for i in range(5, 10)]
    assert holes(worker) == [5]
    assert worker.stop() == ExitCode.OK
    view.close()


def test_transactions_of_a_bank_are_scored_when_committed_and_never_when_aborted(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    ensure_topics(kafka.bootstrap, 4, group="transactions")
    worker = WorkerProcess(kafka.bootstrap, tmp_path, "worker-t", group="transactions").start()
    producer = new_producer(kafka.bootstrap, **{"transactional.id": "bank"})
    producer.init_transactions(60)
    for number, kept in enumerate((True, False, True, True)):
        producer.begin_transaction()
        name = f"{'kept' if kept else 'aborted'}-{number}"
        record = transfer(100 + number, transfer_id=name)
        producer.produce(Topic.TRANSFERS, encode(record), record.payer.encode())
        producer.flush(60)
        if kept:
            producer.commit_transaction(60)
        else:
            producer.abort_transaction(60)
    post(kafka.bootstrap, [transfer(200, transfer_id="after")])
    view = assessments(kafka.bootstrap)
    view.until(lambda seen: "after" in ids(seen))
    assert sorted(ids(view.settle(), "kept-")) == ["kept-0", "kept-2", "kept-3"]
    assert ids(view.seen, "aborted-") == []
    assert holes(worker) != []
    assert worker.stop() == ExitCode.OK
    view.close()
