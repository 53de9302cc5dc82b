"""``sluice up`` as a guest on a broker that runs already: looked at before anything is started, and tidied up after.

Each run has topics and consumer groups of its own, named after it, so what earlier runs or other programs have
left on the broker is neither read nor written.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from models.wire import Topic
from stream.inspector import inspectors_group
from stream.settings import StreamSettings
from stream.startup import make_topics
from stream.topics import (
    REQUEST_TIMEOUT_S,
    BrokerAway,
    TopicMismatch,
    TopicsHidden,
    admin_client,
    is_embedded,
    topic_names,
    wait_for_broker,
)

NAME_PREFIX: Final = "sluice-up-"
"""What the names of all topics and groups of every run begin with; rights on a broker can be given by it."""

ANSWER_TIMEOUT_S: Final = 10.0
TIDY_TIMEOUT_S: Final = 2.0
"""Bounds each request at the end, since Ctrl-C is to be done within seconds."""

RIGHTS: Final = ("READ", "WRITE")
DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
GRANT: Final = (
    f"let this client create, describe, read, write and delete topics whose names begin with {NAME_PREFIX!r}, "
    "and read and delete consumer groups of such names"
)


class BrokerUnfit(Exception):
    """A broker cannot carry a run; says why, and what to do about it."""


class Guest:
    """One run's place on a broker: its topics and groups. ``settings`` are those of the run's workers."""

    def __init__(self, settings: StreamSettings, api_group: str) -> None:
        self._settings = settings
        self._places = {
            settings.group: Topic.TRANSFERS,
            inspectors_group(settings.group): Topic.CONTROLS,
            api_group: Topic.ASSESSMENTS,
        }
        self._topics = topic_names(settings.group, settings.topic_prefix)
        self._admin: AdminClient | None = None

    def move_in(self, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Make the topics and try every right a run needs; raise `BrokerUnfit`."""
        settings = self._settings
        try:
            wait_for_broker(settings.broker, answer_timeout_s)
            admin = admin_client(settings.broker)
            self._admin = None if is_embedded(admin) else admin
            make_topics(settings)
            if self._admin is not None:
                _check_topic_rights(self._admin, self._topics)
            for group, topic in self._places.items():
                _check_group_rights(settings.broker, group, settings.on_broker(topic))
        except TopicsHidden as error:
            raise BrokerUnfit(f"{error}; {GRANT}") from error
        except BrokerAway as error:
            raise BrokerUnfit(f"{error}: start it, or correct --broker HOST:PORT") from error
        except TopicMismatch as error:
            raise BrokerUnfit(
                f"{error}; use a broker that makes topics with the partitions a client asks for"
            ) from error
        except KafkaException as error:
            raise BrokerUnfit(advice(settings, error.args[0])) from error

    def move_out(self) -> str:
        """Delete topics and groups; return in words what could not be deleted.

        The embedded broker deletes nothing; it forgets all when it ends.
        """
        if self._admin is None:
            return ""
        failed = _failures(self._admin.delete_topics(self._topics, request_timeout=TIDY_TIMEOUT_S))
        _failures(self._admin.delete_consumer_groups(list(self._places), request_timeout=TIDY_TIMEOUT_S))
        left = failed.keys() & self._shown(self._admin)
        if not left:
            return ""
        why = failed[min(left)]
        return f"topics that begin with {self._settings.topic_prefix} stay on {self._settings.broker}: {why}"

    def _shown(self, admin: AdminClient) -> set[str]:
        """Return which of the topics the broker shows; all of them if it does not answer."""
        try:
            return set(self._topics) & admin.list_topics(timeout=TIDY_TIMEOUT_S).topics.keys()
        except KafkaException:
            return set(self._topics)


def advice(settings: StreamSettings, error: KafkaError) -> str:
    """Return why a broker refused, and what to do."""
    refused = f"the broker at {settings.broker} refuses: {error.str()}"
    if error.code() in DENIED:
        return f"{refused}; {GRANT}"
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR or error.code() == KafkaError.POLICY_VIOLATION:
        return (
            f"{refused}; a run asks for topics of {settings.partitions} partitions with {settings.replication} "
            "copies each: SLUICE_REPLICATION sets the copies"
        )
    return f"{refused}; use another broker, or none: sluice up brings its own"


def _check_topic_rights(admin: AdminClient, topics: list[str]) -> None:
    """Raise `BrokerUnfit` unless all topics may be read and written."""
    described = admin.describe_topics(
        TopicCollection(topics), include_authorized_operations=True, request_timeout=REQUEST_TIMEOUT_S
    )
    for topic, answer in described.items():
        rights = answer.result(REQUEST_TIMEOUT_S).authorized_operations
        if rights is None:
            continue
        missing = set(RIGHTS) - {right.name for right in rights}
        if missing:
            denied = " and ".join(sorted(missing)).lower()
            raise BrokerUnfit(f"the broker does not let this client {denied} topic {topic!r}; {GRANT}")


def _check_group_rights(broker: str, group: str, topic: str) -> None:
    """Commit the start of a topic that is empty, which says nothing new; raise `KafkaException` if it may not be."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": group, "log_level": 2})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    finally:
        consumer.close()


def _failures(answers: dict[str, Future[Any]]) -> dict[str, str]:
    """Return why requests failed, by what they were about."""
    failed = {}
    for name, answer in answers.items():
        try:
            answer.result(TIDY_TIMEOUT_S)
        except KafkaException as error:
            failed[name] = error.args[0].str()
        except TimeoutError:
            failed[name] = "no answer"
    return failed
