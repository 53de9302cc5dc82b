"""Databases for tests of what stands on them: each test has a fresh, empty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pgkit import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Return the URL of a database on PostgreSQL."""
    return postgres.new_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Return where `tests.deskkit.station` keeps its database: a folder for SQLite, or the URL on PostgreSQL."""
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("url")
    return url
