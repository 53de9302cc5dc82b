"""Builds Sluice, and compiles the modules that every transfer goes through (docs/decisions/0015).

They stay ordinary Python: Cython takes them as they are, without types. Where there is no C compiler
nothing is compiled, and the same sources run; `telemetry.compiled` tells which form does.
"""

from __future__ import annotations

import hashlib
import json
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

COMPILED = (
    "models/risk/facts.py",
    "models/risk/peers.py",
    "models/risk/profile.py",
    "models/risk/recent.py",
    "models/risk/rules/account.py",
    "models/risk/rules/book.py",
    "models/risk/rules/common.py",
    "models/risk/rules/mule.py",
    "models/risk/rules/platform.py",
    "models/risk/rules/victim.py",
    "models/risk/windows.py",
)

MANIFEST = Path("models", "risk", "compiled.json")
"""For which Python, and the SHA-256 of each source: so an edited one is never mistaken for its old compiled form."""

FLAGS = ["-O2", "-g0", "-ffp-contract=off"]
"""No fused multiply-add: a score has the same bits on every machine and in both forms."""


def digests() -> dict[str, str]:
    """Return the SHA-256 of each source."""
    return {source: hashlib.sha256(Path(source).read_bytes()).hexdigest() for source in COMPILED}


BEFORE = digests()


class Compile(build_ext):
    """Compiles all modules or none, and notes what it compiled."""

    def run(self) -> None:
        """Compile, then write the manifest beside the modules, unless a source was edited meanwhile."""
        made = [Path(self.get_ext_fullpath(extension.name)) for extension in self.extensions]
        root = Path() if self.inplace else Path(self.build_lib)
        for old in (*(root / MANIFEST.parent).rglob(f"*{EXTENSION_SUFFIXES[0]}"), root / MANIFEST):
            old.unlink(missing_ok=True)
        self.parallel = True
        super().run()
        if all(path.exists() for path in made) and digests() == BEFORE:
            noted = {"suffix": EXTENSION_SUFFIXES[0], "sources": BEFORE}
            (root / MANIFEST).write_text(json.dumps(noted, indent=1) + "\n")


def modules() -> list[Extension]:
    """Return the modules to compile, as C by now; one that the C compiler cannot compile is left out."""
    found: list[Extension] = cythonize(
        [
            Extension(source.removesuffix(".py").replace("/", "."), [source], extra_compile_args=FLAGS)
            for source in COMPILED
        ],
        build_dir="build/cython",
        force=True,  # or C of other directives would count as current
        # The sources' annotations are for readers and mypy: taken as C types they would change what a number is.
        compiler_directives={"language_level": 3, "annotation_typing": False, "autotestdict": False},
    )
    for extension in found:
        extension.optional = True  # cythonize would drop it
    return found


setup(cmdclass={"build_ext": Compile}, ext_modules=modules())
