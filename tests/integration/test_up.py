"""Everything at once, as ``make demo`` starts it: it reconciles, survives poison in every topic, and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka import Producer

from models.wire import Topic
from stream.broker import EmbeddedBroker
from tests.conftest import require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 12
WAIT_S = 300.0
"""Only a failure waits this long; a busy machine is no failure."""

PATIENCE = {"SLUICE_SESSION_TIMEOUT_S": "30", "SLUICE_CONFIRM_TIMEOUT_S": "20"}
"""So that no worker ends itself because the machine stood still for some seconds."""

POISON = (
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"[]",
    b'{"schema":99}',
    b'{"schema":1,"amount_fen":-5}',
    b'{"schema":1,"news":' + b"[" * 100_000,
    b"\x00" * 900_000,
)
POISONED = tuple(topic for topic in Topic if topic is not Topic.DEAD_LETTERS)
"""Every topic that some program reads."""


class Up:
    """A ``sluice up`` in a process of its own, in a folder of its own."""

    running: ClassVar[list[Up]] = []
    """Those of this test; what a failed test leaves behind must not be in the way of the next."""

    def __init__(self, folder: Path, *arguments: str, as_json: bool = True, **variables: str) -> None:
        self._folder = folder
        form = ["--json"] if as_json else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", *form, "--customers", "2000", "--rate", "100", *arguments],
            cwd=folder,
            env={
                **os.environ,
                **PATIENCE,
                "PYTHONPATH": str(ROOT),
                "SLUICE_WORLD_HISTORY_TRANSFERS": "4000",
                "SLUICE_WORLD_CASES_PER_10K_DAY": "2500",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(self)

    def programs(self) -> dict[str, dict[str, Any]]:
        """Return the state of the programs by name, empty before the first has started."""
        states = list(self._folder.glob(".run/up-*/state.json"))
        return {each["name"]: each for each in json.loads(states[0].read_text())} if states else {}

    def wait_for(self, name: str, timeout_s: float = WAIT_S) -> str:
        """Wait until a program is ready; return what its ready file says."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            for ready in self._folder.glob(f".run/up-*/{name}.ready"):
                if text := ready.read_text():
                    return text
            time.sleep(0.1)
        raise AssertionError(f"{name} did not become ready: {self.errors()}")

    def end(self) -> None:
        """See that it has gone, with its programs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=WAIT_S)

    def errors(self) -> str:
        """Return what it says on stderr, once it has ended."""
        self.process.terminate()
        return self.process.communicate(timeout=WAIT_S)[1][-4000:]

    def output(self, timeout_s: float = WAIT_S) -> tuple[str, str]:
        """Wait for its end; return what it wrote to stdout and to stderr."""
        out, errors = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, f"{errors[-4000:]}\n{out}"
        return out, errors

    def result(self, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Wait for its end and return the summary."""
        summary: dict[str, Any] = json.loads(self.output(timeout_s)[0])
        return summary


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    while Up.running:
        Up.running.pop().end()
    for log in tmp_path.glob(".run/up-*/*.log"):
        sys.stdout.write(f"--- {log.name}\n" + log.read_text(errors="replace")[-1500:] + "\n")


def check_summary(summary: dict[str, Any]) -> None:
    assert summary["reconciled"] is True
    assert summary["transfers"]["accepted"] == summary["transfers"]["assessed"] > 0
    assert summary["seconds"] >= SECONDS - 0.1
    money = summary["money_fen"]
    assert money["stolen"] == money["stopped"] + money["cashed_out"] + money["in_flight"] > 0
    assert summary["latency_ms"]["accept_to_assess"]["p50"] > 0
    assert set(summary["orders"]) >= {"protective_stop", "freeze"}
    assert sum(summary["orders"]["protective_stop"].values()) > 0


def poison(broker: str) -> None:
    producer = Producer({"bootstrap.servers": broker, "message.max.bytes": 1_000_000})
    for topic in POISONED:
        for value in POISON:
            producer.produce(topic, value=value, key=b"poison")
    assert producer.flush(60) == 0


def test_poison_in_every_topic_goes_to_dead_letters_and_nothing_dies(folder: Path) -> None:
    up = Up(folder, "--seconds", str(SECONDS))
    broker = up.wait_for("broker")
    up.wait_for("api")
    before = {name: each["pid"] for name, each in up.programs().items()}
    poison(broker)
    summary = up.result()
    check_summary(summary)
    assert summary["transfers"]["dead"] >= len(POISON) * len(POISONED)
    assert not summary["restarts"]
    assert {"broker", "api", "worker-1"} <= before.keys()


def check_addresses(text: str) -> None:
    """Check that addresses stand in lines of their own, whole."""
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("API docs: http://127.0.0.1:") and line.endswith("/docs")]
    for name in ("worker-1", "trainer", "api", "bank", "world"):
        assert [line for line in lines if line.startswith(f"{name} metrics: http://") and line.endswith("/metrics")]
    assert [line for line in lines if line.startswith("logs: ")]


def test_on_a_broker_that_runs_already_one_run_after_the_other(folder: Path) -> None:
    broker = EmbeddedBroker()
    arguments = ("--seconds", str(SECONDS), "--broker", broker.bootstrap)
    try:
        out, errors = Up(folder, *arguments).output()
        summary = json.loads(out)
        check_summary(summary)
        check_addresses(errors)
        told, _ = Up(folder, *arguments, as_json=False).output()
    finally:
        broker.close()
    check_addresses(told)
    reconciled = next(line for line in told.splitlines() if "reconciled" in line)
    assert "yes" in reconciled
    assert told.count("with topics that begin with sluice-up-") == 1


def test_without_a_broker_nothing_is_started(folder: Path) -> None:
    up = Up(folder, "--broker", "127.0.0.1:1")
    out, errors = up.process.communicate(timeout=WAIT_S)
    assert (up.process.returncode, out) == (1, "")
    assert "start it, or correct --broker HOST:PORT" in errors
    assert not up.programs()


def test_on_a_real_kafka(folder: Path) -> None:
    require(bool(shutil.which("java") and shutil.which("mvn")), "Java 17 with Maven")
    check_summary(Up(folder, "--seconds", str(SECONDS), "--broker", "kafka").result(2 * WAIT_S))


def test_interrupted_it_stops_all_programs(folder: Path) -> None:
    up = Up(folder)
    up.wait_for("world")
    pids = [each["pid"] for each in up.programs().values()]
    time.sleep(2.0)  # until it has noticed that the world is ready, too
    up.process.terminate()
    out, errors = up.process.communicate(timeout=WAIT_S)
    if not out:  # a very slow machine: stopped before there was anything to sum up
        assert errors.rstrip().endswith("stopped")
    else:
        summary = json.loads(out)
        assert summary["stopped_by_hand"]
        assert not summary["reconciled"], "what was not checked is not said"
        assert up.process.returncode == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_killed_worker_is_started_again_and_everything_reconciles(folder: Path) -> None:
    hasty = {"SLUICE_SESSION_TIMEOUT_S": "10", "SLUICE_CONFIRM_TIMEOUT_S": "8"}
    up = Up(folder, "--seconds", str(2 * SECONDS), "--workers", "2", **hasty)
    up.wait_for("world")
    before = up.programs()
    os.kill(before["worker-1"]["pid"], signal.SIGKILL)
    out, errors = up.output()
    summary = json.loads(out)
    assert "worker-1 was killed by signal 9 (SIGKILL); starting it again (1 of 3)" in errors
    check_summary(summary)
    assert summary["restarts"]["worker-1"] >= 1
    after = up.programs()
    assert after["worker-1"]["pid"] != before["worker-1"]["pid"]
    pids = {each["pid"] for programs in (before, after) for each in programs.values()}
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


UNTIL_ASSESSED = (
    'until curl -sS -H "X-Api-Key: $SLUICE_ANALYST_KEY" "$SLUICE_API_URL/v1/transfers/mine-1" '
    """| grep -q '"status":"assessed"'; do sleep 0.2; done\n"""
)
"""What stands for the README's second of patience on a machine that is slower than a reader's."""


def test_what_the_readme_has_people_try_works_as_written(folder: Path) -> None:
    require(bool(shutil.which("curl") and shutil.which("bash")), "curl and bash")
    section = (ROOT / "README.md").read_text().partition("## Touch it")[2]
    script = section.partition("```sh\n")[2].partition("```")[0]
    assert script.count("sleep 1\n") == 1
    script = script.replace("sleep 1\n", UNTIL_ASSESSED)
    up = Up(folder)
    up.wait_for("world")
    keys = wait_for_file(folder / ".run" / "latest" / "keys.env")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = subprocess.run(
        ["bash", "-ec", script.replace("source .venv/bin/activate && ", "")],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    up.process.terminate()
    told = up.process.communicate(timeout=WAIT_S)[1]
    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert '"status":"assessed"' in shell.stdout
    assert '"state":"draft"' in shell.stdout
    assert '"act":"submit"' in shell.stdout
    assert '"act":"approve:county"' in shell.stdout
    assert "urn:sluice:problem" not in shell.stdout
    assert "exactly the same risk" in shell.stdout
    assert shell.stdout.rstrip().endswith("everything reconciles")
    secrets = [line.partition("=")[2] for line in keys.splitlines() if "_KEY=" in line]
    assert len(secrets) == 5
    assert not [secret for secret in secrets if secret in told]
    assert "source .run/up-" in told


def wait_for_file(path: Path) -> str:
    """Wait until a file is there; return what it holds."""
    deadline = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return path.read_text()


def test_a_program_that_dies_is_named_and_ends_the_rest(folder: Path) -> None:
    up = Up(folder)
    up.wait_for("world")
    programs = up.programs()
    os.kill(programs["bank"]["pid"], 9)
    _out, errors = up.process.communicate(timeout=WAIT_S)
    assert up.process.returncode == 1
    assert "bank was killed by signal 9 (SIGKILL); everything is stopped now" in errors
    assert not [each for each in programs.values() if Path(f"/proc/{each['pid']}").exists()]
