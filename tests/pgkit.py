"""A private PostgreSQL server for tests, in a temporary folder, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg

from stream.ports import free_ports
from tests.conftest import find_program, require

UNPRIVILEGED = ("postgres", "nobody")
START_TIMEOUT_S = 120.0


class PostgresServer:
    """PostgreSQL refuses to run as root, so it then runs as another user of this machine."""

    def __init__(self) -> None:
        programs = {name: find_program(name) for name in ("initdb", "postgres")}
        require(all(programs.values()), "PostgreSQL's server programs")
        self._programs = {name: str(path) for name, path in programs.items()}
        self.user = self._other_user() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-pg-"))
        if self.user:
            shutil.chown(self.folder, self.user)
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "sluice", "-E", "UTF8", "--no-sync")
        self.start()

    @staticmethod
    def _other_user() -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return next(name for name in UNPRIVILEGED if name in names)

    def _run(self, name: str, *args: str) -> None:
        subprocess.run([self._programs[name], *args], check=True, capture_output=True, user=self.user, cwd=self.folder)

    def start(self) -> None:
        """Start (again) and wait until it answers."""
        options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k", str(self.folder), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs["postgres"], "-D", str(self.folder / "data"), *options],
                stdout=log,
                stderr=log,
                user=self.user,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self._dsn("postgres")).close()
            except psycopg.OperationalError:
                running = self._process.poll() is None and time.monotonic() < deadline
                assert running, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop at once, as a crash would: without a checkpoint, so that the next start recovers.

        It returns once every process of the server has gone. A killed postmaster leaves the others running for
        a moment, in which a backend still answers and the next start is refused over their shared memory.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def remove(self) -> None:
        """Stop and delete everything."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _dsn(self, database: str) -> str:
        return f"postgresql://sluice@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the URL of a fresh, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._dsn(name)
