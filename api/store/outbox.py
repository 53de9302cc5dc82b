"""Commands that leave for their banks: committed with the order, answered later."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select, update

from api.store.tables import outbox
from models.control.messages import BankCommand

_decode_command = msgspec.json.Decoder(BankCommand).decode


class Stamps(msgspec.Struct, frozen=True):
    """Wall times of the transfer behind a command, for the latency to the bank's confirmation."""

    accepted_wall_us: int = 0
    assessed_wall_us: int = 0


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A command that waits for its bank's answer."""

    command: BankCommand
    order_id: str
    priority: int
    created_wall_us: int
    not_before_wall_us: int = 0
    stamps: Stamps = Stamps()


def enqueue(connection: Connection, pending: Pending, owner: str, lease_wall_us: int) -> None:
    """Put a command into the outbox, leased to ``owner``."""
    connection.execute(
        outbox.insert().values(
            application_id=pending.command.application_id,
            order_id=pending.order_id,
            bank=pending.command.bank_id,
            priority=pending.priority,
            body=msgspec.json.encode(pending.command),
            expire_us=pending.command.expire_us,
            created_wall_us=pending.created_wall_us,
            not_before_wall_us=pending.not_before_wall_us,
            accepted_wall_us=pending.stamps.accepted_wall_us,
            assessed_wall_us=pending.stamps.assessed_wall_us,
            owner=owner,
            lease_wall_us=lease_wall_us,
        )
    )


def stamps_of(connection: Connection, order_id: str) -> Stamps:
    """Return the wall times of the order's first command."""
    statement = select(outbox.c.accepted_wall_us, outbox.c.assessed_wall_us).where(outbox.c.order_id == order_id)
    row = connection.execute(statement.order_by(outbox.c.application_id).limit(1)).one_or_none()
    return Stamps(row.accepted_wall_us, row.assessed_wall_us) if row else Stamps()


def settle(connection: Connection, application_id: str, outcome: str, wall_us: int) -> bool:
    """Note that a command is answered; return whether it was open."""
    statement = update(outbox).where(outbox.c.application_id == application_id, outbox.c.answered_wall_us == 0)
    return connection.execute(statement.values(answered_wall_us=wall_us, outcome=outcome)).rowcount == 1


def settle_all(connection: Connection, order_id: str, outcome: str, wall_us: int) -> None:
    """Note that nothing more is expected for any command of an order."""
    statement = update(outbox).where(outbox.c.order_id == order_id, outbox.c.answered_wall_us == 0)
    connection.execute(statement.values(answered_wall_us=wall_us, outcome=outcome))


def lease(connection: Connection, owner: str, now_wall_us: int, until_wall_us: int, limit: int) -> list[Pending]:
    """Take over open commands that are ours or whose lease has run out, and return them."""
    wanted = (
        select(outbox)
        .where(
            outbox.c.answered_wall_us == 0,
            (outbox.c.owner == owner) | (outbox.c.lease_wall_us < now_wall_us),
        )
        .order_by(outbox.c.priority, outbox.c.created_wall_us)
        .limit(limit)
    )
    if connection.dialect.name == "postgresql":
        wanted = wanted.with_for_update(skip_locked=True)
    rows = connection.execute(wanted).all()
    ids = [row.application_id for row in rows]
    if ids:
        renewed = update(outbox).where(outbox.c.application_id.in_(ids))
        connection.execute(renewed.values(owner=owner, lease_wall_us=until_wall_us))
    return [_pending(row) for row in rows]


def _pending(row: Row[Any]) -> Pending:
    return Pending(
        command=_decode_command(row.body),
        order_id=row.order_id,
        priority=row.priority,
        created_wall_us=row.created_wall_us,
        not_before_wall_us=row.not_before_wall_us,
        stamps=Stamps(row.accepted_wall_us, row.assessed_wall_us),
    )


def ages(connection: Connection) -> list[tuple[str, int, int]]:
    """Return ``(bank, open commands, wall time of the oldest)``."""
    statement = select(outbox.c.bank, func.count(), func.min(outbox.c.created_wall_us))
    statement = statement.where(outbox.c.answered_wall_us == 0).group_by(outbox.c.bank)
    return [(bank, number, oldest) for bank, number, oldest in connection.execute(statement)]


def is_open(connection: Connection, application_id: str) -> bool:
    """Return whether a command still waits for its answer."""
    statement = select(outbox.c.answered_wall_us).where(outbox.c.application_id == application_id)
    return connection.execute(statement).scalar_one_or_none() == 0
