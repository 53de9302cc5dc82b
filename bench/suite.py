"""Runs the parts one after the other and puts together what they found."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx
from confluent_kafka import KafkaException

from bench import growth, growth_kafka, scoring, screening, stops, throughput
from bench.findings import Bench, Findings, Length, Result
from bench.machine import describe
from bench.stack import Say, broker_name
from bench.stats import NothingMeasured
from cli.supervisor import NotReady, ProgramDied

PARTS: Final[dict[str, Callable[[Bench], Findings]]] = {
    "scorer": scoring.measure,
    "throughput": throughput.measure,
    "screening": screening.measure,
    "stops": stops.measure,
    "growth": growth.measure,
    "recovery": growth_kafka.measure,
}

OWN_KAFKA: Final = frozenset({"recovery"})
"""Parts that fill a real broker with a million accounts, so it must be one of their own."""

TROUBLE: Final = (
    ProgramDied,
    NotReady,
    NothingMeasured,
    KafkaException,
    TimeoutError,
    httpx.HTTPError,
    subprocess.SubprocessError,
    stops.StopsMissing,
)
"""What ends one part, while the others go on; anything else is a bug of the bench."""


def run_parts(parts: Sequence[str], *, length: Length, broker: str, folder: Path, say: Say) -> Result:
    """Run parts by name, in the order of `PARTS`; programs keep their logs in ``folder``."""
    began = time.monotonic()
    machine = describe(broker_name(broker))
    if not machine.quiet:
        say(f"the machine is busy (load {machine.load_before}): figures will say little")
    bench = Bench(length=length, broker=broker, folder=folder, run=f"bench{time.time_ns() // 10**6}", say=say)
    found, failures = Findings(), dict[str, str]()
    for name, measure in PARTS.items():
        if name not in parts:
            continue
        if name in OWN_KAFKA and broker != "kafka":
            found.notes.append(f"{name}: left out, it needs a Kafka of its own (--broker kafka)")
            continue
        say(f"{name}:")
        try:
            found.add(measure(bench))
        except TROUBLE as error:
            failures[name] = f"{type(error).__name__}: {error}"
            say(f"{name} failed: {error}")
    return Result(
        machine=machine,
        quiet=machine.quiet,
        seconds=round(time.monotonic() - began, 1),
        length=length,
        parts=[name for name in PARTS if name in parts],
        failures=failures,
        notes=found.notes,
        throughput=found.throughput,
        ratios=found.ratios,
        latency_ms=found.latency_ms,
        us_per_transfer=found.us_per_transfer,
        growth=found.growth,
        memory=found.memory,
    )
