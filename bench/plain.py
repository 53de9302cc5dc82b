"""Both stages as plain Python, in a process of their own: their CPU, and where it goes by module.

A profiler sees functions of Python only, so it is shown the sources of the compiled modules (docs/decisions/0015).
``python -m bench.plain`` is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.path import Path, batches
from bench.profiling import profile
from bench.traffic import Payment
from models.risk.panel import panel_from_snapshot
from models.risk.scorer import Scorer
from telemetry.compiled import PLAIN_VARIABLE

TIMEOUT_S: Final = 300.0


class Order(msgspec.Struct, frozen=True):
    """What the process is to take through the stages: a third to warm profiles, one to be timed, one to be profiled."""

    payments: list[Payment]
    panel: bytes


class Plain(msgspec.Struct, frozen=True):
    """CPU of both stages in microseconds a transfer, and seconds of own time by module."""

    stages_us: float
    profile_s: dict[str, float]


def measure_plain(payments: Sequence[Payment], panel: bytes) -> Plain:
    """Measure in a process that runs no compiled module; raise `subprocess.SubprocessError`."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.plain"],
        input=msgspec.msgpack.encode(Order(list(payments), panel)),
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
        check=True,
        env={**os.environ, PLAIN_VARIABLE: "1"},
    )
    return msgspec.json.decode(done.stdout, type=Plain)


def follow(order: Order) -> Plain:
    """Measure in this process."""
    path = Path(Scorer(panel=panel_from_snapshot(order.panel)))
    records = path.transfers(order.payments)
    third = len(records) // 3
    warm, timed, profiled = (batches(records[start : start + third]) for start in (0, third, 2 * third))
    for batch in warm:
        path.run(batch)
    began = time.process_time()
    for batch in timed:
        path.run(batch)
    stages_us = (time.process_time() - began) * 1e6 / third

    def run() -> None:
        for batch in profiled:
            path.run(batch)

    return Plain(stages_us, profile(run))


def main() -> None:
    """Read an order from standard input, write what was found to standard output."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(follow(order)))


if __name__ == "__main__":
    main()
