"""Sends records to topics and tells when the broker has confirmed them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from models.wire import MAX_MESSAGE_BYTES, PARTITIONER

log = structlog.get_logger(__name__)

POLL_S: Final = 0.1
PROBE_EVERY_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 0.5
MAX_QUEUED: Final = 50_000
STOP_TIMEOUT_S: Final = 3.0


class BrokerAway(Exception):
    """The broker has not confirmed a record; it may or may not have it."""


class Record(msgspec.Struct, frozen=True):
    """A record to send; headers as librdkafka takes them."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class _Batch:
    """Records sent together. Touched by the loop's thread and by the poll thread."""

    def __init__(self, size: int, future: asyncio.Future[list[bool]]) -> None:
        self.confirmed = [False] * size
        self.future = future
        self._left = size
        self._lock = threading.Lock()

    def done(self, place: int, confirmed: bool) -> bool:
        """Note one record; return whether it was the last."""
        self.confirmed[place] = confirmed
        with self._lock:
            self._left -= 1
            return self._left == 0


class TopicProducer:
    """An idempotent producer. `send` is for the event loop; confirmations come from a thread that polls.

    ``away`` is set when librdkafka has lost all brokers, so that requests are
    answered at once instead of after ``confirm_timeout_s``. ``on_failure`` is
    called, from any thread, when librdkafka says that it can send nothing any more.
    Records name their topics without ``topic_prefix``.
    """

    def __init__(
        self, broker: str, *, linger_ms: float = 1.0, confirm_timeout_s: float = 5.0, topic_prefix: str = ""
    ) -> None:
        self._prefix = topic_prefix
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": linger_ms,
                "message.timeout.ms": int(confirm_timeout_s * 1000),
                "partitioner": PARTITIONER,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "queue.buffering.max.messages": MAX_QUEUED,
                "error_cb": self._on_error,
                "log_level": 2,
            }
        )
        self.away = threading.Event()
        self.on_failure: Callable[[], object] = lambda: None
        self._stopping = threading.Event()
        self._finished: list[_Batch] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._poll_for_ever, name="producer", daemon=True)
        self._probed_s = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread that collects confirmations for ``loop``."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Wait a little for what is under way, then stop."""
        self._producer.flush(STOP_TIMEOUT_S)
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    async def send(self, records: Sequence[Record]) -> list[bool]:
        """Send records and return for each whether the broker confirmed it; raise `BrokerAway` if none can be sent.

        A record that the producer refuses, as one too large, is not confirmed; the others are sent all the same.
        """
        if self.away.is_set():
            raise BrokerAway("no broker answers")
        if not records:
            return []
        batch = _Batch(len(records), asyncio.get_running_loop().create_future())
        for place, record in enumerate(records):
            self._produce(record, partial(self._delivered, batch, place))
        return await batch.future

    async def send_all(self, records: Sequence[Record]) -> None:
        """Send records; raise `BrokerAway` unless every one is confirmed."""
        if not all(await self.send(records)):
            raise BrokerAway("the broker did not confirm every record")

    def reachable(self) -> bool:
        """Return whether a broker answers now; blocks up to `PROBE_TIMEOUT_S`."""
        try:
            return bool(self._producer.list_topics(timeout=PROBE_TIMEOUT_S).brokers)
        except KafkaException:
            return False

    def _produce(self, record: Record, delivered: Callable[[KafkaError | None, Message | None], None]) -> None:
        try:
            self._producer.produce(
                self._prefix + record.topic,
                record.value,
                record.key,
                on_delivery=delivered,
                headers=list(record.headers),
            )
        except BufferError:
            delivered(KafkaError(KafkaError._QUEUE_FULL), None)
        except KafkaException as error:
            delivered(error.args[0], None)

    def _delivered(self, batch: _Batch, place: int, error: KafkaError | None, _message: Message | None) -> None:
        if batch.done(place, error is None):
            self._finish(batch)
        if error is not None:
            log.warning("a record was not confirmed", error=str(error))
            self._fail_if_fatal(error)
        elif self.away.is_set():
            self.away.clear()

    def _poll_for_ever(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(POLL_S)
            except KafkaException as error:
                self._fail_if_fatal(error.args[0])
            if self._finished:
                self._hand_over()
            if self.away.is_set() and time.monotonic() - self._probed_s > PROBE_EVERY_S:
                self._probe()

    def _probe(self) -> None:
        self._probed_s = time.monotonic()
        if self.reachable():
            log.info("the broker is back")
            self.away.clear()

    def _finish(self, batch: _Batch) -> None:
        """Collect what the poll thread finished; a record that was never queued fails in the caller's thread."""
        if threading.current_thread() is self._thread:
            self._finished.append(batch)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(_resolve, [batch])

    def _hand_over(self) -> None:
        finished, self._finished = self._finished, []
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, finished)

    def _fail_if_fatal(self, error: KafkaError) -> None:
        """Tell of an error that no waiting cures; what is under way is still answered, as unconfirmed."""
        if error.fatal() or error.code() == KafkaError._FATAL:
            log.critical("the producer has failed", error=str(error))
            self.on_failure()

    def _on_error(self, error: KafkaError) -> None:
        self._fail_if_fatal(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self.away.is_set():
            log.error("no broker answers", error=str(error))
            self.away.set()


def _resolve(batches: list[_Batch]) -> None:
    for batch in batches:
        if not batch.future.done():
            batch.future.set_result(batch.confirmed)
