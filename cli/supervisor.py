"""Runs several programs as one: in order, watched, and stopped together.

A program is ready when it has written its ready file. A program that dies is
named with its last lines, and all are stopped. Only programs that are
crash-only (workers and the trainer) are started again: when they ask for it by
their exit code (``stream/exitcodes.py``), and some times when a signal killed
them. Each restart is reported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from stream.leash import leashed

STOP_GRACE_S: Final = 7.0
"""How long a program may take to stop on SIGTERM before it is killed; all stop within 10 s."""

POLL_S: Final = 0.05
LAST_LINES: Final = 15
LAST_LINES_OF_RESTARTED: Final = 3
MAX_RESTARTS: Final = 20
MAX_RESTARTS_KILLED: Final = 3


class ProgramDied(Exception):
    """A program ended although nobody stopped it."""

    def __init__(self, name: str, code: int, tail: str) -> None:
        how = f"was killed by {signal_name(code)}" if code < 0 else f"died with exit code {code}"
        super().__init__(f"{name} {how}; everything is stopped now. Its last lines:\n{tail}")
        self.name = name


class NotReady(Exception):
    """A program did not become ready in time."""

    def __init__(self, name: str, waited_s: float, tail: str) -> None:
        super().__init__(f"{name} was not ready after {waited_s:.0f} s; its last lines:\n{tail}")


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program to run: its arguments after ``sluice`` (or another module), its environment, where it is "ready"."""

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str] = {}
    ready_timeout_s: float = 60.0
    restart_codes: frozenset[int] = frozenset()
    restarts_killed: bool = False
    """Whether it is started again when a signal killed it."""
    metrics_url: str = ""
    module: str = "cli.main"
    foundation: bool = False
    """Whether the others stand on it while they stop, as on a broker."""


class Running:
    """A started program with its process, log and ready file."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.log = folder / f"{program.name}.log"
        self.ready_file = folder / f"{program.name}.ready"
        self.restarts = 0
        self.kills = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.ready_file.unlink(missing_ok=True)
        env = {**os.environ, **self.program.env, "SLUICE_READY_FILE": str(self.ready_file)}
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own program
                leashed([sys.executable, "-m", self.program.module, *self.program.args], signal.SIGTERM),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def restart(self) -> None:
        """Start the program again in the same log."""
        self.restarts += 1
        self.kills += self.process.returncode < 0
        self.process = self._start()

    def revival(self, code: int) -> str | None:
        """Return in words that it is started again after it ended with ``code``; ``None`` if it is not."""
        name = self.program.name
        if code in self.program.restart_codes and self.restarts < MAX_RESTARTS:
            return f"{name} ended by exit code {code} (crash-only) and was started again"
        if code < 0 and self.program.restarts_killed and self.kills < MAX_RESTARTS_KILLED:
            which = f"{self.kills + 1} of {MAX_RESTARTS_KILLED}"
            return f"{name} was killed by {signal_name(code)}; starting it again ({which})"
        return None

    def tail(self, most: int = LAST_LINES) -> str:
        """Return the last lines of the log."""
        with contextlib.suppress(FileNotFoundError):
            lines = self.log.read_text(errors="replace").splitlines()
            return "\n".join(f"    {line[:500]}" for line in lines[-most:])
        return "    (no output)"


def signal_name(code: int) -> str:
    """Return the signal of a negative exit code, in words.

    >>> signal_name(-9)
    'signal 9 (SIGKILL)'
    >>> signal_name(-99)
    'signal 99'
    """
    known = {each.value: f" ({each.name})" for each in signal.Signals}
    return f"signal {-code}{known.get(-code, '')}"


class Supervisor:
    """Starts programs in order, checks that they live, stops them in reverse."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.running: list[Running] = []
        self._report = report

    def start(self, program: Program) -> str:
        """Start a program, wait until it is ready, return what its ready file says.

        Raises `ProgramDied` or `NotReady`.
        """
        running = Running(program, self.folder)
        self.running.append(running)
        self._write_state()
        return self.wait_ready(running)

    def start_all(self, programs: list[Program]) -> list[str]:
        """Start several programs at once and wait until each is ready."""
        started = [Running(program, self.folder) for program in programs]
        self.running.extend(started)
        self._write_state()
        return [self.wait_ready(running) for running in started]

    def wait_ready(self, running: Running) -> str:
        """Wait for a program's ready file; raise `ProgramDied` or `NotReady`."""
        deadline = time.monotonic() + running.program.ready_timeout_s
        while time.monotonic() < deadline:
            if running.ready_file.exists() and (text := running.ready_file.read_text()):
                return text.strip()
            self.check()
            time.sleep(POLL_S)
        raise NotReady(running.program.name, running.program.ready_timeout_s, running.tail())

    def check(self) -> None:
        """Restart what asked for it, loudly; raise `ProgramDied` for what did not."""
        for running in self.running:
            code = running.process.poll()
            if code is None:
                continue
            told = running.revival(code)
            if told is None:
                raise ProgramDied(running.program.name, code, running.tail())
            self._report(f"{told}\n{running.tail(LAST_LINES_OF_RESTARTED)}")
            running.restart()
            self._write_state()

    @property
    def restarts(self) -> dict[str, int]:
        """How often programs were started again, by name; those that never were are missing."""
        return {running.program.name: running.restarts for running in self.running if running.restarts}

    def find(self, name: str) -> Running:
        """Return the running program of that name."""
        return next(running for running in self.running if running.program.name == name)

    def stop(self) -> None:
        """Stop all programs, foundations last; kill what does not go. Takes at most `STOP_GRACE_S` and a little."""
        deadline = time.monotonic() + STOP_GRACE_S
        for last in (False, True):
            wave = [running for running in reversed(self.running) if running.program.foundation is last]
            for running in wave:
                if running.process.poll() is None:
                    running.process.send_signal(signal.SIGTERM)
            for running in wave:
                self._wait_or_kill(running, deadline)
        self.running.clear()

    def _wait_or_kill(self, running: Running, deadline: float) -> None:
        try:
            running.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._report(f"{running.program.name} did not stop and was killed")
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()

    def _write_state(self) -> None:
        """Write ``state.json``: name, pid, log and metrics address of each program."""
        state = [
            {
                "name": running.program.name,
                "pid": running.process.pid,
                "log": str(running.log),
                "metrics_url": running.program.metrics_url,
            }
            for running in self.running
        ]
        partial = self.folder / "state.json.new"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        partial.rename(self.folder / "state.json")
