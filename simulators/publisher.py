"""Publishes simulated transfers to the topic ``transfers`` on a fixed schedule, without their labels.

Open loop: the i-th transfer is due at the start plus i over the rate, whatever
the broker does, and is dated (`ACCEPTED_HEADER`) by that time, not by when it
was sent. So a slow system cannot hide its latency by slowing the load down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from models.money.types import Transfer, us_from_iso
from models.wire import ACCEPTED_HEADER, Topic, TransferRecord, encode
from simulators.plan import DAY_US
from simulators.rehearsal import simulate
from simulators.settings import SimulateSettings
from telemetry.clock import wall_us

FLUSH_TIMEOUT_S: Final = 60.0
IDLE_S: Final = 0.001
PROGRESS_EVERY: Final = 1_000


class PublishFailed(Exception):
    """The broker did not confirm every transfer."""

    def __init__(self, failed: int, sent: int, first: BaseException) -> None:
        super().__init__(f"{failed} of {sent} transfers were not confirmed by the broker, the first for: {first!r}")


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What was published; ``worst_late_ms`` is how far the publisher itself fell behind its schedule."""

    sent: int
    seconds: float
    rate_tps: float
    worst_late_ms: float


def as_record(transfer: Transfer) -> TransferRecord:
    """Return a transfer as it goes onto the topic."""
    return TransferRecord(**{name: getattr(transfer, name) for name in transfer.__struct_fields__})


def publish(
    settings: SimulateSettings, broker: str, *, progress: Callable[[int, float], None] | None = None
) -> Published:
    """Simulate by ``settings`` and publish at ``settings.rate_tps`` transfers per second.

    Ends with the simulated days or after ``settings.limit`` transfers; ``progress`` is
    told the transfers so far and the share done. Raises `PublishFailed` unless the
    broker has confirmed each one.
    """
    start_us, span_us = us_from_iso(settings.start), settings.days * DAY_US

    def tell(sent: int, transfer: Transfer) -> None:
        if progress is not None:
            share = (transfer.occurred_us - start_us) / span_us
            progress(sent, max(share, sent / settings.limit) if settings.limit else share)

    producer = KafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=2, retries=10)
    try:
        return publish_to(
            producer,
            (item.transfer for item in simulate(settings)),
            rate_tps=settings.rate_tps,
            limit=settings.limit,
            topic=settings.topic_prefix + Topic.TRANSFERS,
            tell=tell,
        )
    finally:
        producer.close(timeout=FLUSH_TIMEOUT_S)


def publish_to(
    producer: Any,
    transfers: Iterable[Transfer],
    *,
    rate_tps: float,
    limit: int | None,
    topic: str = Topic.TRANSFERS.value,
    tell: Callable[[int, Transfer], None] = lambda _sent, _latest: None,
) -> Published:
    """Send transfers by the schedule through a kafka-python producer; the key is the payer's account.

    ``tell`` gets how many were sent, and the latest, now and then.
    """
    failures: list[BaseException] = []
    began, start_us = time.monotonic(), wall_us()
    sent, late_s = 0, 0.0
    for transfer in transfers:
        due_s = sent / rate_tps
        while (ahead_s := due_s - (time.monotonic() - began)) > 0:
            time.sleep(max(IDLE_S, ahead_s))
        late_s = max(late_s, -ahead_s)
        accepted = str(start_us + int(due_s * 1_000_000)).encode()
        producer.send(
            topic,
            key=transfer.payer.encode(),
            value=encode(as_record(transfer)),
            headers=[(ACCEPTED_HEADER, accepted)],
        ).add_errback(failures.append)
        sent += 1
        if sent % PROGRESS_EVERY == 0:
            tell(sent, transfer)
        if sent == limit:
            break
    _flush(producer, sent, failures)
    seconds = time.monotonic() - began
    return Published(
        sent=sent,
        seconds=round(seconds, 3),
        rate_tps=round(sent / seconds, 1),
        worst_late_ms=round(late_s * 1000, 1),
    )


def _flush(producer: Any, sent: int, failures: list[BaseException]) -> None:
    try:
        producer.flush(timeout=FLUSH_TIMEOUT_S)
    except KafkaError as error:
        failures.append(error)
    if failures:
        raise PublishFailed(len(failures), sent, failures[0])
