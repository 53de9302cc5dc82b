"""Wrong settings end a program in words that name the variable, with no traceback and no secret."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stream.exitcodes import ExitCode

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-that-no-log-may-hold"
BROKER = {"SLUICE_BROKER": "127.0.0.1:1"}


def sluice(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with no settings but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "variables", "said"),
    [
        ("worker", {"SLUICE_SNAPSHOT_KEY": SECRET}, "SLUICE_BROKER: Field required"),
        ("worker", BROKER | {"SLUICE_STORE": "disk"}, "SLUICE_STORE: Input should be 'memory' or 'rocksdb'"),
        ("worker", BROKER | {"SLUICE_CONFIRM_TIMEOUT_S": "9"}, "confirm_timeout_s must be less than session_timeout_s"),
        ("trainer", {"SLUICE_SNAPSHOT_KEY": SECRET}, "SLUICE_BROKER: Field required"),
        ("api", {"SLUICE_BANK_TOKEN": SECRET}, "SLUICE_BROKER: Field required"),
        ("api", BROKER | {"SLUICE_BANKS": "icbc"}, '"banks"'),
        ("api", BROKER | {"SLUICE_API_KEYS": SECRET}, "SLUICE_API_KEYS"),
        ("api", BROKER | {"SLUICE_API_KEYS_FILE": "no-such-file"}, "no-such-file"),
        ("api", BROKER | {"SLUICE_CLOCK": "noon"}, "SLUICE_CLOCK: not wall_origin_us:world_origin_us:speed: 'noon'"),
        ("bank", {"SLUICE_BANK_BANKS": f"a={SECRET},a={SECRET}"}, "SLUICE_BANK_BANKS: banks must have different names"),
        ("bank", {"SLUICE_CLOCK": "0:0:0"}, "SLUICE_CLOCK: a clock's speed is above 0"),
        ("bank", {"SLUICE_LOG_LEVEL": "debug"}, "SLUICE_LOG_LEVEL: Input should be 'DEBUG', 'INFO'"),
        ("world", {"SLUICE_WORLD_START": "tomorrow"}, "SLUICE_WORLD_START: Value error, no moment such as 2026-"),
        ("world", {"SLUICE_WORLD_CUSTOMERS": "1"}, "SLUICE_WORLD_CUSTOMERS: Input should be greater than"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, program: str, variables: dict[str, str], said: str) -> None:
    done = sluice(tmp_path, program, **variables)
    assert done.returncode == ExitCode.MISCONFIGURED
    assert said in done.stderr
    assert "docs/settings.md" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize(("program", "variable"), [("api", "SLUICE_PORT"), ("bank", "SLUICE_BANK_PORT")])
def test_a_port_that_is_taken_is_named(tmp_path: Path, program: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sluice(tmp_path, program, **BROKER, **{variable: str(port), "SLUICE_BANK_URL": "http://127.0.0.1:1"})
    assert done.returncode == ExitCode.MISCONFIGURED
    assert f"cannot serve on 127.0.0.1:{port}: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "no/such/folder/x.csv"), "no/such/folder/x.csv cannot be written: No such file or directory"),
        (("--to", "127.0.0.1:1"), "no broker answers at 127.0.0.1:1: start it, or correct --to HOST:PORT"),
    ],
)
def test_where_transfers_cannot_go_is_said(tmp_path: Path, arguments: tuple[str, str], said: str) -> None:
    done = sluice(tmp_path, "simulate", "--customers", "100", "--days", "0.01", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["t.txt", "t.gz", "csv"])
def test_a_name_that_says_nothing_of_its_content_is_refused(tmp_path: Path, name: str) -> None:
    done = sluice(tmp_path, "simulate", "--customers", "100", "--days", "0.01", "--out", name)
    assert done.returncode == 2
    assert f"{name} must end in .csv or .csv.gz" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bug_still_shows_its_traceback(tmp_path: Path) -> None:
    code = "import cli.main, cli.verify; cli.verify.run_verify = lambda **_: 1 / 0; cli.main.main()"
    done = subprocess.run([sys.executable, "-c", code, "verify"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
