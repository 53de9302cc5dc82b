"""Orders, and the commands that leave for their banks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, or_, select, tuple_, update

from api.store.dialect import insert_if_new
from api.store.tables import order_transfers, orders
from models.control.deadlines import Due
from models.control.records import Order
from models.control.states import OrderKind, OrderState
from models.control.table import terminal_states

decode_order = msgspec.json.Decoder(Order).decode

MAX_PAGE: Final = 500


class StaleOrder(Exception):
    """Somebody else changed the order meanwhile."""


def get(connection: Connection, order_id: str, *, lock: bool = False) -> Order | None:
    """Return an order, or ``None``; ``lock`` keeps others from changing it until the transaction ends."""
    statement = select(orders.c.body).where(orders.c.order_id == order_id)
    body = connection.execute(statement.with_for_update() if lock else statement).scalar_one_or_none()
    return None if body is None else decode_order(body)


def insert(connection: Connection, order: Order, due: Due | None) -> bool:
    """Store a new order; return whether it was new (the same cause makes the same order)."""
    statement = insert_if_new(connection, orders).values(**_values(order, due)).returning(orders.c.order_id)
    if connection.execute(statement).scalar_one_or_none() is None:
        return False
    link(connection, order)
    return True


def save(connection: Connection, order: Order, due: Due | None) -> None:
    """Store the next version of an order; raise `StaleOrder` if it is not the next one."""
    statement = update(orders).where(orders.c.order_id == order.order_id, orders.c.version == order.version - 1)
    if connection.execute(statement.values(**_values(order, due))).rowcount != 1:
        raise StaleOrder(order.order_id)


def link(connection: Connection, order: Order) -> None:
    """Remember by which transfers an order can be found."""
    rows = [{"transfer_id": each, "order_id": order.order_id} for each in order.transfer_ids]
    if rows:
        connection.execute(insert_if_new(connection, order_transfers), rows)


def _values(order: Order, due: Due | None) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "kind": order.kind.value,
        "state": order.state.value,
        "bank": order.bank,
        "account": order.account,
        "amount_fen": order.amount_fen,
        "created_us": order.created_us,
        "state_since_us": order.state_since_us,
        "stop_point_us": order.stop_point_us,
        "expire_us": order.expire_us,
        "due_us": due.at_us if due else 0,
        "version": order.version,
        "body": msgspec.json.encode(order),
    }


def set_due(connection: Connection, order: Order, due: Due | None) -> bool:
    """Move the clock of an order without changing it; return whether it was still this version of it."""
    same = (orders.c.order_id == order.order_id, orders.c.version == order.version)
    return connection.execute(update(orders).where(*same).values(due_us=due.at_us if due else 0)).rowcount == 1


def due(connection: Connection, now_us: int, limit: int) -> list[Order]:
    """Return orders whose clock has struck, the earliest first."""
    statement = select(orders.c.body).where(orders.c.due_us > 0, orders.c.due_us <= now_us)
    return [
        decode_order(body) for body in connection.execute(statement.order_by(orders.c.due_us).limit(limit)).scalars()
    ]


def on_account(connection: Connection, bank: str, account: str) -> list[Order]:
    """Return every order on an account, oldest first."""
    statement = select(orders.c.body).where(orders.c.bank == bank, orders.c.account == account)
    found = connection.execute(statement.order_by(orders.c.created_us, orders.c.order_id)).scalars()
    return [decode_order(body) for body in found]


def open_on_account(connection: Connection, bank: str, account: str) -> tuple[Order, ...]:
    """Return the orders on an account that have not ended, oldest first."""
    found = on_account(connection, bank, account)
    return tuple(order for order in found if order.state not in terminal_states(order.kind))


def earlier_stops(connection: Connection, order: Order) -> int:
    """Return how many other stops took or may take effect on the order's account, their extensions included.

    One that the bank is asked for may take effect as well as one that did, and so may an extension.
    """
    statement = select(orders.c.body).where(
        orders.c.bank == order.bank,
        orders.c.account == order.account,
        orders.c.kind == OrderKind.STOP.value,
        or_(orders.c.stop_point_us > 0, orders.c.state.in_(_ASKED_FOR)),
        orders.c.order_id != order.order_id,
    )
    found = map(decode_order, connection.execute(statement).scalars())
    return sum(1 + each.extended + (each.state is OrderState.EXTENDING) for each in found)


_ASKED_FOR: Final = [state.value for state in (OrderState.APPROVED, OrderState.DISPATCHED, OrderState.UNCONFIRMED)]


def of_transfer(connection: Connection, transfer_id: str) -> list[Order]:
    """Return all orders a transfer is a cause of."""
    statement = (
        select(orders.c.body)
        .join(order_transfers, order_transfers.c.order_id == orders.c.order_id)
        .where(order_transfers.c.transfer_id == transfer_id)
        .order_by(orders.c.created_us, orders.c.order_id)
    )
    return [decode_order(body) for body in connection.execute(statement).scalars()]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders to list; empty means any. ``after`` is ``created_us:order_id`` of the last one seen."""

    kind: str = ""
    state: str = ""
    bank: str = ""
    account: str = ""
    after: tuple[int, str] | None = None
    limit: int = 100


def search(connection: Connection, wanted: Filter) -> list[Order]:
    """Return orders, the newest first."""
    statement = select(orders.c.body).order_by(orders.c.created_us.desc(), orders.c.order_id.desc())
    for name in ("kind", "state", "bank", "account"):
        value = getattr(wanted, name)
        if value:
            statement = statement.where(orders.c[name] == value)
    if wanted.after is not None:
        statement = statement.where(tuple_(orders.c.created_us, orders.c.order_id) < wanted.after)
    return [decode_order(body) for body in connection.execute(statement.limit(min(wanted.limit, MAX_PAGE))).scalars()]


def every(connection: Connection, after: str, limit: int) -> list[Order]:
    """Return orders by id, those after ``after``; for going over all of them."""
    statement = select(orders.c.body).where(orders.c.order_id > after).order_by(orders.c.order_id).limit(limit)
    return [decode_order(body) for body in connection.execute(statement).scalars()]


def counts(connection: Connection) -> list[tuple[str, str, str, int, int]]:
    """Return ``(kind, state, bank, number, earliest state_since_us)`` of all orders."""
    columns = (orders.c.kind, orders.c.state, orders.c.bank)
    statement = select(*columns, func.count(), func.min(orders.c.state_since_us)).group_by(*columns)
    return [(kind, state, bank, number, since) for kind, state, bank, number, since in connection.execute(statement)]


def lapsing(connection: Connection, states: Iterable[str], before_us: int) -> dict[tuple[str, str], int]:
    """Return by kind and bank how many orders in ``states`` expire before a time."""
    statement = (
        select(orders.c.kind, orders.c.bank, func.count())
        .where(orders.c.state.in_(list(states)), orders.c.expire_us.between(1, before_us))
        .group_by(orders.c.kind, orders.c.bank)
    )
    return {(kind, bank): number for kind, bank, number in connection.execute(statement)}
