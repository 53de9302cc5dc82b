"""Makes the topics: explicit partitions, retention and compaction, the same call any number of times."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from models.wire import TOPIC_PLANS, Topic, TopicPlan

REQUEST_TIMEOUT_S: Final = 10.0

EMBEDDED_PARTITIONS: Final = 4
"""Partitions of every topic of the embedded broker; it makes topics by itself and knows no other number."""

COMPACTED: Final = {
    "cleanup.policy": "compact",
    "segment.bytes": str(32 * 1024 * 1024),
    "segment.ms": str(3_600_000),
    "min.cleanable.dirty.ratio": "0.3",
}
"""Small segments: the one being written is never compacted, and recovery reads all of it."""

MAX_SNAPSHOT_BYTES: Final = 16 * 1024 * 1024
"""Largest record on ``models`` and ``snapshots``."""


class TopicMismatch(Exception):
    """A topic exists with another number of partitions than the settings ask for."""

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(
            f"topic {topic!r} has {found} partitions, but SLUICE_PARTITIONS asks for {wanted}; "
            "an account's records would go to different workers, so nothing is started"
        )


class BrokerAway(Exception):
    """No broker answered in time."""


class TopicsHidden(BrokerAway):
    """The broker created topics and does not show them: it is busy, or this client may not describe them."""

    def __init__(self, topics: Collection[str]) -> None:
        super().__init__(f"the broker created {', '.join(sorted(topics))}, but does not show them")


def changelog_topic(group: str) -> str:
    """Return the changelog topic of the profiles of a group of workers."""
    return f"{group}-profiles-changelog"


def admin_client(broker: str) -> AdminClient:
    """Return a client for topic requests that does not chatter on stderr."""
    return AdminClient({"bootstrap.servers": broker, "log_level": 2})


def wait_for_broker(broker: str, timeout_s: float) -> None:
    """Return as soon as a broker answers; raise `BrokerAway` after ``timeout_s`` seconds."""
    admin = admin_client(broker)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if admin.list_topics(timeout=1.0).brokers:
                return
        except KafkaException:
            pass
        if time.monotonic() >= deadline:
            raise BrokerAway(f"no broker answered at {broker} within {timeout_s:g} s")
        time.sleep(0.1)


def ensure_topics(
    broker: str, partitions: int, *, replication: int = 1, group: str = "sluice", prefix: str = ""
) -> None:
    """Create every topic that is missing; raise `TopicMismatch` where one has other partitions.

    Covers `TOPIC_PLANS` and the changelog of ``group``, each name behind ``prefix``. Safe to call from
    several programs at once. Raises `KafkaException` if the broker refuses.
    """
    admin = admin_client(broker)
    existing = _partition_counts(admin)
    missing = [topic for topic in _wanted(partitions, replication, group, prefix) if topic.topic not in existing]
    if missing and is_embedded(admin):
        _touch(admin, missing)
    elif missing:
        _create(admin, missing)
    staged = {prefix + name for name in (Topic.TRANSFERS, Topic.CREDITS, Topic.ASSESSMENTS, changelog_topic(group))}
    for name, found in _partition_counts(admin).items():
        if name in staged and found != partitions:
            raise TopicMismatch(name, found, partitions)


def is_embedded(admin: AdminClient) -> bool:
    """Return whether the broker is librdkafka's mock cluster, which answers no topic requests."""
    return str(admin.list_topics(timeout=REQUEST_TIMEOUT_S).cluster_id).startswith("mockCluster")


def topic_names(group: str, prefix: str) -> list[str]:
    """Return the names on the broker of all topics of one installation."""
    return [prefix + name for name in (*(plan.topic for plan in TOPIC_PLANS), changelog_topic(group))]


def _wanted(partitions: int, replication: int, group: str, prefix: str) -> list[NewTopic]:
    """Return all topics; a write counts once all copies but one have it, so that one broker may be away."""
    safe = {"min.insync.replicas": str(max(replication - 1, 1))}
    topics = [
        NewTopic(prefix + plan.topic, plan.partitions or partitions, replication, config=safe | _config(plan))
        for plan in TOPIC_PLANS
    ]
    topics.append(NewTopic(prefix + changelog_topic(group), partitions, replication, config=safe | COMPACTED))
    return topics


def _config(plan: TopicPlan) -> dict[str, str]:
    config = COMPACTED if plan.compacted else {"cleanup.policy": "delete"}
    config = config | {"retention.ms": str(plan.retention_ms)}
    if plan.topic in (Topic.MODELS, Topic.SNAPSHOTS):
        config["max.message.bytes"] = str(MAX_SNAPSHOT_BYTES)
    return config


def _partition_counts(admin: AdminClient) -> dict[str, int]:
    topics = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def _create(admin: AdminClient, topics: list[NewTopic]) -> None:
    """Create topics and wait until the broker shows them; another program may be faster."""
    for request in admin.create_topics(topics, request_timeout=REQUEST_TIMEOUT_S).values():
        try:
            request.result(REQUEST_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    names = {topic.topic for topic in topics}
    while not names <= _partition_counts(admin).keys():
        if time.monotonic() >= deadline:
            raise TopicsHidden(names - _partition_counts(admin).keys())
        time.sleep(0.05)


def _touch(admin: AdminClient, topics: list[NewTopic]) -> None:
    """Ask for topics by name: the embedded broker makes what is asked for, with its own partition count."""
    for topic in topics:
        admin.list_topics(topic.topic, timeout=REQUEST_TIMEOUT_S)
