"""First schema: registry, assessments, orders, outbox, publications, verdicts, lists, audit, brake.

A frozen copy of the tables as they were then; later migrations change them.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

_Serial = BigInteger().with_variant(Integer, "sqlite")
_ACCOUNT = 64
_ID = 64


def _us(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _when(condition: str) -> dict[str, Any]:
    """Return the arguments of a partial index in both dialects."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


accepted = Table(
    "accepted",
    metadata,
    Column("transfer_id", String(_ID), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    _us("accepted_wall_us"),
    _us("confirmed_wall_us"),
)

assessments = Table(
    "assessments",
    metadata,
    Column("transfer_id", String(_ID), primary_key=True),
    Column("payer", String(_ACCOUNT), nullable=False),
    Column("payee", String(_ACCOUNT), nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    _us("occurred_us"),
    Column("risk", Float, nullable=False),
    Column("band", String(8), nullable=False),
    _us("assessed_wall_us"),
    _us("recorded_wall_us"),
    Column("action", String(16), nullable=False),
    Column("why", String(32), nullable=False, server_default=""),
    Column("order_id", String(36), nullable=False, server_default=""),
    Column("body", LargeBinary, nullable=False),
    Index("ix_assessments_payer", "payer", "occurred_us"),
    Index("ix_assessments_payee", "payee", "occurred_us"),
    Index("ix_assessments_alerts", "recorded_wall_us", **_when("band <> 'allow'")),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", String(36), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("state", String(24), nullable=False),
    Column("bank", String(12), nullable=False),
    Column("account", String(36), nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    _us("created_us"),
    _us("state_since_us"),
    _us("stop_point_us"),
    _us("expire_us"),
    _us("due_us"),
    Column("version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_orders_account", "bank", "account"),
    Index("ix_orders_state", "kind", "state", "bank", "state_since_us"),
    Index("ix_orders_created", "created_us", "order_id"),
    Index("ix_orders_due", "due_us", **_when("due_us > 0")),
)

order_transfers = Table(
    "order_transfers",
    metadata,
    Column("transfer_id", String(_ID), primary_key=True),
    Column("order_id", String(36), primary_key=True),
)

outbox = Table(
    "outbox",
    metadata,
    Column("application_id", String(36), primary_key=True),
    Column("order_id", String(36), nullable=False, index=True),
    Column("bank", String(12), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _us("expire_us"),
    _us("created_wall_us"),
    _us("not_before_wall_us"),
    _us("accepted_wall_us"),
    _us("assessed_wall_us"),
    _us("answered_wall_us"),
    Column("outcome", String(32), nullable=False, server_default=""),
    Column("owner", String(64), nullable=False, server_default=""),
    _us("lease_wall_us"),
    Index("ix_outbox_pending", "bank", "created_wall_us", **_when("answered_wall_us = 0")),
)

publications = Table(
    "publications",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("topic", String(32), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    _us("created_wall_us"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("transfer_id", String(_ID), primary_key=True),
    Column("source", String(32), primary_key=True),
    Column("label", String(8), nullable=False),
    Column("decided_by", String(64), nullable=False),
    _us("decided_us"),
    Column("payer", String(_ACCOUNT), nullable=False, server_default=""),
    Column("payee", String(_ACCOUNT), nullable=False, server_default=""),
    Index("ix_verdicts_payer", "payer", **_when("label = 'fraud'")),
    Index("ix_verdicts_payee", "payee", **_when("label = 'fraud'")),
)

reports = Table(
    "reports",
    metadata,
    Column("report_id", String(36), primary_key=True),
    Column("reported_by", String(64), nullable=False),
    Column("transfer_ids", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    _us("reported_us"),
)

lists = Table(
    "lists",
    metadata,
    Column("account", String(_ACCOUNT), primary_key=True),
    Column("level", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("maker", String(64), nullable=False),
    Column("checker", String(64), nullable=False),
    _us("updated_us"),
)

list_changes = Table(
    "list_changes",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("account", String(_ACCOUNT), nullable=False),
    Column("level", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("maker", String(64), nullable=False),
    _us("requested_us"),
    Column("state", String(12), nullable=False),
    Column("checker", String(64), nullable=False, server_default=""),
    _us("decided_us"),
    Index("ux_list_changes_pending", "account", unique=True, **_when("state = 'pending'")),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", LargeBinary, nullable=False),
    _us("at_us"),
    Column("actor", String(64), nullable=False),
    Column("action", String(48), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("algorithm", String(8), nullable=False),
    Column("version", Integer, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

brake_trips = Table(
    "brake_trips",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("cap", String(16), nullable=False),
    _us("at_us"),
    Column("hits", Integer, nullable=False),
)


revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSE_SQLITE = (
    "CREATE TRIGGER audit_no_{verb} BEFORE {verb} ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
)
_REFUSE_POSTGRES = (
    "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
)


def upgrade() -> None:
    bind = op.get_bind()
    metadata.create_all(bind, checkfirst=False)
    op.execute(audit_head.insert().values(id=1, seq=0, digest=b"\x00" * 32))
    if bind.dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(_REFUSE_SQLITE.format(verb=verb))
    else:
        for statement in _REFUSE_POSTGRES:
            op.execute(statement)


def downgrade() -> None:
    bind = op.get_bind()
    metadata.drop_all(bind)
    if bind.dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuse()")
