"""The supervisor: order, readiness, death with last lines, loud restarts, bounded stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cli import supervisor as module
from cli.supervisor import NotReady, Program, ProgramDied, Running, Supervisor

READY = "import os, pathlib; pathlib.Path(os.environ['SLUICE_READY_FILE']).write_text('here'); "


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def programs(tmp_path: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """A supervisor whose programs are small Python texts instead of sluice commands."""
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -c "$1"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(fake))
    return Supervisor(tmp_path / "run", notes.append)


def test_ready_file_tells_the_address_and_stop_ends_the_program(programs: Supervisor) -> None:
    assert programs.start(Program(name="one", args=(READY + "import time; time.sleep(60)",))) == "here"
    pid = programs.find("one").process.pid
    programs.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_death_is_told_with_its_last_lines(programs: Supervisor) -> None:
    with pytest.raises(ProgramDied, match=r"one died with exit code 7.*\n.*the reason"):
        programs.start(Program(name="one", args=("import sys; sys.stderr.write('the reason'); sys.exit(7)",)))


def test_a_silent_program_is_told(programs: Supervisor) -> None:
    slow = Program(name="slow", args=("import time; time.sleep(60)",), ready_timeout_s=0.3)
    try:
        with pytest.raises(NotReady, match="slow was not ready"):
            programs.start(slow)
    finally:
        programs.stop()


def test_only_a_crash_only_code_is_restarted_and_never_silently(programs: Supervisor, notes: list[str]) -> None:
    once = READY + (
        "import sys, time; flag = pathlib.Path(os.environ['SLUICE_READY_FILE'] + '.once'); "
        "first = not flag.exists(); flag.write_text('x'); time.sleep(0.3) if first else time.sleep(60); sys.exit(66)"
    )
    programs.start(Program(name="worker", args=(once,), restart_codes=frozenset({66})))
    running = programs.find("worker")
    deadline = time.monotonic() + 60
    while not running.restarts and time.monotonic() < deadline:
        programs.check()
        time.sleep(0.05)
    assert running.restarts == 1
    assert [note.splitlines()[0] for note in notes] == [
        "worker ended by exit code 66 (crash-only) and was started again"
    ]
    programs.stop()


WAITS = "import sys, time; sys.stderr.write('my last line'); sys.stderr.flush(); " + READY + "time.sleep(60)"


def kill(programs: Supervisor, name: str) -> None:
    """Kill a program that runs, and wait until it is gone."""
    running = programs.find(name)
    programs.wait_ready(running)
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(60)


def test_a_killed_worker_is_started_again_loudly_some_times(programs: Supervisor, notes: list[str]) -> None:
    programs.start(Program(name="worker-1", args=(WAITS,), restarts_killed=True))
    for number in (1, 2, 3):
        kill(programs, "worker-1")
        programs.check()
        told = f"worker-1 was killed by signal 9 (SIGKILL); starting it again ({number} of 3)"
        assert notes[-1].splitlines()[:2] == [told, "    " + number * "my last line"]
    assert programs.restarts == {"worker-1": 3}
    kill(programs, "worker-1")
    with pytest.raises(ProgramDied, match=r"worker-1 was killed by signal 9 \(SIGKILL\); everything is stopped now"):
        programs.check()


def test_restarts_that_a_program_asked_for_are_not_counted_as_kills(programs: Supervisor) -> None:
    ends = READY + "import sys; sys.exit(66)"
    program = Program(name="worker", args=(ends,), restart_codes=frozenset({66}), restarts_killed=True)
    running = Running(program, programs.folder)
    running.process.wait(60)
    running.restart()
    assert (running.restarts, running.kills) == (1, 0)
    running.process.wait(60)


def test_another_program_that_is_killed_ends_everything(programs: Supervisor, notes: list[str]) -> None:
    programs.start(Program(name="bank", args=(WAITS,)))
    kill(programs, "bank")
    with pytest.raises(ProgramDied, match=r"^bank was killed by signal 9 \(SIGKILL\); .*\n.*my last line"):
        programs.check()
    assert notes == []


def test_what_ignores_sigterm_is_killed(
    programs: Supervisor, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.5)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "import time; time.sleep(60)"
    programs.start(Program(name="deaf", args=(deaf,)))
    programs.stop()
    assert notes == ["deaf did not stop and was killed"]
