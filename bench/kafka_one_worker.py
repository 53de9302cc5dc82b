"""One worker fed from a broker alone: rate held, latency from due time, CPU per transfer.

Transfers are due on a fixed schedule and dated by their due time, so a slow
system cannot slow its load down. Assessments are polled one by one, since
waiting to fill a batch would add to the latency. Linux only (CPU time from /proc).

    python -m bench.kafka_one_worker --rate 2000 --seconds 60
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from models.risk.assessment import Assessment
from models.wire import ACCEPTED_HEADER, PARTITIONER, Topic, TransferRecord, decode_assessment, encode
from stream.broker import EmbeddedBroker
from stream.kafka import LocalKafka
from stream.topics import ensure_topics

ACCOUNTS = 20_000
WARM_S = 5.0
READY_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 30.0
TICK_S = 0.001


@contextlib.contextmanager
def broker(kind: str, folder: Path) -> Iterator[str]:
    """Yield the address of a private broker."""
    if kind == "embedded":
        embedded = EmbeddedBroker()
        yield embedded.bootstrap
        embedded.close()
    elif kind == "kafka":
        with LocalKafka(folder / "kafka") as kafka:
            yield kafka.bootstrap
    else:
        yield kind


@contextlib.contextmanager
def worker(address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a worker's process that is scoring."""
    ready = folder / "ready"
    env = {
        **os.environ,
        "SLUICE_BROKER": address,
        "SLUICE_DATA_DIR": str(folder / "data"),
        "SLUICE_READY_FILE": str(ready),
        "SLUICE_METRICS_PORT": os.environ.get("SLUICE_METRICS_PORT", "0"),
    }
    process = subprocess.Popen([sys.executable, "-m", "cli.main", "worker"], env=env)
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the worker did not become ready")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def transfers(seed: int) -> Iterator[TransferRecord]:
    """Yield transfers between accounts of which a few are busy, for ever."""
    rng = random.Random(seed)
    number = 0
    while True:
        payer, payee = (int(ACCOUNTS * rng.random() ** 2) for _ in range(2))
        number += 1
        yield TransferRecord(
            transfer_id=f"bench-{seed}-{number}",
            payer_bank="icbc",
            payer_account=f"62220200{payer:08d}",
            payee_bank="ccb",
            payee_account=f"62270000{payee:08d}",
            amount_fen=rng.randrange(100, 5_000_000),
            occurred_us=time.time_ns() // 1000,
            channel="mobile",
        )


class Load(threading.Thread):
    """Sends transfers when they are due, ``rate`` a second."""

    def __init__(self, address: str, rate: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {"bootstrap.servers": address, "partitioner": PARTITIONER, "linger.ms": 1, "compression.type": "lz4"}
        )
        self._rate, self._seconds = rate, seconds
        self.sent = 0
        self.worst_delay_s = 0.0

    def run(self) -> None:
        source = transfers(seed=1)
        start, total = time.time(), int(self._rate * self._seconds)
        while self.sent < total:
            now = time.time()
            while self.sent < total and (due := start + self.sent / self._rate) <= now:
                self._send(next(source), due)
                self.worst_delay_s = max(self.worst_delay_s, now - due)
            self._producer.poll(0)
            time.sleep(TICK_S)
        self._producer.flush(10)

    def _send(self, transfer: TransferRecord, due: float) -> None:
        header = {ACCEPTED_HEADER: str(int(due * 1_000_000)).encode()}
        self._producer.produce(Topic.TRANSFERS, encode(transfer), transfer.payer.encode(), headers=list(header.items()))
        self.sent += 1


class Probe(threading.Thread):
    """Polls assessments and notes when each came."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer(
            {"bootstrap.servers": address, "group.id": "bench", "auto.offset.reset": "earliest", "fetch.wait.max.ms": 5}
        )
        topic = self._consumer.list_topics(Topic.ASSESSMENTS, timeout=10).topics[Topic.ASSESSMENTS]
        self._consumer.assign([TopicPartition(Topic.ASSESSMENTS, number, 0) for number in topic.partitions])
        self.seen: dict[str, tuple[int, float]] = {}
        self.repeated = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            record = self._consumer.poll(0.1)
            value = None if record is None or record.error() else record.value()
            if value is not None:
                self._note(decode_assessment(value), time.time())
        self._consumer.close()

    def _note(self, assessment: Assessment, now: float) -> None:
        accepted = assessment.stages.accepted_us
        if assessment.transfer.transfer_id in self.seen:
            self.repeated += 1
        else:
            self.seen[assessment.transfer.transfer_id] = (accepted, now - accepted / 1_000_000)


def measure(address: str, process: subprocess.Popen[bytes], rate: float, seconds: float) -> dict[str, object]:
    """Run load and probe, and return what was seen after the first `WARM_S` seconds."""
    probe, load = Probe(address), Load(address, rate, seconds)
    probe.start()
    cpu, started = cpu_s(process.pid), time.time()
    load.start()
    load.join()
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while len(probe.seen) < load.sent and time.monotonic() < deadline:
        time.sleep(0.05)
    cpu = cpu_s(process.pid) - cpu
    probe.stopping.set()
    probe.join()
    warm_us = (started + WARM_S) * 1_000_000
    latency_ms = 1000 * np.array([seen[1] for seen in probe.seen.values() if seen[0] >= warm_us])
    p50, p99, p999 = np.quantile(latency_ms, (0.5, 0.99, 0.999))
    return {
        "rate_tps": rate,
        "seconds": seconds,
        "sent": load.sent,
        "assessed": len(probe.seen),
        "repeated": probe.repeated,
        "latency_ms": {"p50": round(p50, 1), "p99": round(p99, 1), "p999": round(p999, 1)},
        "loader_worst_delay_ms": round(load.worst_delay_s * 1000, 1),
        "worker_cpu_us_per_transfer": round(cpu / load.sent * 1_000_000, 1),
    }


def main() -> None:
    """Parse arguments, run, print one JSON line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", default="kafka", help="kafka, embedded, or HOST:PORT")
    parser.add_argument("--rate", type=float, nargs="+", default=[2000.0])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    for rate in options.rate:
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name, broker(options.broker, Path(name)) as address:
            ensure_topics(address, 4)
            with worker(address, Path(name)) as process:
                print(json.dumps(measure(address, process, rate, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
