"""``sluice bench`` as a person calls it, over the embedded broker and very short: the whole way, not the figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.kafka_wire import KafkaWire
from bench.stack import Stack
from bench.throughput import SUBJECTS, Subject
from bench.traffic import Traffic
from telemetry.clock import wall_us

TIMEOUT_S = 300
SINGLE = [each for each in SUBJECTS if each.name != "two_workers"]

pytestmark = pytest.mark.soak


def bench(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", "bench", *args]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder, env=env)


def test_unknown_part_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = bench(tmp_path, "--parts", "scorer,speed")
    assert done.returncode == 2
    assert "speed" in done.stderr
    assert "throughput" in done.stderr
    assert not done.stdout


def test_recovery_refuses_a_broker_that_is_not_its_own(tmp_path: Path) -> None:
    done = bench(tmp_path, "--parts", "recovery", "--broker", "embedded", "--json")
    assert done.returncode == 0, done.stderr
    assert "needs a Kafka of its own" in json.loads(done.stdout)["notes"][0]


@pytest.mark.slow
def test_stops_are_all_confirmed_and_timed(tmp_path: Path) -> None:
    done = bench(tmp_path, "--parts", "stops", "--broker", "embedded", "--seconds", "0.5", "--runs", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["latency_ms"]["stop_confirmed"]
    assert found["count"] == 30, "a tenth of 3 s at 100/s; warm-up left out"
    assert found["p50"]["median"] >= 20.0, "the bank alone takes 20 ms"
    assert found["p50"]["median"] <= found["p999"]["median"] <= found["worst"]["max"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("bench"), "embedded", print)
    yield stack
    stack.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "subject", [each for each in SUBJECTS if each.name != "two_workers"], ids=lambda each: each.name
)
def test_every_subject_answers_each_payment(stack: Stack, subject: Subject) -> None:
    traffic = Traffic(f"test-{subject.name}", wall_us(), customers=100, days=1.0)
    with stack.running(*subject.programs(stack)) as programs:
        wire = KafkaWire(stack.address, subject.route, traffic)
        meter = programs.meter(subject=programs.pids(""))
        passage = wire.run(rate=100.0, count=200)
        wire.close()
        assert not passage.missing
        assert passage.latency().count == 200
        used = meter.us_per(200)
        assert used["subject"] > 0
        assert used["broker"] > 0
