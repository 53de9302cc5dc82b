"""How often a program ended itself, by reason, kept over its restarts.

A crash-only program exits within milliseconds of the cause, so a counter of
the cause itself is hardly ever scraped. The next start tells it instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from telemetry.metrics import PROGRAM_EXITS

_decode = msgspec.json.Decoder(dict[str, int]).decode


class ExitTally:
    """Counts of exits in a small file beside the program's other state; losing it only loses history."""

    def __init__(self, path: Path, reasons: Iterable[str]) -> None:
        self._path = path
        self._counts = dict.fromkeys(reasons, 0)

    def load(self) -> None:
        """Show in the metrics what earlier runs noted; a missing or torn file counts as nothing."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._counts |= _decode(self._path.read_bytes())
        for reason, count in self._counts.items():
            PROGRAM_EXITS.labels(reason).inc(count)

    def note(self, reason: str) -> None:
        """Count one more exit in the file. Quick and silent: the process is about to end."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        draft = self._path.with_name(f"{self._path.name}.new")
        with contextlib.suppress(OSError):
            draft.write_bytes(msgspec.json.encode(self._counts))
            draft.replace(self._path)
