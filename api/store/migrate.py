"""Brings a database to the current schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 0x51_1C_E0
"""Advisory lock that keeps two replicas from migrating at once (PostgreSQL)."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run all migrations that are missing, in one transaction."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
        command.upgrade(config_for(connection), revision)


def config_for(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; ``connection`` runs the migrations inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
