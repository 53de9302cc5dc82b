"""A run as a guest on a broker that runs already: embedded, and a real Apache Kafka with and without rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from cli.guest import GRANT, NAME_PREFIX, BrokerUnfit, Guest
from models.wire import Topic, decode_assessment, decode_dead_letter, encode
from stream.broker import EmbeddedBroker
from stream.kafka import LocalKafka
from stream.settings import StreamSettings
from stream.topics import ensure_topics, topic_names
from tests.streamkit import WAIT_S, Eye, WorkerProcess, post, post_raw, require_kafka, running_kafka, transfer

NOBODY = "127.0.0.1:1"


def settings_of(address: str, name: str, partitions: int = 4, replication: int = 1) -> StreamSettings:
    return StreamSettings(
        broker=address, partitions=partitions, replication=replication, topic_prefix=f"{name}.", group=name
    )


def guest_of(settings: StreamSettings) -> Guest:
    return Guest(settings, f"{settings.group}-api")


def partitions_of(address: str) -> dict[str, int]:
    topics = AdminClient({"bootstrap.servers": address}).list_topics(timeout=WAIT_S).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with what somebody else has left on it: topics of other partitions (a real one), and records."""
    if request.param == "embedded":
        broker = EmbeddedBroker()
        post(broker.bootstrap, [transfer(number) for number in range(50)])
        yield broker.bootstrap
        broker.close()
    else:
        for kafka in running_kafka(tmp_path_factory.mktemp("kafka")):
            ensure_topics(kafka.bootstrap, 3)
            post(kafka.bootstrap, [transfer(number) for number in range(50)])
            yield kafka.bootstrap


def test_each_run_has_topics_of_its_own_beside_what_is_there(address: str) -> None:
    before = partitions_of(address)
    for name in (f"{NAME_PREFIX}one", f"{NAME_PREFIX}two"):
        settings = settings_of(address, name)
        guest_of(settings).move_in()
        found = partitions_of(address)
        assert found[settings.on_broker(Topic.TRANSFERS)] == found[settings.on_broker(Topic.CREDITS)] == 4
        assert set(topic_names(name, settings.topic_prefix)) <= found.keys()
    assert {name: count for name, count in partitions_of(address).items() if name in before} == before


def test_a_worker_behind_a_prefix_reads_and_writes_nothing_else(address: str, tmp_path: Path) -> None:
    settings = settings_of(address, f"{NAME_PREFIX}worker")
    guest_of(settings).move_in()
    worker = WorkerProcess(address, tmp_path, topic_prefix=settings.topic_prefix, group=settings.group).start()
    eye = Eye(address, settings.on_broker(Topic.ASSESSMENTS), decode_assessment)
    letters = Eye(address, settings.on_broker(Topic.DEAD_LETTERS), decode_dead_letter)
    try:
        subject, topic = transfer(1_000), settings.on_broker(Topic.TRANSFERS)
        post_raw(address, topic, b"poison", b"{")
        post_raw(address, topic, subject.payer.encode(), encode(subject))
        assert [each.transfer.transfer_id for each in eye.until(bool)] == ["t-1000"]
        assert [each.topic for each in letters.until(bool)] == [topic]
    finally:
        eye.close()
        letters.close()
        worker.stop()


def test_no_broker_there_is_said_with_what_to_do() -> None:
    with pytest.raises(BrokerUnfit, match=r"no broker answered .*: start it, or correct --broker"):
        Guest(settings_of(NOBODY, "x"), "x-api").move_in(answer_timeout_s=0.1)


def test_topics_that_come_out_with_other_partitions_are_refused() -> None:
    broker = EmbeddedBroker()
    try:
        with pytest.raises(BrokerUnfit, match=r"has 4 partitions, .* asks for 5.*; use a broker that"):
            guest_of(settings_of(broker.bootstrap, f"{NAME_PREFIX}five", partitions=5)).move_in()
    finally:
        broker.close()


class Guarded:
    """A real Kafka that gives the rights the advice asks for, and no others, to whatever begins with `NAME_PREFIX`."""

    TOPIC_RIGHTS = (
        AclOperation.CREATE,
        AclOperation.DESCRIBE,
        AclOperation.READ,
        AclOperation.WRITE,
        AclOperation.DELETE,
    )
    GROUP_RIGHTS = (AclOperation.READ, AclOperation.DELETE)
    ITS_OWN_RIGHTS = (AclOperation.CLUSTER_ACTION, AclOperation.ALTER, AclOperation.DESCRIBE)

    def __init__(self, kafka: LocalKafka) -> None:
        self.address = kafka.bootstrap
        self._admin = AdminClient({"bootstrap.servers": self.address})
        self._rule(ResourceType.BROKER, "kafka-cluster", *self.ITS_OWN_RIGHTS)
        self._rule(ResourceType.TOPIC, NAME_PREFIX, *self.TOPIC_RIGHTS, prefixed=True)
        self._rule(ResourceType.GROUP, NAME_PREFIX, *self.GROUP_RIGHTS, prefixed=True)

    def deny(self, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """Take one right back for one topic or group."""
        self._rule(kind, name, operation, permission=AclPermissionType.DENY)

    def _rule(
        self,
        kind: ResourceType,
        name: str,
        *operations: AclOperation,
        prefixed: bool = False,
        permission: AclPermissionType = AclPermissionType.ALLOW,
    ) -> None:
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        rules = [AclBinding(kind, name, pattern, "User:*", "*", each, permission) for each in operations]
        for answer in self._admin.create_acls(rules).values():
            answer.result(WAIT_S)

    def refusal(self, settings: StreamSettings) -> str:
        """Return why a run cannot move in."""
        with pytest.raises(BrokerUnfit) as refused:
            guest_of(settings).move_in()
        return str(refused.value)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    require_kafka()
    home = tmp_path_factory.mktemp("guarded")
    kafka = LocalKafka(home)
    kafka.start()
    kafka.stop()
    with (home / "server.properties").open("a") as properties:
        properties.write("\nauthorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n")
        properties.write("super.users=User:nobody\nallow.everyone.if.no.acl.found=true\n")
    with kafka:
        yield Guarded(kafka)


@pytest.mark.kafka
def test_what_was_made_is_removed_at_the_end(guarded: Guarded) -> None:
    settings = settings_of(guarded.address, f"{NAME_PREFIX}tidy")
    guest = guest_of(settings)
    guest.move_in()
    assert guest.move_out() == ""
    assert not [name for name in partitions_of(guarded.address) if name.startswith(settings.topic_prefix)]
    assert guest.move_out() == "", "what is not there any more is no trouble"


@pytest.mark.kafka
def test_more_copies_than_brokers_is_said_with_the_setting(guarded: Guarded) -> None:
    with pytest.raises(BrokerUnfit, match="SLUICE_REPLICATION sets the copies"):
        guest_of(settings_of(guarded.address, f"{NAME_PREFIX}copies", replication=3)).move_in()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("right", "said"),
    [
        (AclOperation.CREATE, "Authorization failed"),
        (AclOperation.DESCRIBE, "does not show them"),
        (AclOperation.READ, "does not let this client read topic"),
        (AclOperation.WRITE, "does not let this client write topic"),
    ],
    ids=str,
)
def test_a_missing_right_on_a_topic_is_told_with_what_to_grant(
    guarded: Guarded, right: AclOperation, said: str
) -> None:
    settings = settings_of(guarded.address, f"{NAME_PREFIX}without-{right.name.lower()}")
    guarded.deny(ResourceType.TOPIC, settings.on_broker(Topic.TRANSFERS), right)
    reason = guarded.refusal(settings)
    assert said in reason
    assert reason.endswith(GRANT)


@pytest.mark.kafka
def test_a_missing_right_on_a_group_is_told_with_what_to_grant(guarded: Guarded) -> None:
    settings = settings_of(guarded.address, f"{NAME_PREFIX}without-group")
    guarded.deny(ResourceType.GROUP, settings.group, AclOperation.READ)
    reason = guarded.refusal(settings)
    assert "Group authorization failed" in reason
    assert reason.endswith(GRANT)


@pytest.mark.kafka
def test_what_may_not_be_deleted_is_told(guarded: Guarded) -> None:
    settings = settings_of(guarded.address, f"{NAME_PREFIX}kept")
    kept = settings.on_broker(Topic.CREDITS)
    guarded.deny(ResourceType.TOPIC, kept, AclOperation.DELETE)
    guest = guest_of(settings)
    guest.move_in()
    assert guest.move_out().startswith(f"topics that begin with {settings.topic_prefix} stay on {guarded.address}: ")
    assert [name for name in partitions_of(guarded.address) if name.startswith(settings.topic_prefix)] == [kept]
