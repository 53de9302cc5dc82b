"""A panel serves only once its archived copy is safe."""

from __future__ import annotations

from models.risk.learning.learner import Learner
from models.wire import Topic, archive_key, decode_snapshot
from stream.broker import EmbeddedBroker
from stream.publisher import Publisher, new_producer
from stream.topics import ensure_topics
from tests.learnkit import made_up
from tests.streamkit import WAIT_S, Eye


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
