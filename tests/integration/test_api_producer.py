"""What becomes of a record that the api's producer refuses, and of a producer that has failed for good."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import REGISTRY

from api import intake, producer
from api.producer import Record, TopicProducer
from models.wire import MAX_MESSAGE_BYTES, Topic
from stream.broker import EmbeddedBroker
from tests.apikit import kill, running, settings_for, transfer, until

FATAL = KafkaError(KafkaError._FATAL, "fenced", True)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    embedded = EmbeddedBroker()
    yield embedded
    embedded.close()


def record(size: int) -> Record:
    return Record(Topic.TRANSFERS.value, b"icbc/1", b"x" * size)


async def test_a_record_too_large_is_unconfirmed_and_keeps_nothing_else_from_going(broker: EmbeddedBroker) -> None:
    failures: list[str] = []
    sender = TopicProducer(broker.bootstrap)
    sender.on_failure = lambda: failures.append("failed")
    sender.start(asyncio.get_running_loop())
    try:
        too_large = MAX_MESSAGE_BYTES + 1
        assert await sender.send([record(10), record(too_large), record(20)]) == [True, False, True]
        assert await sender.send([record(too_large)]) == [False]
        assert await sender.send([record(30)]) == [True]
    finally:
        sender.stop()
    assert failures == []


class Failed:
    """A producer of librdkafka after a fatal error: the event is raised by one poll, produce is refused for ever."""

    def __init__(self, _settings: dict[str, Any]) -> None:
        self._told = False

    def produce(self, *_args: Any, **_more: Any) -> None:
        raise KafkaException(FATAL)

    def poll(self, timeout_s: float) -> int:
        if not self._told:
            self._told = True
            raise KafkaException(FATAL)
        time.sleep(min(timeout_s, 0.01))
        return 0

    def flush(self, _timeout_s: float) -> int:
        return 0


async def test_a_producer_that_has_failed_tells_and_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "Producer", Failed)
    failed = threading.Semaphore(0)
    sender = TopicProducer("nowhere")
    sender.on_failure = failed.release
    sender.start(asyncio.get_running_loop())
    try:
        assert await asyncio.to_thread(failed.acquire, timeout=60)
        assert await sender.send([record(1), record(2)]) == [False, False]
        assert await asyncio.to_thread(failed.acquire, timeout=60)
    finally:
        sender.stop()


async def test_a_post_whose_record_no_producer_takes_is_a_503_and_the_next_one_is_accepted(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Record] = intake._record

    def fat(*args: Any) -> Record:
        return msgspec.structs.replace(real(*args), value=b"x" * (MAX_MESSAGE_BYTES + 1))

    async with running(settings_for(broker.bootstrap, tmp_path)) as api:
        body = msgspec.to_builtins(transfer())
        monkeypatch.setattr(intake, "_record", fat)
        for path, content in (("/v1/transfers", body), ("/v1/transfers:batch", {"transfers": [body]})):
            answer = await api.post(path, content, who="icbc")
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_away")
            assert answer.headers["retry-after"]
        monkeypatch.undo()
        assert (await api.post("/v1/transfers", body, who="icbc")).json()["status"] == "accepted"


async def test_a_failed_producer_ends_the_api(broker: EmbeddedBroker, tmp_path: Path) -> None:
    async with running(settings_for(broker.bootstrap, tmp_path)) as api:
        assert api.runtime.exit_code == 0
        api.runtime.producer._on_error(FATAL)

        async def ended() -> bool:
            return api.runtime.exit_code == 1

        await until(ended)


async def test_a_broker_that_is_gone_shows_without_a_post(tmp_path: Path) -> None:
    def away() -> float | None:
        return REGISTRY.get_sample_value("sluice_broker_away")

    async def here() -> bool:
        return away() == 0

    async def shown() -> bool:
        return away() == 1

    brief = EmbeddedBroker()
    async with running(settings_for(brief.bootstrap, tmp_path)):
        await until(here)
        await kill(brief)
        await until(shown)
