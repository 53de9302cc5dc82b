"""Puts panels into service: archived first, so that no decision can name a snapshot that is kept nowhere."""

from __future__ import annotations

from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from models.risk.panel import PANEL, TrainedPanel
from models.risk.snapshot import Snapshot, encode_state
from models.signing import sign_snapshot
from models.wire import PARTITIONER, Topic, archive_key, encode
from stream.topics import MAX_SNAPSHOT_BYTES
from telemetry.clock import wall_us
from telemetry.metrics import SNAPSHOTS_PUBLISHED

log = structlog.get_logger(__name__)

CONFIRM_TIMEOUT_S: Final = 5.0
"""How long the broker may take to confirm one copy; without both the panel does not count as put into service."""

TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class SnapshotTooLarge(Exception):
    """A snapshot is larger than a record of its topic may be, and so will the next one be."""

    def __init__(self, version: str, topic: str, size_bytes: int, reason: str) -> None:
        if size_bytes > MAX_SNAPSHOT_BYTES:
            cure = "let the learner grow fewer or smaller trees"
        else:
            cure = f"set max.message.bytes of the topic to {MAX_SNAPSHOT_BYTES}"
        super().__init__(
            f"snapshot {version} makes a record of {size_bytes} bytes, too large for topic {topic!r} ({reason}); "
            f"at most {MAX_SNAPSHOT_BYTES} are meant to pass: {cure}"
        )


class Publisher:
    """Signs a panel and sends it to ``snapshots``, then to ``models``, both behind ``topic_prefix``."""

    def __init__(self, producer: Producer, key: bytes, *, topic_prefix: str = "") -> None:
        self._producer = producer
        self._key = key
        self._prefix = topic_prefix
        self.published = ""
        """Version put into service last by this process."""

    def publish(self, panel: TrainedPanel) -> bool:
        """Put a panel into service unless it is; return whether workers will have it.

        Raises `SnapshotTooLarge`.
        """
        if panel.version == self.published:
            return True
        snapshot = Snapshot(
            detector=PANEL,
            version=panel.version,
            feature_set=panel.state.feature_set,
            payload=encode_state(panel.state),
        )
        record = encode(sign_snapshot(snapshot, key=self._key, created_us=wall_us()))
        for topic, key in ((Topic.SNAPSHOTS, archive_key(PANEL, panel.version)), (Topic.MODELS, PANEL)):
            if not self._send(topic, key, record, panel.version):
                log.error("not put into service: the broker did not confirm it", topic=topic, version=panel.version)
                return False
        self.published = panel.version
        SNAPSHOTS_PUBLISHED.labels(PANEL).inc()
        return True

    def _send(self, topic: Topic, key: str, record: bytes, version: str) -> bool:
        """Send one record and wait, bounded, until the broker has it; raise `SnapshotTooLarge`."""
        name, answers = self._prefix + topic, list[KafkaError | None]()
        try:
            self._producer.produce(name, record, key.encode(), on_delivery=lambda error, _: answers.append(error))
            self._producer.flush(CONFIRM_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in TOO_LARGE:
                raise
            answers.append(error.args[0])
        for refusal in answers:
            if refusal is not None and refusal.code() in TOO_LARGE:
                raise SnapshotTooLarge(version, name, len(key) + len(record), refusal.str())
        return answers == [None]


def new_producer(broker: str) -> Producer:
    """Return the trainer's producer: compressed, since a snapshot is base64 in JSON and stays for days."""
    return Producer(
        {
            "bootstrap.servers": broker,
            "partitioner": PARTITIONER,
            "acks": "all",
            "compression.type": "gzip",
            "message.max.bytes": MAX_SNAPSHOT_BYTES,
            "log_level": 2,
        }
    )
