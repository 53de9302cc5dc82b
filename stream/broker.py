"""Runs a broker for first tries, tests and demos: embedded (in memory) or a real Kafka, on loopback."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from models.wire import TOPIC_PLANS
from stream.exitcodes import ExitCode
from stream.kafka import KafkaUnavailable, LocalKafka
from stream.mock import MockCluster, MockUnavailable
from stream.ready import announce_ready
from stream.topics import EMBEDDED_PARTITIONS, BrokerAway

WATCH_S: Final = 0.5


class EmbeddedBroker:
    """librdkafka's mock cluster: a Kafka-protocol broker in this process, memory only.

    It has the topics of `TOPIC_PLANS` and makes others as they are named, with
    `EMBEDDED_PARTITIONS` partitions; it picks its own port, keeps about 5 MB of
    each partition and does not wake long polls. It lives until it is closed.
    """

    def __init__(self) -> None:
        self._cluster = MockCluster()
        self._cluster.create((plan.topic, plan.partitions or EMBEDDED_PARTITIONS) for plan in TOPIC_PLANS)
        self.bootstrap = self._cluster.bootstrap
        """Address for clients."""

    def close(self) -> None:
        """End the broker."""
        self._cluster.close()


def run_broker(
    *,
    kind: str = "embedded",
    port: int = 0,
    data_dir: Path | None = None,
    ready_file: Path | None = None,
) -> int:
    """Run a broker until SIGTERM or SIGINT; return an exit code.

    Prints the address and writes it to ``ready_file`` once the broker answers.
    ``data_dir`` keeps a real Kafka's data over restarts; without it they are
    removed at the end. The embedded broker takes no port and keeps no data.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if kind == "embedded" and port == 0:
        return _run_embedded(stopping, ready_file)
    if kind == "kafka":
        return _run_kafka(stopping, port, data_dir, ready_file)
    announce_failure(f"no such broker: kind {kind!r}, port {port} (the embedded broker picks its own port)")
    return ExitCode.MISCONFIGURED


def _announce(ready_file: Path | None, address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    announce_ready(ready_file, address)


def announce_failure(text: str) -> None:
    """Say on stderr why a broker does not run."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _run_embedded(stopping: threading.Event, ready_file: Path | None) -> int:
    try:
        broker = EmbeddedBroker()
    except MockUnavailable as error:
        announce_failure(str(error))
        return ExitCode.MISCONFIGURED
    _announce(ready_file, broker.bootstrap)
    stopping.wait()
    broker.close()
    return ExitCode.OK


def _run_kafka(stopping: threading.Event, port: int, data_dir: Path | None, ready_file: Path | None) -> int:
    with tempfile.TemporaryDirectory(prefix="sluice-kafka-", ignore_cleanup_errors=True) as folder:
        kafka = LocalKafka(data_dir or Path(folder), port=port)
        try:
            _announce(ready_file, kafka.start())
        except (KafkaUnavailable, BrokerAway) as error:
            announce_failure(str(error))
            return ExitCode.MISCONFIGURED
        try:
            return _watch(stopping, lambda: kafka.alive)
        finally:
            kafka.stop()


def _watch(stopping: threading.Event, alive: Callable[[], bool]) -> int:
    while not stopping.wait(WATCH_S):
        if not alive():
            announce_failure("the broker ended by itself")
            return ExitCode.BROKER_AWAY
    return ExitCode.OK
