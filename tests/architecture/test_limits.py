"""The house's limits: a file on one screen's scroll, a function on one screen."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("models", "stream", "api", "simulators", "telemetry", "cli", "tests", "bench", "deploy")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_MEDIAN_FUNCTION_LINES = 8

SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_its_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    too_long = {name: lines for name, lines in functions(path) if lines > MAX_FUNCTION_LINES}
    assert not too_long


def test_median_function_is_short() -> None:
    lengths = [lines for path in SOURCES if "tests" not in path.parts for _, lines in functions(path)]
    assert statistics.median(lengths) <= MAX_MEDIAN_FUNCTION_LINES
