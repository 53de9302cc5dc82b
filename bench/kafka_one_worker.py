"""One worker at chosen rates, for whoever works on the stream: latency from due time, CPU by process and thread.

    python -m bench.kafka_one_worker --rate 1000 3000 --seconds 30 [--detectors]

Prints one JSON line for each rate; each has a fresh worker. Settings of the
worker may be given in the environment (``SLUICE_FETCH_WAIT_MS=2 python -m ...``).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.kafka_wire import KafkaWire, Route
from bench.machine import threads_s
from bench.panel import publish, train
from bench.stack import Stack
from bench.traffic import Traffic
from telemetry.clock import wall_us
from telemetry.garbage import collect_rarely

WARM_S: Final = 5.0


def measure(stack: Stack, traffic: Traffic, rate: float, seconds: float) -> dict[str, Any]:
    """Run one rate through a fresh worker; the first `WARM_S` seconds do not count for latency."""
    (worker,) = stack.plan(1).workers(stack.address)
    with stack.running(worker) as programs:
        (pid,) = programs.pids("worker")
        wire = KafkaWire(stack.address, Route(), traffic)
        count = int(rate * (WARM_S + seconds))
        before, meter = threads_s(pid), programs.meter(worker=[pid])
        passage = wire.run(rate=rate, count=count)
        threads = {kind: (used - before.get(kind, 0.0)) / count * 1e6 for kind, used in threads_s(pid).items()}
        wire.close()
        return {
            "rate": rate,
            "held": passage.held,
            "backlog_s": round(passage.backlog_s, 3),
            "missing": passage.missing,
            "repeated": passage.repeated,
            "latency_ms": msgspec.to_builtins(passage.latency(WARM_S)),
            "loader_worst_delay_ms": passage.worst_delay_us / 1000,
            "cpu_us_per_transfer": {name: round(us, 1) for name, us in meter.us_per(count).items()},
            "worker_threads_us": {kind: round(us, 1) for kind, us in threads.items()},
            "panel": wire.panel_version,
        }


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="kafka", help="kafka, embedded, or HOST:PORT")
    parser.add_argument("--rate", type=float, nargs="+", default=[2000.0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--detectors", action="store_true", help="train and publish a panel first")
    options = parser.parse_args()
    traffic = Traffic(f"rate{time.time_ns() // 10**6}", wall_us())
    trained = train() if options.detectors else None
    collect_rarely()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        stack = Stack(Path(folder), options.broker, lambda text: print(text, file=sys.stderr))
        try:
            if trained is not None:
                key = stack.keys.snapshot.encode()
                publish(stack.address, trained.snapshot, key=key, now_us=wall_us())
            for rate in options.rate:
                print(json.dumps(measure(stack, traffic, rate, options.seconds)), flush=True)
        finally:
            stack.close()


if __name__ == "__main__":
    main()
