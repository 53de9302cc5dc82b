"""A PostgreSQL of its own for a test: fresh cluster, loopback only, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stream.ports import free_ports
from tests.conftest import find_program, require

UNPRIVILEGED = ("postgres", "nobody")
"""Users to run as when the tests run as root, which PostgreSQL refuses."""


class LocalPostgres(msgspec.Struct, frozen=True):
    """A running server; user and database are ``sluice``, without a password."""

    port: int
    programs: Path

    @property
    def url(self) -> str:
        """Address of the database."""
        return f"postgresql://sluice@127.0.0.1:{self.port}/sluice"

    @property
    def env(self) -> dict[str, str]:
        """Environment in which PostgreSQL's own programs find this server."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGCONNECT_TIMEOUT": "5"}


def _server_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in UNPRIVILEGED if name in known), None)


@contextmanager
def running_postgres() -> Iterator[LocalPostgres]:
    """Start a server in a folder of its own, stop it afterwards; skip the test where PostgreSQL is absent."""
    initdb = find_program("initdb")
    require(initdb is not None, "PostgreSQL (initdb, pg_ctl)")
    programs, user, (port,) = Path(str(initdb)).parent, _server_user(), free_ports(1)
    home = Path(tempfile.mkdtemp(prefix="sluice-pg-"))
    if user:
        shutil.chown(home, user)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=home, user=user)

    data = str(home / "data")
    try:
        run(str(initdb), "-D", data, "-U", "sluice", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")
        try:
            server = LocalPostgres(port, programs)
            subprocess.run(["createdb", "--username=sluice", "sluice"], check=True, env=server.env)
            yield server
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home)
