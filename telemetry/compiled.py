"""Which form of the scoring modules runs: compiled, or plain Python (docs/decisions/0015).

The build compiles the modules that every transfer goes through and notes the sources it compiled. Python prefers a
compiled module whatever has become of its source since; `choose_form` lets it do so only while the note holds.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from functools import cache
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SCORING: Final = Path("models", "risk")
PACKAGES: Final = ("models.risk", "models.risk.rules")
"""Packages with modules that are compiled."""

MANIFEST: Final = SCORING / "compiled.json"
"""``suffix`` of the compiled files and SHA-256 of the ``sources``, from the build; absent if nothing was compiled."""

PLAIN_VARIABLE: Final = "SLUICE_PLAIN"
"""Environment variable that asks for plain Python, to debug or to compare."""


class Form(StrEnum):
    """What runs when a transfer is scored."""

    COMPILED = "compiled"
    PLAIN = "plain"


@cache
def choose_form() -> Form:
    """Let this process import scoring compiled, or plain if `why_plain` says so; before it imports a scoring module.

    The packages of all programs call it when they are imported, so that a process that `multiprocessing`
    spawns chooses as well.
    """
    if not why_plain():
        return Form.COMPILED
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            sys.path_importer_cache[folder] = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES))
    return Form.PLAIN


def why_plain(root: Path = ROOT) -> str:
    """Return why the packages in ``root`` run as plain Python, and what to do; nothing if they run compiled."""
    if os.environ.get(PLAIN_VARIABLE, "0") not in {"", "0"}:
        return f"{PLAIN_VARIABLE} is set"
    try:
        noted = json.loads((root / MANIFEST).read_bytes())
        suffix, sources = noted["suffix"], noted["sources"]
    except FileNotFoundError:
        return "nothing was compiled: install a C compiler and Python's headers, then Sluice again (make setup)"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is unreadable: make clean setup compiles anew"
    if suffix != EXTENSION_SUFFIXES[0]:  # another one's build says nothing of what is left of ours
        return "scoring was compiled last for another Python: make clean setup compiles it for this one"
    there = {str(path.relative_to(root)) for path in (root / SCORING).rglob(f"*{suffix}")}
    if there != {f"{source.removesuffix('.py')}{suffix}" for source in sources}:
        return "other modules are compiled than the build noted: make clean setup compiles anew"
    edited = [source for source, digest in sources.items() if _digest(root / source) != digest]
    return f"{edited[0]} has changed since it was compiled: make setup compiles it" if edited else ""


def _digest(source: Path) -> str:
    """Return the SHA-256 of a source, nothing for one that is gone."""
    return sha256(source.read_bytes()).hexdigest() if source.exists() else ""


def running_form() -> Form:
    """Return the form that this process imports, whether it has chosen or not."""
    spec = find_spec("models.risk.facts")
    is_source = spec is not None and str(spec.origin).endswith(tuple(SOURCE_SUFFIXES))
    return Form.PLAIN if is_source else Form.COMPILED
