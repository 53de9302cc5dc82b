"""Simulated transfers on a broker: all of them, keyed and dated as the contract says, without their labels."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from kafka.errors import KafkaTimeoutError

from models.money.types import Transfer
from models.wire import ACCEPTED_HEADER, Topic, decode_transfer
from simulators.publisher import PublishFailed, publish, publish_to
from simulators.rehearsal import simulate
from simulators.settings import SimulateSettings
from stream.broker import EmbeddedBroker

SETTINGS = SimulateSettings(seed=2, customers=200, fraud_share=0.05, rate_tps=2_000, limit=1_000)


def read_all(broker: str, count: int, topic_name: str = Topic.TRANSFERS) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "test", "fetch.wait.max.ms": 5, "log_level": 2})
    topic = consumer.list_topics(topic_name, timeout=60).topics[topic_name]
    consumer.assign([TopicPartition(topic_name, number, OFFSET_BEGINNING) for number in topic.partitions])
    messages: list[Message] = []
    try:
        while len(messages) < count:
            message = consumer.poll(60)
            assert message is not None, f"only {len(messages)} of {count} arrived"
            assert message.error() is None
            messages.append(message)
        assert consumer.poll(0.2) is None, "more than was sent"
    finally:
        consumer.close()
    return messages


@pytest.fixture(scope="module")
def published() -> list[Message]:
    broker = EmbeddedBroker()
    result = publish(SETTINGS, broker.bootstrap)
    assert result.sent == 1_000
    return read_all(broker.bootstrap, 1_000)


def test_every_transfer_arrives_as_simulated_and_says_nothing_of_the_truth(published: list[Message]) -> None:
    records = [decode_transfer(message.value() or b"") for message in published]
    sent = [item.transfer for item, _ in zip(simulate(SETTINGS), range(1_000), strict=False)]
    by_id = {record.transfer_id: record for record in records}
    assert len(by_id) == 1_000
    for transfer in sent:
        record = by_id[transfer.transfer_id]
        assert all(getattr(record, name) == getattr(transfer, name) for name in transfer.__struct_fields__)
    assert not any(word in (m.value() or b"") for m in published for word in (b"fraud", b"typology", b"case_id"))


def test_the_key_is_the_payer_and_one_payer_has_one_partition(published: list[Message]) -> None:
    partitions: dict[bytes, set[int]] = {}
    for message in published:
        assert message.key() == decode_transfer(message.value() or b"").payer.encode()
        partitions.setdefault(message.key() or b"", set()).add(message.partition() or 0)
    assert all(len(each) == 1 for each in partitions.values())
    assert len({number for each in partitions.values() for number in each}) > 1


def test_transfers_are_dated_by_the_schedule_not_by_when_they_were_sent(published: list[Message]) -> None:
    dated = sorted(int(dict(message.headers() or [])[ACCEPTED_HEADER]) for message in published)
    gaps = {late - early for early, late in pairwise(dated)}
    assert gaps <= {499, 500, 501}


class Refusing:
    """A producer whose broker confirms nothing."""

    def send(self, *_args: object, **_kwargs: object) -> Refusing:
        return self

    def add_errback(self, note: Iterable[object]) -> None:
        note(KafkaTimeoutError("no answer"))  # type: ignore[operator]

    def flush(self, timeout: float) -> None:
        assert timeout > 0


def test_what_the_broker_does_not_confirm_is_not_called_published() -> None:
    transfers: list[Transfer] = [item.transfer for item, _ in zip(simulate(SETTINGS), range(3), strict=False)]
    with pytest.raises(PublishFailed, match="3 of 3"):
        publish_to(Refusing(), transfers, rate_tps=1_000_000, limit=None)


def test_an_installation_with_a_prefix_gets_them_on_its_own_topic() -> None:
    broker = EmbeddedBroker()
    settings = SETTINGS.model_copy(update={"topic_prefix": "north.", "limit": 50})
    publish(settings, broker.bootstrap)
    assert len(read_all(broker.bootstrap, 50, f"north.{Topic.TRANSFERS}")) == 50
    assert read_all(broker.bootstrap, 0) == []
    broker.close()


@pytest.mark.parametrize("limit", [None, 300])
def test_progress_goes_from_the_first_to_the_last_whether_by_time_or_by_number(
    monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr("simulators.publisher.PROGRESS_EVERY", 100)
    seen: list[tuple[int, float]] = []
    broker = EmbeddedBroker()
    settings = SimulateSettings(seed=2, customers=200, days=0.5, rate_tps=2_000, limit=limit)
    result = publish(settings, broker.bootstrap, progress=lambda sent, share: seen.append((sent, share)))
    broker.close()
    shares = [share for _, share in seen]
    assert [sent for sent, _ in seen] == list(range(100, result.sent + 1, 100))
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < shares[-1] <= 1.0
