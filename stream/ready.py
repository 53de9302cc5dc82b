"""Tells whoever waits that a program does its work."""

from __future__ import annotations

from pathlib import Path


def announce_ready(ready_file: Path | None, text: str) -> None:
    """Write ``text`` to ``ready_file``, all of it or nothing; do nothing without one."""
    if ready_file is None:
        return
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    draft = ready_file.with_name(f"{ready_file.name}.draft")
    draft.write_text(f"{text}\n")
    draft.replace(ready_file)
