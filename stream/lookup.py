"""Finds one record on a topic by reading it from its beginning to its present end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from stream.follower import METADATA_TIMEOUT_S, Record, record_of
from stream.reader import MAX_RECORD_BYTES

BATCH_MAX: Final = 500
BATCH_WAIT_S: Final = 0.5


class NotRead(Exception):
    """A topic could not be read to its end."""


def find_record(broker: str, topic: str, matches: Callable[[Record], bool], *, timeout_s: float) -> Record | None:
    """Return the first record that ``matches``, None if the topic holds none; raise `NotRead`.

    Costs one reading of all that the topic keeps; meant for a person who asks, not for a program that serves.
    """
    reader = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "sluice-lookup",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
            "log_level": 2,
        }
    )
    try:
        return _scan(reader, topic, matches, time.monotonic() + timeout_s)
    except KafkaException as error:
        raise NotRead(f"{broker}: {error.args[0].str()}") from error
    finally:
        reader.close()


def _scan(reader: Consumer, topic: str, matches: Callable[[Record], bool], deadline_s: float) -> Record | None:
    known = reader.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
    if known.error is not None:
        raise NotRead(f"there is no topic {topic!r}")
    unread = set(known.partitions)
    reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unread])
    while unread:
        if time.monotonic() > deadline_s:
            raise NotRead(f"topic {topic!r} was not read to its end in time")
        for message in reader.consume(BATCH_MAX, BATCH_WAIT_S):
            error = message.error()
            if error is None:
                record = record_of(message)
                if matches(record):
                    return record
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
    return None
