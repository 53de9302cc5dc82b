"""What every program of the stream does first: wait for the broker, and see to the topics."""

from __future__ import annotations

from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException

from stream.exitcodes import ExitCode
from stream.settings import StreamSettings
from stream.topics import BrokerAway, TopicMismatch, admin_client, ensure_topics, is_embedded, wait_for_broker

log = structlog.get_logger(__name__)

AWAY: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}
)
"""Errors that say that nobody answered, not that something is wrong."""


class Prepared(NamedTuple):
    """Whether a program may begin, and with what kind of broker."""

    code: ExitCode
    embedded: bool = False


def make_topics(settings: StreamSettings) -> None:
    """Make the topics of an installation that are missing; raise what `ensure_topics` raises."""
    ensure_topics(
        settings.broker,
        settings.partitions,
        replication=settings.replication,
        group=settings.group,
        prefix=settings.topic_prefix,
    )


def prepare_broker(settings: StreamSettings) -> Prepared:
    """Wait for the broker and see to the topics; tell how it went, or why it did not."""
    try:
        wait_for_broker(settings.broker, settings.broker_wait_s)
        log.info("broker answers", broker=settings.broker)
        make_topics(settings)
        return Prepared(ExitCode.OK, is_embedded(admin_client(settings.broker)))
    except BrokerAway as error:
        log.error("broker away", reason=str(error))
        return Prepared(ExitCode.BROKER_AWAY)
    except TopicMismatch as error:
        log.error("topics do not fit", reason=str(error))
        return Prepared(ExitCode.MISCONFIGURED)
    except KafkaException as error:
        log.error("the broker refuses or has gone", reason=str(error))
        return Prepared(ExitCode.BROKER_AWAY if error.args[0].code() in AWAY else ExitCode.MISCONFIGURED)
