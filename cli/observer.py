"""Watches ``assessments`` from outside: counts, bands and latency as a consumer sees them."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from cli.latency import RecentLatencies
from cli.quantiles import Quantiles, quantiles
from models.risk.assessment import StageTimes
from models.wire import UNREADABLE, Topic
from telemetry.clock import wall_us

MAX_SAMPLES = 4_000_000
"""Latencies and ids kept (about 200 MB); later ones are counted but not kept."""

POLL_TIMEOUT_S = 0.2


class _TransferId(msgspec.Struct):
    transfer_id: str


class _Seen(msgspec.Struct, tag_field="schema", tag=1):
    """The part of an assessment that the observer reads."""

    transfer: _TransferId
    band: str
    stages: StageTimes = StageTimes()


class Observer:
    """A consumer in a thread; ``live_from_us`` is the wall time from which latency counts."""

    def __init__(self, broker: str, *, topic_prefix: str = "") -> None:
        self._topic = topic_prefix + Topic.ASSESSMENTS
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "sluice-observer",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "log_level": 2,
            }
        )
        self._decode = msgspec.json.Decoder(_Seen).decode
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self.live_from_us: int | None = None
        self.bands: Counter[str] = Counter()
        self.assessed = 0
        self.repeated = 0
        """Assessments of transfers that had one already: a worker did again what it had not acknowledged."""
        self.unreadable = 0
        self._ids: set[str] = set()
        self._latencies = array("d")
        self._recent = RecentLatencies()

    def start(self) -> None:
        """Assign every partition of the topic from its beginning and start reading."""
        topic = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in topic.partitions])
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and close the consumer."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._consumer.close()

    def recent_latency(self) -> Quantiles:
        """Return quantiles of the latencies since ``live_from_us`` that are of the last `cli.latency.WINDOW_S`."""
        return self._recent.quantiles(wall_us())

    def latency(self) -> Quantiles:
        """Return quantiles of all latencies since ``live_from_us``."""
        return quantiles(self._latencies[:])

    def _run(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(POLL_TIMEOUT_S)
            if message is None:
                continue
            value = message.value()
            if message.error() or value is None:
                time.sleep(POLL_TIMEOUT_S)
                continue
            try:
                seen = self._decode(value)
            except UNREADABLE:
                self.unreadable += 1
                continue
            self._take(seen)

    def _take(self, seen: _Seen) -> None:
        arrived = wall_us()
        if seen.transfer.transfer_id in self._ids:
            self.repeated += 1
            return
        self.assessed += 1
        self.bands[seen.band] += 1
        if len(self._ids) < MAX_SAMPLES:
            self._ids.add(seen.transfer.transfer_id)
        accepted = seen.stages.accepted_us
        if self.live_from_us is None or accepted < self.live_from_us:
            return
        self._recent.add(arrived, arrived - accepted)
        if len(self._latencies) < MAX_SAMPLES:
            self._latencies.append(arrived - accepted)
