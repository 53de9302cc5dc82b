"""The audit trail in the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, select, update

from api.store.tables import audit, audit_head
from models.control.audit import GENESIS, AuditEntry, ChainReport, next_entry, verify_chain

PAGE: Final = 5_000


def exclude_others(connection: Connection) -> None:
    """Hold the head until the transaction ends, once no other replica does; on SQLite a writer is alone anyway."""
    if connection.dialect.name != "sqlite":
        _lock(connection)


def _lock(connection: Connection) -> Row[Any]:
    """Return the head, locked until the transaction ends: whoever holds it is the only replica that appends."""
    return connection.execute(select(audit_head).where(audit_head.c.id == 1).with_for_update()).one()


def append(
    connection: Connection, *, at_us: int, actor: str, action: str, subject: str, detail: dict[str, Any]
) -> AuditEntry:
    """Append one entry in the caller's transaction; the head is locked until it ends."""
    head = _lock(connection)
    entry = next_entry(
        head.seq,
        head.digest,
        at_us=at_us,
        actor=actor,
        action=action,
        subject=subject,
        detail=msgspec.json.encode(detail).decode(),
    )
    connection.execute(audit.insert().values(**msgspec.structs.asdict(entry)))
    connection.execute(update(audit_head).where(audit_head.c.id == 1).values(seq=entry.seq, digest=entry.digest))
    return entry


def read(connection: Connection, after: int = 0, limit: int = PAGE, subject: str = "") -> list[AuditEntry]:
    """Return entries after a sequence number, optionally of one subject only."""
    statement = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
    if subject:
        statement = statement.where(audit.c.subject == subject)
    return [AuditEntry(**row._mapping) for row in connection.execute(statement)]


def _all_after(connection: Connection, seq: int) -> Iterator[AuditEntry]:
    while page := read(connection, seq):
        yield from page
        seq = page[-1].seq


def verify(connection: Connection, *, seq: int = 0, previous: bytes = GENESIS) -> ChainReport:
    """Check the chain after entry ``seq`` to its head, and that nothing was cut off at the end.

    Run it in one snapshot, or entries appended meanwhile look like a breach.
    """
    head = connection.execute(select(audit_head).where(audit_head.c.id == 1)).one()
    report = verify_chain(_up_to(_all_after(connection, seq), head.seq), seq=seq, previous=previous)
    if not report.breach and (report.last_seq, report.last_digest) != (head.seq, head.digest):
        text = f"the chain ends at entry {report.last_seq}, its head says {head.seq}"
        return msgspec.structs.replace(report, breach=text)
    return report


def _up_to(entries: Iterator[AuditEntry], last: int) -> Iterator[AuditEntry]:
    for entry in entries:
        if entry.seq > last:
            return
        yield entry
