"""Puts panels into service: archived first, so that no decision can name a snapshot that is kept nowhere."""

from __future__ import annotations

from typing import Final

import structlog
from confluent_kafka import Producer

from models.risk.panel import PANEL, TrainedPanel
from models.risk.snapshot import Snapshot, encode_state
from models.signing import sign_snapshot
from models.wire import PARTITIONER, Topic, archive_key, encode
from stream.topics import MAX_SNAPSHOT_BYTES
from telemetry.clock import wall_us
from telemetry.metrics import SNAPSHOTS_PUBLISHED

log = structlog.get_logger(__name__)

CONFIRM_TIMEOUT_S: Final = 5.0
"""How long the broker may take to confirm the archived copy; without it the panel is not put into service."""


class Publisher:
    """Signs a panel and sends it to ``snapshots``, then to ``models``, both behind ``topic_prefix``."""

    def __init__(self, producer: Producer, key: bytes, *, topic_prefix: str = "") -> None:
        self._producer = producer
        self._key = key
        self._prefix = topic_prefix
        self.published = ""
        """Version put into service last by this process."""

    def publish(self, panel: TrainedPanel) -> bool:
        """Put a panel into service unless it is; return whether workers will have it."""
        if panel.version == self.published:
            return True
        snapshot = Snapshot(
            detector=PANEL,
            version=panel.version,
            feature_set=panel.state.feature_set,
            payload=encode_state(panel.state),
        )
        record = encode(sign_snapshot(snapshot, key=self._key, created_us=wall_us()))
        if not self._send(Topic.SNAPSHOTS, archive_key(PANEL, panel.version), record):
            log.error("not put into service: the broker did not confirm the archived copy", version=panel.version)
            return False
        self._producer.produce(self._prefix + Topic.MODELS, record, PANEL.encode())
        self.published = panel.version
        SNAPSHOTS_PUBLISHED.labels(PANEL).inc()
        return True

    def _send(self, topic: Topic, key: str, value: bytes) -> bool:
        """Send one record and wait, bounded, until the broker has it."""
        answers: list[bool] = []
        self._producer.produce(
            self._prefix + topic, value, key.encode(), on_delivery=lambda error, _: answers.append(error is None)
        )
        self._producer.flush(CONFIRM_TIMEOUT_S)
        return answers == [True]


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
