"""The one producer of a worker: sends at once, and counts what the broker has confirmed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer

from models.wire import MAX_MESSAGE_BYTES, PARTITIONER
from stream.crash import End
from stream.exitcodes import ExitCode

PUMP_S: Final = 0.001
"""How often confirmations are collected while something is unconfirmed."""

MAX_UNCONFIRMED: Final = 20_000
"""Records a worker may have unconfirmed before its stages wait."""

ANY_PARTITION: Final = -1

REFUSED_FOR_GOOD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""Errors of a write that meet the next process as well, so that a person has to look."""

Headers = list[tuple[str, bytes]] | None


def exit_code_of(error: KafkaError) -> ExitCode:
    """Return how a worker ends over a write that failed.

    >>> exit_code_of(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)).name
    'MISCONFIGURED'
    """
    if error.fatal() or error.code() == KafkaError._FATAL:
        return ExitCode.PRODUCER_FATAL
    return ExitCode.MISCONFIGURED if error.code() in REFUSED_FOR_GOOD else ExitCode.UNCONFIRMED


class Ticket:
    """Records sent together; calls ``done`` once the broker has confirmed all of them."""

    __slots__ = ("_done", "_left", "_sealed", "_sender", "offsets", "sent_s")

    def __init__(self, sender: Sender, done: Callable[[], None]) -> None:
        self._sender = sender
        self._done = done
        self._left = 0
        self._sealed = False
        self.sent_s = time.monotonic()
        self.offsets: dict[int, int] = {}
        """Last confirmed offset by partition; meant for records of one topic."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        *,
        partition: int = ANY_PARTITION,
        headers: Headers = None,
    ) -> None:
        """Hand one record to the producer."""
        self._left += 1
        self._sender.produce(topic, key, value, partition, headers, self._confirmed)

    def seal(self) -> None:
        """Say that nothing more belongs to this ticket."""
        self._sealed = True
        if self._left:
            self._sender.watch(self)
        else:
            self._done()

    @property
    def confirmed(self) -> bool:
        """Whether the broker has confirmed everything."""
        return self._sealed and not self._left

    def _confirmed(self, error: KafkaError | None, record: Any) -> None:
        if not self._sender.note_delivery(error, record):
            return
        self._left -= 1
        self.offsets[record.partition()] = record.offset()
        if self._sealed and not self._left:
            self._done()


class Sender:
    """An idempotent producer that waits for all replicas, and ends the worker over a write in doubt or refused.

    A write is in doubt after ``confirm_timeout_s``, which is shorter than the
    group's session timeout: so a worker that was given up has nothing left that
    could land over its successor's records. What is still queued behind such a write
    is withdrawn before anything else: the successor takes an account's later record
    for proof of the earlier ones. Topics are named without ``topic_prefix``.
    """

    def __init__(
        self, broker: str, *, linger_ms: float, confirm_timeout_s: float, end: End, topic_prefix: str = ""
    ) -> None:
        self._prefix = topic_prefix
        self._end = end
        self._timeout_s = confirm_timeout_s
        self._tickets: deque[Ticket] = deque()
        self._sent = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.unconfirmed = 0
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": linger_ms,
                "message.timeout.ms": int(confirm_timeout_s * 1000),
                "partitioner": PARTITIONER,
                "compression.type": "lz4",
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "log_level": 2,
            }
        )

    def ticket(self, done: Callable[[], None]) -> Ticket:
        """Open a ticket for records that belong together."""
        return Ticket(self, done)

    def produce(  # noqa: PLR0917 - called for every record, where keywords cost
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        partition: int,
        headers: Headers,
        confirmed: Callable[[Any, Any], None],
    ) -> None:
        """Put a record into the producer's queue; one that refuses it ends the worker (see `MAX_UNCONFIRMED`)."""
        try:
            name = self._prefix + topic
            self._producer.produce(name, value, key, partition, confirmed, None, 0, headers)  # type: ignore[arg-type]
        except BufferError:
            self._end(ExitCode.UNCONFIRMED, f"the producer's queue is full with {self.unconfirmed} records")
        except KafkaException as error:
            self._end_over(error.args[0], f"a write of {len(value)} bytes to {topic} was refused")
        self.unconfirmed += 1

    def watch(self, ticket: Ticket) -> None:
        """Watch the age of a ticket until it is confirmed."""
        self._tickets.append(ticket)
        self._sent.set()
        if self.unconfirmed > MAX_UNCONFIRMED:
            self._room.clear()

    def note_delivery(self, error: KafkaError | None, record: Any) -> bool:
        """Return whether the broker has confirmed a record, and count it. One that failed ends the worker."""
        if error is not None:
            if error.code() != KafkaError._PURGE_QUEUE:  # else we have withdrawn it
                self.withdraw()
                self._end_over(error, f"a write to {record.topic()} failed")
            return False
        self.unconfirmed -= 1
        return True

    def _end_over(self, error: KafkaError, what: str) -> NoReturn:
        self._end(exit_code_of(error), f"{what}: {error.str()}")

    async def room(self) -> None:
        """Wait until fewer than `MAX_UNCONFIRMED` records are unconfirmed."""
        await self._room.wait()

    async def pump(self) -> None:
        """Collect confirmations for ever; costs nothing while nothing is under way."""
        while True:
            await self._sent.wait()
            self.collect()
            if not self._tickets:
                self._sent.clear()
            await asyncio.sleep(PUMP_S)

    def collect(self) -> None:
        """Take the confirmations that have come, and look at the age of the oldest ticket."""
        try:
            self._producer.poll(0)
        except KafkaException as error:
            self.withdraw()
            self._end_over(error.args[0], "the producer failed")
        tickets = self._tickets
        while tickets and tickets[0].confirmed:
            tickets.popleft()
        if tickets and time.monotonic() - tickets[0].sent_s > self._timeout_s:
            self.withdraw()
            self._end(ExitCode.UNCONFIRMED, f"a write was not confirmed within {self._timeout_s:g} s")
        if self.unconfirmed <= MAX_UNCONFIRMED:
            self._room.set()

    def settle(self, timeout_s: float) -> bool:
        """Wait for what is under way; return whether all of it was confirmed."""
        return self._producer.flush(timeout_s) == 0 and self.unconfirmed == 0

    def withdraw(self) -> None:
        """Drop what has not been sent yet; never blocks."""
        self._producer.purge(in_queue=True, in_flight=False, blocking=False)
