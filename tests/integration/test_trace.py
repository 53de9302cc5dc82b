"""One transfer keeps its trace from the bank's request through both stages to the assessment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from models.wire import Topic
from stream.broker import EmbeddedBroker
from telemetry.tracing import TRACEPARENT, Trace, format_traceparent, trace_of
from tests.apikit import JSON, key_of, running, settings_for, transfer
from tests.streamkit import WAIT_S, WorkerProcess

BANKS_OWN = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


def traces_on(broker: str, topic: Topic, wanted: int, decode: Callable[[bytes], Any]) -> dict[str, Trace]:
    """Return the trace of each transfer on a topic, once there are ``wanted`` of them."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "eye", "enable.auto.commit": False})
    places = consumer.list_topics(topic.value, timeout=WAIT_S).topics[topic.value].partitions
    consumer.assign([TopicPartition(topic.value, place, OFFSET_BEGINNING) for place in places])
    found: dict[str, Trace] = {}
    polls = int(WAIT_S / 0.1)
    while len(found) < wanted and polls:
        polls -= 1
        message = consumer.poll(0.1)
        if message is None or message.error():
            continue
        value: dict[str, Any] = decode(message.value() or b"")
        trace = trace_of(message.headers())
        assert trace is not None, f"a record on {topic} without a trace"
        found[value.get("transfer", value)["transfer_id"]] = trace
    consumer.close()
    return found


@pytest.mark.asyncio
async def test_a_transfer_keeps_its_trace(tmp_path: Path) -> None:
    broker = EmbeddedBroker()
    worker = WorkerProcess(broker.bootstrap, tmp_path)
    async with running(settings_for(broker.bootstrap, tmp_path)) as api:
        worker.start()
        try:
            for name, headers in (("own", {TRACEPARENT: format_traceparent(BANKS_OWN)}), ("none", {})):
                answer = await api.client.post(
                    "/v1/transfers",
                    content=msgspec.json.encode(transfer(transfer_id=name)),
                    headers=key_of("icbc") | JSON | headers,
                )
                assert answer.status_code == 202, answer.text
            seen = [
                traces_on(broker.bootstrap, Topic.TRANSFERS, 2, msgspec.json.decode),
                traces_on(broker.bootstrap, Topic.CREDITS, 2, msgspec.msgpack.decode),
                traces_on(broker.bootstrap, Topic.ASSESSMENTS, 2, msgspec.json.decode),
            ]
        finally:
            worker.stop()
    posted, credited, assessed = seen
    assert posted == credited == assessed
    assert posted["own"].trace_id == BANKS_OWN.trace_id
    assert posted["own"].sampled
    assert posted["none"].trace_id != BANKS_OWN.trace_id
    assert not posted["none"].sampled
