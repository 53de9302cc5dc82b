"""What every test may use: how to require a component that a laptop may lack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.pgkit import PostgresServer

settings.register_profile("sluice", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")
"""A busy machine is no failure. Built on Hypothesis' own profile, which in CI makes runs repeatable."""

ALERTS_FIRED = pytest.StashKey[list[str]]()
"""What the tests of Prometheus have to tell at the end of the run."""

POSTGRES_HOMES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the alerts that were caused to fire."""
    fired = config.stash.get(ALERTS_FIRED, [])
    if fired:
        terminalreporter.section(f"alerts fired by their fault: {len(fired)}")
        terminalreporter.write_line("\n".join(fired))


@pytest.fixture
def address() -> Iterator[str]:
    """Yield the address of an embedded broker of this test alone."""
    from stream.broker import EmbeddedBroker

    broker = EmbeddedBroker()
    yield broker.bootstrap
    broker.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Yield a PostgreSQL server of this module's tests."""
    from tests.pgkit import PostgresServer

    server = PostgresServer()
    yield server
    server.remove()


def require(present: bool, what: str) -> None:
    """Skip the test with its reason if a component is absent; in CI that is a failure."""
    if present:
        return
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is not installed")


def find_program(name: str) -> str | None:
    """Return the path of a program on PATH or among PostgreSQL's own folders."""
    found = shutil.which(name)
    if found:
        return found
    return next((str(home / name) for home in POSTGRES_HOMES if (home / name).exists()), None)
