"""Nothing that ships reads bytes that could run code: no pickle, nor what pickles beneath its surface."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICKLES = re.compile(r"pickle|^(dill|joblib|marshal|shelve|multiprocessing|ProcessPoolExecutor)$")
ALLOWED = {
    "simulators/replay.py": "back-tests of several files, each in a process this one starts and alone talks to",
    "simulators/replay_learning.py": "a back-test learns in a process that it starts and alone talks to",
    "simulators/refits.py": "a back-test fits trees in a process that it starts and alone talks to",
    "bench/ablation.py": "the ablation study tries its variants in processes that it starts and alone talks to",
}
"""Who may pickle, and why nobody else can write what is read: the pipe between a process and its own child."""


def shipped() -> list[Path]:
    """Return every module of the packages that the distribution holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    return sorted(path for package in packages for path in (ROOT / package.rstrip("*")).rglob("*.py"))


def names(source: str) -> Iterator[str]:
    """Yield what code imports, calls, passes by name, or writes as a text without spaces (Faust's codecs are such)."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.alias(name=name) | ast.ImportFrom(module=str(name)):
                yield from name.split(".")
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(text)) if " " not in text:
                yield text


def pickling(source: str) -> set[str]:
    return {name for name in names(source) if PICKLES.search(name)}


PATHS = {str(path.relative_to(ROOT)): path for path in shipped()}


@pytest.mark.parametrize("name", sorted(PATHS.keys() - ALLOWED))
def test_a_module_that_ships_pickles_nothing(name: str) -> None:
    assert not pickling(PATHS[name].read_text())


@pytest.mark.parametrize("name", ALLOWED)
def test_who_is_allowed_to_pickle_does(name: str) -> None:
    """An entry that nobody needs would let the next one in unseen."""
    assert pickling(PATHS[name].read_text())


def test_every_package_that_ships_is_looked_at() -> None:
    seen = {name.partition("/")[0] for name in PATHS}
    assert {"models", "stream", "api", "simulators", "telemetry", "cli"} <= seen


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as p",
        "from _pickle import loads",
        "import cloudpickle.cloudpickle",
        "import sklearn.externals, joblib",
        "from joblib import load",
        "from shelve import open as opened",
        "numpy.load(file, allow_pickle=True)",
        "pandas.read_pickle(file)",
        "app.Table('t', value_serializer='pickle')",
        "importlib.import_module('pickle')",
        "from multiprocessing.connection import Client",
        "concurrent.futures.ProcessPoolExecutor()",
    ],
)
def test_ways_to_pickle_are_recognised(source: str) -> None:
    assert pickling(source)


def test_words_and_codecs_of_json_are_no_pickle() -> None:
    assert not pickling('"""Never a pickle here."""\nimport json, msgspec\napp.Table("t", value_serializer="json")')
