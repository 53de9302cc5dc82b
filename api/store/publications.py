"""Records for topics, committed with the state they follow from and sent afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select, update

from api.store.tables import publications
from models.wire import Topic, encode


class Publication(msgspec.Struct, frozen=True):
    """A record that waits for its topic."""

    id: int
    topic: str
    key: bytes
    value: bytes


def publish(connection: Connection, topic: Topic, key: str, record: msgspec.Struct, wall_us: int) -> None:
    """Put a record among those that wait for their topic."""
    connection.execute(
        publications.insert().values(topic=topic.value, key=key.encode(), value=encode(record), created_wall_us=wall_us)
    )


def unpublished(connection: Connection, limit: int) -> list[Publication]:
    """Return records that wait, in the order they were made."""
    columns = (publications.c.id, publications.c.topic, publications.c.key, publications.c.value)
    statement = select(*columns).where(publications.c.published_wall_us == 0).order_by(publications.c.id).limit(limit)
    return [Publication(*row) for row in connection.execute(statement)]


def published(connection: Connection, ids: Sequence[int], wall_us: int) -> None:
    """Note that the broker has confirmed records."""
    connection.execute(update(publications).where(publications.c.id.in_(ids)).values(published_wall_us=wall_us))
