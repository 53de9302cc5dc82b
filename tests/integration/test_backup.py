"""The runbook's own commands back up and restore a database that is being written to."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, select

from api.feed import DECODERS
from api.settings import ApiSettings
from api.store import audit
from api.store.database import Database
from api.store.migrate import upgrade
from tests.deploy_files import ROOT
from tests.postgres import LocalPostgres, running_postgres

PAGE = (ROOT / "docs" / "runbook" / "backup-and-restore.md").read_text()
IN_COMPOSE = "docker compose exec -T postgres "
WAIT_S = 60.0


def commands(heading: str) -> tuple[str, str]:
    """Return the runbook's commands to back up and to restore, as they stand under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    backup, restore = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return backup, restore


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    database.start()
    try:
        yield database
    finally:
        database.stop()


def append_one(connection: Connection) -> int:
    return audit.append(connection, at_us=1, actor="ann", action="test", subject="x", detail={"note": "备份"}).seq


@contextmanager
def being_written(database: Database) -> Iterator[Callable[[], int]]:
    """Append to the audit chain without a pause; give a way to see how far it is."""
    stopping, written = threading.Event(), [0]

    def write() -> None:
        while not stopping.is_set():
            pending: Future[int] = database.submit(append_one)
            written[0] = pending.result(timeout=WAIT_S)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield lambda: written[0]
    finally:
        stopping.set()
        writer.join()


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = MetaData()
    tables.reflect(database.engine)
    assert len(tables.tables) > 5

    def rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
        return {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in tables.tables.items()
        }

    return database.read_now(rows)


def wait_for(reached: Callable[[], int], seq: int) -> int:
    deadline = time.monotonic() + WAIT_S
    while reached() < seq:
        assert time.monotonic() < deadline, "the writer makes no progress"
        threading.Event().wait(0.005)
    return reached()


def check(url: str, run: Callable[[str], None], heading: str) -> None:
    """Back up under load, change and lose things, restore; nothing may be missing, torn or too new."""
    backup, restore = commands(heading)
    with opened(url) as database:
        upgrade(database.engine)
        with being_written(database) as reached:
            before = wait_for(reached, 200)
            run(backup)
            after = wait_for(reached, reached() + 1)
    run(restore)
    with opened(url) as database:
        report = database.read_now(audit.verify)
        assert report.breach == ""
        assert before <= report.last_seq <= after
        restored = contents(database)
        assert len(restored["audit"]) == report.last_seq
        database.submit(append_one).result(timeout=WAIT_S)
        assert database.read_now(audit.verify).breach == "", "the chain goes on"
        assert contents(database) != restored
    run(restore)
    with opened(url) as database:
        assert contents(database) == restored, "restoring again gives the same"


def test_sqlite(tmp_path: Path) -> None:
    (tmp_path / ".run").mkdir()

    def run(script: str) -> None:
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True, cwd=tmp_path)

    check(f"sqlite:///{tmp_path}/.run/sluice.db", run, "SQLite")


def test_a_backup_of_a_file_that_is_not_there_fails(tmp_path: Path) -> None:
    """SQLite would make an empty file and copy that: a backup of nothing, without a word."""
    (tmp_path / ".run").mkdir()
    backup, _ = commands("SQLite")
    assert subprocess.run(["bash", "-c", backup], check=False, cwd=tmp_path, capture_output=True).returncode != 0
    assert list(tmp_path.rglob("*.db")) == []


@pytest.fixture(scope="module")
def postgres() -> Iterator[LocalPostgres]:
    with running_postgres() as server:
        yield server


@pytest.mark.postgres
def test_postgresql(postgres: LocalPostgres, tmp_path: Path) -> None:
    """The commands run in the compose service there; here they reach our server by its environment."""

    def run(script: str) -> None:
        assert all(line.startswith(IN_COMPOSE) for line in script.splitlines())
        here = script.replace(IN_COMPOSE, "")
        subprocess.run(["bash", "-euo", "pipefail", "-c", here], check=True, cwd=tmp_path, env=postgres.env)

    check(postgres.url, run, "PostgreSQL")


def test_the_runbook_sends_the_feed_back_to_its_own_group_and_topics() -> None:

    (command,) = re.findall(r"kafka-consumer-groups\.sh.*?--execute", PAGE, re.DOTALL)
    assert f"--group {ApiSettings.model_fields['group'].default} " in command
    assert set(re.findall(r"--topic (\S+)", command)) == set(DECODERS)
