"""The image: several stages, no root, and only files that exist and are sent to the builder."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from api.auth import hash_key, read_keys
from simulators.settings import DEFAULT_BANKS
from telemetry.clock import parse_clock
from tests.deploy_files import DEPLOY, ROOT

INSTRUCTIONS = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
STEPS = [line.split(None, 1) for line in INSTRUCTIONS if line and not line.startswith("#")]
HEALTH = DEPLOY / "docker" / "health.py"


def steps(keyword: str) -> list[str]:
    return [rest for word, rest in STEPS if word == keyword]


def test_it_is_built_in_stages_and_runs_as_nobody_special() -> None:
    stages = steps("FROM")
    assert len(stages) == 2
    assert len({stage.split()[0] for stage in stages}) == 1, (
        "the interpreter must be the same that built the environment"
    )
    assert STEPS[-1][0] == "CMD"
    (user,) = steps("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "a number, so that the host can see that it is not root"


def test_the_command_is_ours() -> None:
    assert json.loads(steps("ENTRYPOINT")[0]) == ["sluice"]
    assert 'sluice = "cli.main:main"' in (ROOT / "pyproject.toml").read_text()


def kept(path: str) -> bool:
    """Return whether ``.dockerignore`` lets a file through (last matching pattern wins)."""
    through = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = Path(path).parts
        prefixes = ["/".join(parts[: size + 1]) for size in range(len(parts))]
        if any(fnmatch(prefix, pattern) or fnmatch(Path(prefix).name, pattern) for prefix in prefixes):
            through = line.startswith("!")
    return through


def test_every_file_it_copies_exists_and_is_sent() -> None:
    for copied in steps("COPY"):
        *sources, _target = [word for word in copied.split() if not word.startswith("--")]
        if "--from=" in copied:
            continue
        for source in sources:
            assert (ROOT / source).exists()
            assert source == "." or kept(source), source


def test_all_packages_are_sent_and_nothing_private_is() -> None:
    packages = re.search(r"include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    for package in re.findall(r'"(\w+)\*"', packages[1]):
        assert kept(f"{package}/__init__.py")
    for private in (".env", ".env.api", ".git/config", ".run/sluice.db", "tests/conftest.py", ".venv/bin/python"):
        assert not kept(private)


def test_every_file_that_is_installed_beside_the_packages_is_sent() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    beside = [file for files in project["tool"]["setuptools"]["data-files"].values() for file in files]
    assert beside
    for file in beside:
        assert (ROOT / file).is_file()
        assert kept(file), f"{file}: the builder could not install the project"


def test_dependencies_are_pinned_and_no_registry_is_named() -> None:
    runs = " ".join(steps("RUN"))
    assert runs.count("pip install -c constraints.txt") == 2
    assert not re.search(r"https?://|--index|-i ", runs)


# --- health.py ------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[str]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ok" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


def healthy(*args: str) -> bool:
    return subprocess.run([sys.executable, "-I", str(HEALTH), *args], check=False).returncode == 0


def test_health_is_an_answer_and_a_ready_file(server: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    assert healthy(f"{server}/ok")
    assert not healthy(f"{server}/ok", str(ready))
    ready.touch()
    assert not healthy(f"{server}/ok", str(ready))
    ready.write_text("worker\n")
    assert healthy(f"{server}/ok", str(ready))
    assert not healthy(f"{server}/broken", str(ready))


def test_a_port_where_nobody_listens_is_not_healthy() -> None:
    assert not healthy("http://127.0.0.1:9/ok")


# --- make_env.py ---------------------------------------------------------------------


def made(*args: str) -> tuple[dict[str, str], dict[str, str]]:
    command = [sys.executable, "-I", str(DEPLOY / "docker" / "make_env.py"), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    values = dict(line.split("=", 1) for line in done.stdout.splitlines() if re.match(r"[A-Z]", line))
    people = dict(re.findall(r"key of ([\w ]+): (\S+)", done.stderr))
    return {name: value.strip("'") for name, value in values.items()}, people


def test_made_keys_open_the_api_and_only_their_digests_are_kept() -> None:
    values, people = made()
    keys = {key.name: key for key in read_keys(values["SLUICE_API_KEYS"])}
    for name, key in people.items():
        assert keys[name].sha256 == hash_key(key)
        assert key not in "".join(values.values())
    assert set(people) == {"analyst", "approver", "operator", "admin"}
    assert values["SLUICE_CLOCK"] == ""


def test_the_demo_gets_banks_that_may_post_and_a_fast_clock() -> None:
    values, _ = made("--demo")
    keys = {key.name: key for key in read_keys(values["SLUICE_API_KEYS"])}
    banks = dict(pair.split("=") for pair in values["SLUICE_BANK_BANKS"].split(","))
    assert set(banks) == set(DEFAULT_BANKS.split(","))
    assert values["SLUICE_BANK_URL"] == "http://bank:8200"
    for bank, key in banks.items():
        assert keys[bank].sha256 == hash_key(key)
        assert keys[bank].banks == (bank,)
    assert keys["hotline"].sha256 == hash_key(values["SLUICE_WORLD_REPORT_KEY"])
    assert parse_clock(values["SLUICE_CLOCK"]).speed > 1


def test_real_banks_get_keys_that_are_shown_and_addresses() -> None:
    values, shown = made("--bank", "icbc=https://gateway.example/sluice", "--bank", "ccb=http://10.0.0.7:8443")
    keys = {key.name: key for key in read_keys(values["SLUICE_API_KEYS"])}
    assert json.loads(values["SLUICE_BANKS"]) == {
        "icbc": "https://gateway.example/sluice",
        "ccb": "http://10.0.0.7:8443",
    }
    assert values["SLUICE_BANK_URL"] == "", "or the orders of a forgotten bank would go to the fake ones"
    for bank in ("icbc", "ccb"):
        assert keys[bank].sha256 == hash_key(shown[f"bank {bank}"])
        assert keys[bank].banks == (bank,)


@pytest.mark.parametrize("wrong", ["icbc", "icbc=gateway.example", "a bank=https://gateway.example", "=https://x"])
def test_a_bank_without_code_or_address_is_refused(wrong: str) -> None:
    command = [sys.executable, "-I", str(DEPLOY / "docker" / "make_env.py"), "--bank", wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert not done.stdout
    assert "--bank" in done.stderr


def test_the_file_of_secrets_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.touch(mode=0o644)
    with path.open("w") as out:
        subprocess.run([sys.executable, "-I", str(DEPLOY / "docker" / "make_env.py")], stdout=out, check=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "POSTGRES_PASSWORD=" in path.read_text()


def test_secrets_are_fresh_each_time() -> None:
    first, second = made()[0], made()[0]
    for name in (
        "POSTGRES_PASSWORD",
        "GRAFANA_PASSWORD",
        "SLUICE_SNAPSHOT_KEY",
        "SLUICE_REVIEW_SAMPLE_SALT",
        "SLUICE_API_KEYS",
    ):
        assert len(first[name]) >= 32
        assert first[name] != second[name]
    assert re.fullmatch(r"[0-9a-f]+", first["POSTGRES_PASSWORD"]), "it becomes part of an address"
