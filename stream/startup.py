"""What every program of the stream does first: wait for the broker, and see to the topics."""

from __future__ import annotations

import structlog
from confluent_kafka import KafkaException

from stream.exitcodes import ExitCode
from stream.settings import StreamSettings
from stream.topics import BrokerAway, TopicMismatch, ensure_topics, wait_for_broker

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
