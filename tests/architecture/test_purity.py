"""``models/`` has no clock, no randomness without a seed, no I/O; nothing of ours happens at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "time", "asyncio", "socket", "http", "urllib", "httpx", "aiohttp", "sqlalchemy", "sqlite3", "psycopg",
    "faust", "kafka", "aiokafka", "confluent_kafka", "fastapi", "subprocess", "threading", "requests",
    "secrets", "uuid", "os",
}  # fmt: skip
CLOCK_CALLS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}
SEEDED = {"Random", "default_rng"}
PURE = sorted((ROOT / "models").rglob("*.py"))


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_models_import_nothing_impure(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert not imported & FORBIDDEN


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_models_read_no_clock_and_open_no_file(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                assert node.func.attr not in CLOCK_CALLS, f"line {node.lineno} reads a clock"
            elif isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "print", "input", "hash"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_models_draw_nothing_without_a_seed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in {"random", "numpy.random"}:
            assert {alias.name for alias in node.names} <= SEEDED, f"line {node.lineno} imports unseeded chance"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if owner in {"random", "np.random", "numpy.random"}:
                assert node.func.attr in SEEDED, f"line {node.lineno} draws from a generator that nobody seeds"
                assert node.args or node.keywords, f"line {node.lineno} seeds a generator by chance"


@pytest.mark.parametrize("module", ["models.wire", "stream.app", "api.app", "simulators.bank", "cli.main"])
def test_import_starts_nothing(module: str) -> None:
    code = f"import threading, {module}; raise SystemExit(threading.active_count() - 1)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_no_path_of_a_machine_and_no_registry_in_the_tree() -> None:
    folders, hosts = ("root", "work"), ("pypi.org", "registry.npmjs.org", "repo1.maven.org", "deb.debian.org")
    words = [f"/{folder}/" for folder in folders] + list(hosts)
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".gz", ".png"} or not path.is_file() or path == Path(__file__):
            continue
        text = path.read_text(errors="replace")
        assert not [word for word in words if word in text], name
