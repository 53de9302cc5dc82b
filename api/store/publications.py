"""Records for topics, committed with the state they follow from and sent afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, select

from api.store.tables import publications
from models.wire import Topic, encode


class Publication(msgspec.Struct, frozen=True):
    """A record that waits for its topic."""

    id: int
    topic: str
    key: bytes
    value: bytes


def publish(connection: Connection, topic: Topic, key: str, record: msgspec.Struct, wall_us: int) -> None:
    """Put a record among those that wait for their topic.

    Its number is drawn now: the order of numbers is that of commits if no other replica may publish until this commits.
    """
    connection.execute(
        publications.insert().values(topic=topic.value, key=key.encode(), value=encode(record), created_wall_us=wall_us)
    )


def unpublished(connection: Connection, limit: int) -> list[Publication]:
    """Return records that wait, in the order in which they were committed."""
    columns = (publications.c.id, publications.c.topic, publications.c.key, publications.c.value)
    statement = select(*columns).order_by(publications.c.id).limit(limit)
    return [Publication(*row) for row in connection.execute(statement)]


def oldest_wall_us(connection: Connection) -> int | None:
    """Return when the record that has waited longest was committed for its topic, or ``None`` if none waits."""
    statement = select(publications.c.created_wall_us).order_by(publications.c.id).limit(1)
    return connection.execute(statement).scalar_one_or_none()


def remove(connection: Connection, ids: Sequence[int]) -> None:
    """Forget records that the broker has confirmed."""
    connection.execute(delete(publications).where(publications.c.id.in_(ids)))
