"""A leashed command is the command itself, and goes with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from stream.leash import leashed

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")

STARTS_ONE_AND_WAITS = """
import signal, subprocess, sys
from stream.leash import leashed
child = subprocess.Popen(leashed([sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"],
                                 signal.SIGKILL), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_it_is_the_command_with_its_arguments_its_process_and_its_end() -> None:
    words = ["two words", "", "--option", "水闸", "$HOME"]
    show = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)"
    child = subprocess.Popen(
        leashed([sys.executable, "-c", show, *words], signal.SIGTERM), stdout=subprocess.PIPE, text=True
    )
    out, _ = child.communicate(timeout=60)
    assert out.strip() == f"{child.pid} {words}"
    assert child.returncode == 7


@linux_only
def test_it_goes_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTS_ONE_AND_WAITS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait(60)
    deadline = time.monotonic() + 60
    while alive(child):
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.02)
    parent.stdout.close()


@linux_only
def test_it_does_not_even_start_when_its_parent_is_gone_already() -> None:
    command = leashed([sys.executable, "-c", "print('started')"], signal.SIGTERM)
    place = command.index(str(os.getpid()))
    command[place] = str(2**22 + 1)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "gone already" in done.stderr


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not collected yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
