"""The end of a process: always, at once, with its code."""

from __future__ import annotations

import subprocess
import sys

from stream.exitcodes import ExitCode

PROGRAM = """
import threading
from stream.crash import CrashOnly
from stream.exitcodes import ExitCode

def broken(code):
    raise KeyError("a rite with a bug")

def tell(code):
    print("told", code.name, flush=True)

def again(code):
    end(code, "a rite that has a reason to end, too")

end = CrashOnly()
end.rites += {rites}
threading.Thread(target=threading.Event().wait).start()
end(ExitCode.OFFSET_GAP, "a test")
"""


def run(rites: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("{rites}", rites)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_it_ends_in_spite_of_threads_with_its_code_after_its_rites() -> None:
    done = run("[tell]")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (ExitCode.OFFSET_GAP, "told OFFSET_GAP")


def test_a_rite_that_fails_keeps_nobody_from_going() -> None:
    done = run("[broken, tell]")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (ExitCode.OFFSET_GAP, "told OFFSET_GAP")
    assert "last rite failed" in done.stdout


def test_a_rite_that_ends_ends_it_there_and_then() -> None:
    done = run("[again, tell]")
    assert (done.returncode, done.stdout.count("told")) == (ExitCode.OFFSET_GAP, 0)
