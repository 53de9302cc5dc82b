"""A worker over few accounts and over many: recovery, then latency and CPU at the calm rate.

The changelog is filled as a worker would have left it, so that a million
accounts need no hour of transfers first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import Producer

from bench.accounts import Strangers, latest_us, mature_states, peopled
from bench.findings import Bench, Findings
from bench.kafka_wire import KafkaWire, Route
from bench.machine import rss_bytes
from bench.panel import Trained, publish
from bench.stack import Stack, with_env
from bench.stats import Latency
from cli.plan import PARTITIONS
from stream.settings import WorkerSettings
from stream.tables import partition_of
from stream.topics import changelog_topic
from telemetry.clock import wall_us

FEW: Final = 10_000
MANY: Final = 1_000_000
RATE: Final = 1_000.0
WARM_S: Final = 10.0
TRIALS: Final = 4.0
READY_S: Final = 300.0
FLUSH_S: Final = 60.0
QUEUED: Final = 50_000
SEED: Final = 5


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How long a worker took from its start until it scored, and its cost then, if that was measured."""

    ready_s: float
    worker_mb: float
    latency_ms: Latency | None = None
    us_per_transfer: float | None = None


def measure(bench: Bench) -> Findings:
    """Measure few accounts in memory and in RocksDB, many in RocksDB: first from the changelog, then restarted."""
    trained = bench.trained
    bench.say(f"worker over {FEW:,} accounts")
    with peopled_stack(bench, trained, FEW) as start:
        few = {"memory": start("memory", load=True), "rocksdb": start("rocksdb", load=True)}
    bench.say(f"worker over {MANY:,} accounts")
    with peopled_stack(bench, trained, MANY) as start:
        many = {"rocksdb_first": start("rocksdb", load=False), "rocksdb_restart": start("rocksdb", load=True)}
    return findings_of(few, many)


def findings_of(few: dict[str, Start], many: dict[str, Start]) -> Findings:
    """Return what the starts say."""
    base, grown = few["rocksdb"], many["rocksdb_restart"]
    growth: dict[str, Any] = {"worker": {str(FEW): few, str(MANY): many}}
    if base.us_per_transfer and grown.us_per_transfer and base.latency_ms and grown.latency_ms:
        growth["worker_us_1m_vs_10k"] = round(grown.us_per_transfer / base.us_per_transfer, 2)
        growth["worker_p99_1m_vs_10k"] = round(grown.latency_ms.p99 / base.latency_ms.p99, 2)
    return Findings(growth=growth)


class Starter(Protocol):
    """Starts one worker over the accounts, and runs the calm rate through it if asked to."""

    def __call__(self, store: str, *, load: bool) -> Start:
        """Return what it took."""
        ...


@contextlib.contextmanager
def peopled_stack(bench: Bench, trained: Trained, accounts: int) -> Iterator[Starter]:
    """Yield a starter of workers on a broker of its own whose changelog holds so many accounts."""
    stack = bench.stack()
    try:
        publish(stack.address, trained.snapshot, key=stack.keys.snapshot.encode(), now_us=wall_us())
        fill_changelog(stack.address, mature_states(trained.town), accounts)
        people = Strangers(f"g{accounts}", accounts, after_us=latest_us(trained.town), seed=SEED)

        def start(store: str, *, load: bool) -> Start:
            found = _start(stack, people, store, RATE * TRIALS * bench.length.seconds if load else 0.0)
            bench.say(f"  {store}: scoring after {found.ready_s} s" + _cost(found))
            return found

        yield start
    finally:
        stack.close()


def _cost(start: Start) -> str:
    return f", p99 {start.latency_ms.p99:.1f} ms, {start.us_per_transfer} us" if start.latency_ms else ""


def _start(stack: Stack, people: Strangers, store: str, transfers: float) -> Start:
    """Start a worker, run transfers through it at the calm rate after a warm-up, stop it."""
    (plain,) = stack.plan(1).workers(stack.address)
    worker = msgspec.structs.replace(with_env(plain, SLUICE_STORE=store), ready_timeout_s=READY_S)
    began = time.monotonic()
    with stack.running(worker) as programs:
        ready_s = round(time.monotonic() - began, 1)
        (pid,) = programs.pids("worker")
        if not transfers:
            return Start(ready_s=ready_s, worker_mb=round(rss_bytes(pid) / 1024**2))
        wire = KafkaWire(stack.address, Route(), people)
        meter, count = programs.meter(subject=[pid]), int(RATE * WARM_S + transfers)
        passage = wire.run(rate=RATE, count=count)
        wire.close()
        return Start(
            ready_s=ready_s,
            worker_mb=round(rss_bytes(pid) / 1024**2),
            latency_ms=passage.latency(WARM_S),
            us_per_transfer=round(meter.us_per(count)["subject"], 1),
        )


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
