"""Which form of the scoring modules runs: compiled, or plain Python (docs/decisions/0015).

The build compiles the modules that every transfer goes through and notes the sources it compiled. Python prefers a
compiled module whatever has become of its source since; `choose_form` lets it do so only while the note holds.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SCORING: Final = Path("models", "risk")
MANIFEST: Final = SCORING / "compiled.json"
"""SHA-256 by source, as the build wrote it; there is none if nothing was compiled."""

PLAIN_VARIABLE: Final = "SLUICE_PLAIN"
"""Environment variable that asks for plain Python, to debug or to compare."""


class Form(StrEnum):
    """What runs when a transfer is scored."""

    COMPILED = "compiled"
    PLAIN = "plain"


def choose_form() -> Form:
    """Let this process import scoring compiled, or plain if `why_plain` says so; before it imports `models.risk`."""
    if not why_plain():
        return Form.COMPILED
    for package in (ROOT / SCORING).rglob("__init__.py"):
        folder = str(package.parent)
        sys.path_importer_cache[folder] = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES))
    return Form.PLAIN


def why_plain(root: Path = ROOT) -> str:
    """Return why the packages in ``root`` run as plain Python, and what to do; nothing if they run compiled."""
    if os.environ.get(PLAIN_VARIABLE):
        return f"{PLAIN_VARIABLE} is set"
    try:
        noted: dict[str, str] = json.loads((root / MANIFEST).read_bytes())
    except FileNotFoundError:
        return "nothing was compiled: install a C compiler, then Sluice again (make setup)"
    for source, digest in noted.items():
        path = root / source
        if sha256(path.read_bytes()).hexdigest() != digest:
            return f"{source} has changed since it was compiled: make setup compiles it"
        if not path.with_suffix(EXTENSION_SUFFIXES[0]).exists():
            return f"{source} is not compiled for this Python: make setup compiles it"
    return ""


def running_form() -> Form:
    """Return the form that this process imports, whether it has chosen or not."""
    spec = find_spec("models.risk.facts")
    is_source = spec is not None and str(spec.origin).endswith(tuple(SOURCE_SUFFIXES))
    return Form.PLAIN if is_source else Form.COMPILED
