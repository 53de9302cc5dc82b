"""Topics as a real Kafka keeps them: nothing is left to the broker's defaults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from models.wire import TOPIC_PLANS, Topic
from stream.kafka import LocalKafka
from stream.topics import changelog_topic, ensure_topics
from tests.streamkit import running_kafka

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    yield from running_kafka(tmp_path_factory.mktemp("kafka"))


def settings_of(address: str, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": address})
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, str(topic))]).values()
    return {name: entry.value for name, entry in answer.result(60).items() if not entry.is_default}


def test_every_topic_says_how_long_it_is_kept_and_whether_it_is_compacted(kafka: LocalKafka) -> None:
    ensure_topics(kafka.bootstrap, 3)
    for plan in TOPIC_PLANS:
        found = settings_of(kafka.bootstrap, plan.topic)
        assert found["cleanup.policy"] == ("compact" if plan.compacted else "delete")
        assert found["retention.ms"] == str(plan.retention_ms)
        assert found["min.insync.replicas"] == "1"
    assert int(settings_of(kafka.bootstrap, Topic.MODELS)["max.message.bytes"]) > 1_200_000


def test_a_changelog_is_compacted_in_small_segments_so_that_recovery_stays_short(kafka: LocalKafka) -> None:
    ensure_topics(kafka.bootstrap, 3)
    found = settings_of(kafka.bootstrap, changelog_topic("sluice"))
    assert found["cleanup.policy"] == "compact"
    assert int(found["segment.bytes"]) <= 64 * 1024 * 1024


def test_a_broker_keeps_its_topics_and_its_address_over_kill_and_restart(kafka: LocalKafka) -> None:
    ensure_topics(kafka.bootstrap, 3)
    address = kafka.bootstrap
    kafka.kill()
    assert not kafka.alive
    assert kafka.start() == address
    ensure_topics(address, 3)
    assert (
        len(AdminClient({"bootstrap.servers": address}).list_topics(timeout=60).topics[Topic.TRANSFERS].partitions) == 3
    )
