"""Which machine this is, and what processes and threads on it have used (Linux: /proc)."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from telemetry.compiled import running_form

PROC: Final = Path("/proc")
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
LIBRARIES: Final = ("faust-streaming", "aiokafka", "confluent-kafka", "msgspec", "numpy", "river", "uvloop")
QUIET_LOAD: Final = 0.5
"""One-minute load at the start above which figures are not to be trusted."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and its software, as far as figures depend on it."""

    cores: int
    cpu: str
    memory_gb: float
    system: str
    python: str
    scoring: str
    """Form of the scoring modules: compiled or plain."""
    broker: str
    libraries: dict[str, str]
    load_before: float
    """One-minute load average when the bench began; everything above 0.5 is somebody else's work."""

    @property
    def quiet(self) -> bool:
        """Whether the machine did nothing else when the bench began."""
        return self.load_before <= QUIET_LOAD


def describe(broker: str) -> Machine:
    """Return the description of this machine; ``broker`` names the broker in words."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_field(PROC / "cpuinfo", "model name") or platform.machine(),
        memory_gb=round(int(_field(PROC / "meminfo", "MemTotal").split()[0]) / 1024**2, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        scoring=running_form().value,
        broker=broker,
        libraries={name: version(name) for name in LIBRARIES},
        load_before=round(os.getloadavg()[0], 2),
    )


def memory_available_bytes() -> int:
    """Return how much memory could be taken without swapping."""
    return int(_field(PROC / "meminfo", "MemAvailable").split()[0]) * 1024


def _field(path: Path, name: str) -> str:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, user and system; 0 once it is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children = PROC / str(pid) / "task" / str(pid) / "children"
    try:
        born = [int(child) for child in children.read_text().split()]
    except FileNotFoundError:
        return []
    return [pid, *(each for child in born for each in family(child))]


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES


def threads_s(pid: int) -> dict[str, float]:
    """Return CPU seconds of a process by kind of thread: its main one, other Python ones, librdkafka's."""
    found: dict[str, float] = {}
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            used_s = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
        kind = "main" if int(task.name) == pid else "librdkafka" if name.startswith("rdk:") else "other"
        found[kind] = found.get(kind, 0.0) + used_s
    return found


class Meter:
    """CPU seconds of named groups of processes since its making."""

    def __init__(self, groups: dict[str, Iterable[int]]) -> None:
        self._groups = {name: list(pids) for name, pids in groups.items()}
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        return {name: sum(map(cpu_s, pids)) for name, pids in self._groups.items()}

    def us_per(self, count: int) -> dict[str, float]:
        """Return CPU microseconds of each group per one of ``count`` things."""
        return {name: (used - self._before[name]) / count * 1e6 for name, used in self._read().items()}
