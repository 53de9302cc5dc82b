"""Runs a command that must not outlive this process, however this one ends (Linux; elsewhere it is run as it is).

The child itself asks the kernel for it and then becomes the command. A function between fork and exec
(``preexec_fn``) would have to run in a copy of a process with threads, whose locks may be held for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
PYTHON: Final = sys.executable


def leashed(command: Sequence[str], when_alone: signal.Signals) -> list[str]:
    """Return the command line that runs ``command`` and has it sent a signal when the thread that started it is gone.

    >>> leashed(["java", "-version"], signal.SIGKILL)[-2:]
    ['java', '-version']
    """
    if sys.platform != "linux":
        return [*command]
    return [PYTHON, "-I", "-S", __file__, str(os.getpid()), str(int(when_alone)), *command]


def _become(parent: str, when_alone: str, *command: str) -> NoReturn:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(when_alone))
    if os.getppid() != int(parent):
        sys.exit("the program that started this one has gone already")
    os.execvp(command[0], command)  # noqa: S606 - the program we were asked to run


if __name__ == "__main__":
    _become(*sys.argv[1:])
