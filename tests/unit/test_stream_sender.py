"""A write that a producer refuses: which end it is for the worker, and what is kept from it beforehand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from models.wire import MAX_CONTENT_BYTES, MAX_LETTER_KEY_BYTES, MAX_MESSAGE_BYTES, dead_letter, encode
from stream import sender as sender_module
from stream.exitcodes import RESTART_CODES, ExitCode
from stream.sender import Sender, Ticket

NOWHERE = "127.0.0.1:9"

FATES = [
    (KafkaError(KafkaError._FATAL, "gone", True), ExitCode.PRODUCER_FATAL),
    (KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "gone", True), ExitCode.PRODUCER_FATAL),
    (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), ExitCode.MISCONFIGURED),
    (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), ExitCode.MISCONFIGURED),
    (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), ExitCode.UNCONFIRMED),
    (KafkaError(KafkaError._MSG_TIMED_OUT), ExitCode.UNCONFIRMED),
]


class Ended(Exception):
    """Stands for the end of the process."""


def end(code: ExitCode, reason: str) -> NoReturn:
    raise Ended(code, reason)


def new_sender() -> Sender:
    return Sender(NOWHERE, linger_ms=1.0, confirm_timeout_s=4.0, end=end)


def code_of(work: Callable[[], object]) -> ExitCode:
    with pytest.raises(Ended) as caught:
        work()
    code: ExitCode = caught.value.args[0]
    return code


class Refusing:
    """A producer that answers every call with one error, as librdkafka does once it has failed."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error

    def produce(self, *_args: Any) -> None:
        raise KafkaException(self._error)

    def poll(self, _timeout_s: float) -> int:
        raise KafkaException(self._error)

    def purge(self, **_which: bool) -> None:
        """Take back what is queued, which is nothing."""


@pytest.mark.parametrize(("error", "code"), FATES)
def test_a_refused_write_ends_the_worker_with_a_code_for_what_helps(
    error: KafkaError, code: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "Producer", lambda _settings: Refusing(error))
    sender = new_sender()
    assert code_of(lambda: sender.ticket(lambda: None).send("credits", b"k", b"v")) is code
    assert code_of(sender.collect) is code
    assert code_of(lambda: sender.note_delivery(error, SimpleNamespace(topic=lambda: "credits"))) is code


def grow_old(_sender: Sender, ticket: Ticket) -> None:
    ticket.sent_s -= 60.0


def fail_another(sender: Sender, _ticket: Ticket) -> None:
    sender.note_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), SimpleNamespace(topic=lambda: "credits"))


@pytest.mark.parametrize("fail", [grow_old, fail_another])
def test_behind_a_write_that_failed_nothing_queued_leaves_and_none_of_it_counts_as_confirmed(
    fail: Callable[[Sender, Ticket], None],
) -> None:
    done: list[bool] = []
    sender = new_sender()
    ticket = sender.ticket(lambda: done.append(True))
    for value in (b"earlier", b"later"):
        ticket.send("credits", b"k", value)
    ticket.seal()

    def work() -> None:
        fail(sender, ticket)
        sender.collect()

    assert code_of(work) is ExitCode.UNCONFIRMED
    assert not sender.settle(10.0)
    assert (len(sender._producer), done) == (0, [])


def test_librdkafka_refuses_what_is_too_large_and_the_worker_is_not_started_again() -> None:
    ticket = new_sender().ticket(lambda: None)
    code = code_of(lambda: ticket.send("credits", b"k", b"v" * (MAX_MESSAGE_BYTES + 1)))
    assert code is ExitCode.MISCONFIGURED
    assert code not in RESTART_CODES


def test_what_counts_as_fitting_is_taken_by_the_producer() -> None:
    sender = new_sender()
    sender.ticket(lambda: None).send("credits", b"k" * 1_000, b"v" * (MAX_CONTENT_BYTES - 1_000))
    assert sender.unconfirmed == 1
    sender.withdraw()


def test_the_largest_dead_letter_fits() -> None:
    letter = dead_letter(
        topic="transfers",
        partition=0,
        offset=0,
        key=b"\xff" * 2_000_000,
        value=b"\xff" * 2_000_000,
        reason="malformed",
        detail="\x00" * 2_000,
        program="w" * 64,
        seen_us=1,
    )
    assert len(encode(letter)) + MAX_LETTER_KEY_BYTES < MAX_CONTENT_BYTES


def test_a_producer_that_has_failed_needs_a_new_process() -> None:
    assert ExitCode.PRODUCER_FATAL in RESTART_CODES
