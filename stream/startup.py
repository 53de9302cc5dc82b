"""What every program of the stream does first: wait for the broker, and see to the topics."""

from __future__ import annotations

from typing import Final

import structlog
from confluent_kafka import KafkaException

from stream.exitcodes import ExitCode
from stream.settings import StreamSettings, WorkerSettings
from stream.topics import BrokerAway, TopicMismatch, admin_client, ensure_topics, is_embedded, wait_for_broker

EMBEDDED_WAIT_MS: Final = 5

log = structlog.get_logger(__name__)


def prepare_broker(settings: StreamSettings) -> ExitCode:
    """Wait for the broker and see to the topics; return `ExitCode.OK` or why it did not work."""
    try:
        wait_for_broker(settings.broker, settings.broker_wait_s)
        log.info("broker answers", broker=settings.broker)
        ensure_topics(settings.broker, settings.partitions, replication=settings.replication, group=settings.group)
    except BrokerAway as error:
        log.error("broker away", reason=str(error))
        return ExitCode.BROKER_AWAY
    except (TopicMismatch, KafkaException) as error:
        log.error("topics do not fit", reason=str(error))
        return ExitCode.MISCONFIGURED
    return ExitCode.OK


def fetch_wait_ms(settings: WorkerSettings) -> int:
    """Return how long the broker may hold an answer: the embedded one would hold it although records have come."""
    return (
        min(settings.fetch_wait_ms, EMBEDDED_WAIT_MS)
        if is_embedded(admin_client(settings.broker))
        else settings.fetch_wait_ms
    )
