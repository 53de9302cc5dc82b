"""A panel serves only once its archived copy is safe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from models.risk.learning.learner import Learner
from models.risk.rules.settings import DEFAULT_RULES
from models.wire import Topic, archive_key, decode_snapshot
from stream import publisher as publisher_module
from stream.broker import EmbeddedBroker
from stream.exitcodes import RESTART_CODES, ExitCode
from stream.publisher import Publisher, SnapshotTooLarge, new_producer
from stream.settings import TrainerSettings
from stream.topics import MAX_SNAPSHOT_BYTES, ensure_topics
from stream.trainer import train
from tests.learnkit import made_up
from tests.streamkit import WAIT_S, Eye
from tests.trainerkit import assessment, send_assessments

NOWHERE = "127.0.0.1:9"


def learned() -> Learner:
    learner = Learner(seed=1)
    rows, _ = made_up(600, seed=1)
    learner.observe(rows, at_us=1)
    return learner


def test_the_archived_copy_is_the_one_in_service_and_is_sent_once() -> None:
    broker = EmbeddedBroker()
    ensure_topics(broker.bootstrap, 4)
    producer = new_producer(broker.bootstrap)
    publisher = Publisher(producer, b"k")
    panel = learned().panel()
    assert publisher.publish(panel)
    assert publisher.publish(panel)
    assert producer.flush(WAIT_S) == 0
    found = []
    for topic in (Topic.SNAPSHOTS, Topic.MODELS):
        eye = Eye(broker.bootstrap, topic, decode_snapshot)
        found.append(eye.settle())
        eye.close()
    assert found[0] == found[1]
    (record,) = found[0]
    assert archive_key(record.detector, record.version) == f"panel/{panel.version}"
    broker.close()


def test_without_the_brokers_word_nothing_is_put_into_service() -> None:
    broker = EmbeddedBroker()
    ensure_topics(broker.bootstrap, 4)
    producer = new_producer(broker.bootstrap)
    publisher = Publisher(producer, b"k")
    broker.close()
    assert not publisher.publish(learned().panel())
    assert publisher.published == ""
    assert len(producer) == 1, "only the archived copy waits for the broker"
    producer.purge()


class Refusing:
    """A producer whose broker refuses what comes for one topic with ``error`` and takes the rest."""

    def __init__(self, topic: str, error: KafkaError) -> None:
        self._topic, self._error = topic, error
        self._waiting: list[tuple[str, Callable[[Any, Any], None]]] = []

    def produce(self, topic: str, _value: bytes, _key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        self._waiting.append((topic, on_delivery))

    def flush(self, _timeout_s: float) -> None:
        for topic, tell in self._waiting:
            tell(self._error if topic == self._topic else None, None)
        self._waiting.clear()


def refused(topic: str, code: int) -> Publisher:
    producer: Any = Refusing(topic, KafkaError(code))
    return Publisher(producer, b"k")


@pytest.mark.parametrize("topic", [Topic.SNAPSHOTS, Topic.MODELS])
def test_a_topic_that_takes_less_than_it_was_made_for_is_named_with_what_to_do(topic: Topic) -> None:
    publisher = refused(topic, KafkaError.MSG_SIZE_TOO_LARGE)
    told = f"too large for topic '{topic}' .*: set max.message.bytes of the topic to {MAX_SNAPSHOT_BYTES}"
    with pytest.raises(SnapshotTooLarge, match=told):
        publisher.publish(learned().panel())
    assert publisher.published == ""


@pytest.mark.parametrize("topic", [Topic.SNAPSHOTS, Topic.MODELS])
def test_what_a_topic_refuses_for_another_reason_is_not_in_service_and_is_tried_again(topic: Topic) -> None:
    publisher = refused(topic, KafkaError.NOT_ENOUGH_REPLICAS)
    assert not publisher.publish(learned().panel())
    assert publisher.published == ""


def test_a_snapshot_above_the_limit_is_told_with_its_size_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "MAX_SNAPSHOT_BYTES", 1_000)
    panel = learned().panel()
    told = rf"snapshot {panel.version} makes a record of \d{{4,}} bytes.*at most 1000 .*fewer or smaller trees"
    with pytest.raises(SnapshotTooLarge, match=told):
        Publisher(new_producer(NOWHERE), b"k").publish(panel)


def test_a_snapshot_above_the_limit_ends_the_trainer_for_a_person_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "MAX_SNAPSHOT_BYTES", 1_000)
    broker = EmbeddedBroker()
    ensure_topics(broker.bootstrap, 4)
    settings = TrainerSettings(
        broker=broker.bootstrap, data_dir=tmp_path, snapshot_key=SecretStr("k"), publish_every_s=0.01
    )
    send_assessments(broker.bootstrap, [assessment(n) for n in range(50)])
    stopping = threading.Event()
    limit = threading.Timer(WAIT_S, stopping.set)
    limit.start()
    code = train(settings, DEFAULT_RULES, stopping, threading.Event())
    limit.cancel()
    assert code is ExitCode.MISCONFIGURED
    assert code not in RESTART_CODES
    broker.close()
