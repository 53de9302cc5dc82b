"""Folders of the runs of ``sluice up``: made, held while a run goes on, and removed once newer ones have followed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import Final

RUNS_FOLDER: Final = Path(".run")
KEPT_RUNS: Final = 5
"""Run folders that stay, this run's among them; one that is in use stays in any case."""

LATEST: Final = "latest"
"""Name of the link to the folder of the run that began last."""

HELD_FILE: Final = "held"
NAME: Final = re.compile(r"up-\d{8}-\d{6}-\d+")


class NoFolder(Exception):
    """A run has no folder to write into; says what to do about it."""


class RunFolder:
    """One run's folder, held until `close` by a lock that ends with the process, however that ends."""

    def __init__(self, name: str, runs: Path = RUNS_FOLDER) -> None:
        """Make the folder and remove those that are too old; raise `NoFolder`."""
        self.path = runs / f"up-{name}"
        try:
            self.path.mkdir(parents=True)
            self._lock = _hold(self.path)
        except OSError as error:
            raise NoFolder(
                f"cannot make {self.path} in {Path.cwd()} ({error.strerror}): "
                "start it in a folder in which you may write and that has room"
            ) from error
        _remove_old(runs)
        _point(runs / LATEST, self.path.name)

    def close(self) -> None:
        """Let go of the folder; from now on a later run may remove it."""
        os.close(self._lock)


def _hold(folder: Path) -> int:
    """Return an open file that holds a folder; raise `BlockingIOError` if a run that goes on does."""
    lock = os.open(folder / HELD_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove_old(runs: Path) -> None:
    """Remove all run folders but the newest `KEPT_RUNS` and those in use; what cannot be removed stays."""
    found = sorted(path for path in runs.iterdir() if NAME.fullmatch(path.name) and not path.is_symlink())
    for folder in found[:-KEPT_RUNS]:
        with contextlib.suppress(OSError):
            lock = _hold(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _point(link: Path, target: str) -> None:
    """Let a link name the latest run; a file system without links has none."""
    draft = link.with_name(f"{LATEST}.{os.getpid()}")
    with contextlib.suppress(OSError):
        draft.symlink_to(target)
        draft.replace(link)
