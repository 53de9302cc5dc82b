"""All SQL tables. Times are UTC microseconds; ``*_wall_us`` is wall time, the rest the world's."""

from __future__ import annotations

from typing import Any

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
    Column("payer_bank", String(12)),
    Column("payee_bank", String(12)),
)
"""Registry of posted transfers: ``digest`` of the content, when the broker confirmed it (0: not yet), and the
parties' banks (NULL in rows of a release that did not keep them)."""

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
"""Every assessment; ``body`` is the very record from the topic, ``action`` what the policy did."""

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
"""Orders; ``body`` is the whole `Order`, the other columns repeat what is searched for."""

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
"""Commands to banks, committed with the state they follow from; answered ones have ``answered_wall_us``."""

publications = Table(
    "publications",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("topic", String(32), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    _us("created_wall_us"),
)
"""Records for topics (``controls``, ``verdicts``), committed with the state they follow from, removed once sent."""

relay_holder = Table(
    "relay_holder",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance", String(64), nullable=False, server_default=""),
)
"""One row: the replica that may have records under way to their topics; empty if none has (PostgreSQL)."""

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
"""Verdicts by transfer and source; the accounts are repeated so that proven fraud can be counted by account."""

samples = Table(
    "samples",
    metadata,
    Column("transfer_id", String(_ID), primary_key=True),
    Column("rate", Float, nullable=False),
    _us("drawn_wall_us"),
    Index("ix_samples_drawn", "drawn_wall_us", "transfer_id"),
)
"""Transfers drawn by lot for a look, each with the chance it had then."""

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
"""Changes of lists; one may wait for its second person per account."""

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
"""One row: the last link. Locked by whoever appends, so that replicas make one chain."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("detector", String(32), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("feature_set", String(16), nullable=False),
    _us("created_wall_us"),
    Column("digest", String(64), nullable=False),
    Column("signature", String(64), nullable=False),
    Column("frame", LargeBinary, nullable=False),
)
"""Every snapshot that was in service, cut by `models.risk.archive`; decisions name its version."""

snapshot_parts = Table(
    "snapshot_parts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Parts of snapshots, compressed (zlib), each kept once."""

brake_trips = Table(
    "brake_trips",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("cap", String(16), nullable=False),
    _us("at_us"),
    Column("hits", Integer, nullable=False),
)
"""Scopes in which automatic stops are suspended until a person re-arms them."""
