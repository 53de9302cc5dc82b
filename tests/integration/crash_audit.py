"""Compares the profiles that workers left in the changelog with an uninterrupted replay of the broker's logs.

The order of debits is that of `transfers`, the order of credits that of the
first copy of each on `credits`. An account that only pays or only receives must
be equal to the last byte. One that does both has no determined order between
its two sides; there both sides' own parts must be equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.scorer import Scorer
from models.wire import CreditRecord, Topic, decode_credit, decode_transfer
from stream.controls import NO_LISTS
from stream.tables import AccountState, decode_state
from stream.topics import changelog_topic

POLL_S = 60.0


class Row(NamedTuple):
    """One record of a log."""

    partition: int
    offset: int
    key: bytes
    value: bytes


def read_log(address: str, topic: str) -> Iterator[Row]:
    """Yield every record of a topic, each partition in its order."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "audit",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 2,
        }
    )
    partitions = set(consumer.list_topics(topic, timeout=POLL_S).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    while partitions:
        record: Any = consumer.poll(POLL_S)
        assert record is not None, f"the broker tells nothing of {topic}"
        if record.error() is None:
            yield Row(record.partition(), record.offset(), record.key(), record.value())
        elif record.error().code() == KafkaError._PARTITION_EOF:
            partitions.discard(record.partition())
    consumer.close()


class Replay:
    """Profiles as one scorer makes them from the logs, never interrupted."""

    def __init__(self, address: str) -> None:
        self._scorer = Scorer()
        self.debited: dict[bytes, AccountState] = defaultdict(AccountState)
        self.credited: dict[bytes, AccountState] = defaultdict(AccountState)
        for row in read_log(address, Topic.TRANSFERS):
            self._debit(row)
        seen: set[tuple[int, int]] = set()
        for row in read_log(address, Topic.CREDITS):
            credit = decode_credit(row.value)
            source = credit.source_partition, credit.source_offset
            if source not in seen:
                seen.add(source)
                self._credit(row.key, credit)

    def _debit(self, row: Row) -> None:
        state = self.debited[row.key]
        debited = self._scorer.debit(state.profile, decode_transfer(row.value))
        if debited.view is not None:
            self.debited[row.key] = state.debited(debited.profile, row.offset)

    def _credit(self, key: bytes, credit: CreditRecord) -> None:
        state = self.credited[key]
        credited = self._scorer.credit(state.profile, credit.transfer, credit.view, NO_LISTS)
        self.credited[key] = state.credited(credited.profile, credit.source_partition, credit.source_offset)

    def agrees(self, key: bytes, found: AccountState) -> bool:
        """Return whether a found state is what the replay has."""
        if key not in self.credited:
            return found == self.debited[key]
        if key not in self.debited:
            return found == self.credited[key]
        debited, credited = self.debited[key], self.credited[key]
        return (
            found.debit_offset == debited.debit_offset
            and found.credit_offsets == credited.credit_offsets
            and paid_part(found.profile) == paid_part(debited.profile)
            and received_part(found.profile) == received_part(credited.profile)
        )


def paid_part(profile: AccountProfile) -> tuple[object, ...]:
    """Return what only debits change."""
    return profile.outflow.count, profile.outflow.fen, profile.debits, profile.paid, profile.debit_ids


def received_part(profile: AccountProfile) -> tuple[object, ...]:
    """Return what only credits change."""
    return profile.inflow.count, profile.inflow.fen, profile.credits, profile.received


def brief(state: AccountState | None) -> str:
    """Return what tells two states apart."""
    if state is None:
        return "-"
    paid, received = state.profile.outflow.count, state.profile.inflow.count
    return f"{paid} debits to {state.debit_offset}, {received} credits to {state.credit_offsets}"


def audit(address: str, group: str = "sluice") -> tuple[int, int]:
    """Return how many profiles there are, and how many are not as the replay has them."""
    replay = Replay(address)
    found = {row.key: decode_state(row.value) for row in read_log(address, changelog_topic(group))}
    everyone = replay.debited.keys() | replay.credited.keys() | found.keys()
    wrong = [key for key in everyone if not replay.agrees(key, found.get(key, AccountState(EMPTY_PROFILE)))]
    for key in wrong[:5]:
        print(
            "wrong profile", key, *(brief(of.get(key)) for of in (found, replay.debited, replay.credited)), sep="\n  "
        )
    return len(everyone), len(wrong)
