"""A worker over few accounts and over many: recovery, then latency and CPU at the calm rate.

The changelog is filled as a worker would have left it, so that a million
accounts need no hour of transfers first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Producer

from bench.accounts import Strangers, latest_us, mature_states, peopled
from bench.findings import Bench, Findings
from bench.kafka_wire import KafkaWire, Route
from bench.machine import rss_bytes
from bench.panel import publish
from bench.stack import Stack, with_env
from bench.stats import Latency
from cli.plan import PARTITIONS
from stream.settings import WorkerSettings
from stream.tables import partition_of
from stream.topics import changelog_topic
from telemetry.clock import wall_us

ACCOUNTS: Final = (10_000, 1_000_000)
RATE: Final = 1_000.0
WARM_S: Final = 5.0
TRIALS: Final = 2.0
READY_S: Final = 180.0
FLUSH_S: Final = 60.0
QUEUED: Final = 50_000
SEED: Final = 5


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How long a worker took from its start until it scored, and then its cost."""

    ready_s: float
    latency_ms: Latency
    us_per_transfer: float
    worker_mb: float


def measure(bench: Bench) -> Findings:
    """Measure each number of accounts in memory, and restarts from RocksDB for the largest."""
    found: dict[str, dict[str, Start]] = {}
    for accounts in ACCOUNTS:
        bench.say(f"worker over {accounts:,} accounts")
        found[str(accounts)] = _one_size(bench, accounts)
    few, many = (found[str(accounts)]["memory"] for accounts in ACCOUNTS)
    return Findings(
        growth={
            "worker": found,
            "worker_us_1m_vs_10k": round(many.us_per_transfer / few.us_per_transfer, 2),
            "worker_p99_1m_vs_10k": round(many.latency_ms.p99 / few.latency_ms.p99, 2),
        },
        notes=[f"the worker over {ACCOUNTS[-1]:,} accounts starts with them in its changelog"],
    )


def _one_size(bench: Bench, accounts: int) -> dict[str, Start]:
    stack = bench.stack()
    try:
        publish(stack.address, bench.trained.snapshot, key=stack.keys.snapshot.encode(), now_us=wall_us())
        fill_changelog(stack.address, mature_states(bench.trained.town), accounts)
        people = Strangers(f"g{accounts}", accounts, after_us=latest_us(bench.trained.town), seed=SEED)
        starts = {"memory": _start(bench, stack, people, "memory")}
        if accounts == ACCOUNTS[-1]:
            starts["rocksdb_first"] = _start(bench, stack, people, "rocksdb")
            starts["rocksdb_restart"] = _start(bench, stack, people, "rocksdb")
        return starts
    finally:
        stack.close()


def _start(bench: Bench, stack: Stack, people: Strangers, store: str) -> Start:
    """Start a worker, run the calm rate through it, stop it."""
    (plain,) = stack.plan(1).workers(stack.address)
    worker = msgspec.structs.replace(with_env(plain, SLUICE_STORE=store), ready_timeout_s=READY_S)
    began = time.monotonic()
    with stack.running(worker) as programs:
        ready_s = time.monotonic() - began
        (pid,) = programs.pids("worker")
        wire = KafkaWire(stack.address, Route(), people)
        meter = programs.meter(subject=[pid])
        count = int(RATE * (WARM_S + TRIALS * bench.length.seconds))
        passage = wire.run(rate=RATE, count=count)
        wire.close()
        start = Start(
            ready_s=round(ready_s, 1),
            latency_ms=passage.latency(WARM_S),
            us_per_transfer=round(meter.us_per(count)["subject"], 1),
            worker_mb=round(rss_bytes(pid) / 1024**2),
        )
    bench.say(f"  {store}: ready after {ready_s:.1f} s, p99 {start.latency_ms.p99:.1f} ms, {start.us_per_transfer} us")
    return start


def fill_changelog(broker: str, states: Sequence[bytes], accounts: int) -> None:
    """Write a state for each account, as a worker that has known them would have; raise `TimeoutError`."""
    settings: dict[str, Any] = {
        "bootstrap.servers": broker,
        "linger.ms": 20,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 2 * QUEUED,
        "log_level": 2,
    }
    producer = Producer(settings)
    topic = changelog_topic(WorkerSettings.model_fields["group"].default)
    for number, (key, state) in enumerate(peopled(accounts, states)):
        if number % QUEUED == 0:
            producer.flush(FLUSH_S)
        producer.produce(topic, state, key, partition_of(key, PARTITIONS))
    if left := producer.flush(FLUSH_S):
        raise TimeoutError(f"{left} states were not confirmed by the broker")
