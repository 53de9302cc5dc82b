"""What tests of the stream need: transfers, a worker in a process of its own, and eyes on topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from models.money.types import AccountId, Transfer
from models.risk.assessment import Assessment, StageTimes
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.scorer import Scorer
from models.wire import (
    ACCEPTED_HEADER,
    PARTITIONER,
    ControlEntry,
    DeadLetter,
    Topic,
    TransferRecord,
    decode_assessment,
    decode_dead_letter,
    encode,
)
from stream.controls import NO_LISTS
from stream.kafka import KafkaUnavailable, LocalKafka, java_program, kafka_jars
from tests.conftest import require

START_US = 1_700_000_000_000_000
READY_TIMEOUT_S = 120.0
WAIT_S = 60.0
"""Only a failure waits this long; a busy machine is no failure."""


def transfer(number: int, payer: str = "A1", payee: str = "B1", **fields: Any) -> TransferRecord:
    """Return a valid transfer; ``number`` makes its id, amount and time."""
    values = {
        "transfer_id": f"t-{number}",
        "payer_bank": "icbc",
        "payer_account": payer,
        "payee_bank": "ccb",
        "payee_account": payee,
        "amount_fen": 10_000 + number,
        "occurred_us": START_US + number * 1_000_000,
        **fields,
    }
    return TransferRecord(**values)


def new_producer(address: str, **settings: Any) -> Producer:
    return Producer({"bootstrap.servers": address, "partitioner": PARTITIONER, "log_level": 2, **settings})


def post(address: str, transfers: Iterable[TransferRecord], **settings: Any) -> int:
    """Write transfers as a bank would and wait for the broker; return how many."""
    producer = new_producer(address, **settings)
    count = 0
    for record in transfers:
        header = {ACCEPTED_HEADER: str(time.time_ns() // 1000).encode()}
        producer.produce(Topic.TRANSFERS, encode(record), record.payer.encode(), headers=header)
        producer.poll(0)
        count += 1
    assert producer.flush(WAIT_S) == 0
    return count


def post_raw(
    address: str, topic: str, key: bytes | None, value: bytes | None, *, partition: int = -1, headers: Any = None
) -> None:
    """Write any bytes."""
    producer = new_producer(address)
    producer.produce(topic, value, key, partition, headers=headers)
    assert producer.flush(WAIT_S) == 0


def post_control(address: str, entry: ControlEntry) -> None:
    post_raw(address, Topic.CONTROLS, entry.account.encode(), encode(entry))


class Eye:
    """Reads a topic from its beginning, and goes on."""

    def __init__(self, address: str, topic: str, decode: Callable[[bytes], Any], *, headers: bool = False) -> None:
        self._decode = decode
        self._with_headers = headers
        told = {"group.id": "eye", "auto.offset.reset": "earliest", "enable.partition.eof": True, "log_level": 2}
        self._consumer = Consumer({"bootstrap.servers": address, **told})
        self._topic = topic
        partitions = self._consumer.list_topics(topic, timeout=WAIT_S).topics[topic].partitions
        self._next = dict.fromkeys(partitions, OFFSET_BEGINNING)
        self._unread: set[int] = set()
        self._assign()
        self.seen: list[Any] = []

    def _assign(self) -> None:
        """Read on from where we are; the end of every partition is told anew."""
        self._unread = set(self._next)
        self._consumer.assign([TopicPartition(self._topic, number, at) for number, at in self._next.items()])

    def look(self, timeout_s: float = 0.2) -> bool:
        """Read what comes next; return whether anything came."""
        record = self._consumer.poll(timeout_s)
        if record is None:
            return False
        if record.error() is not None:
            if record.error().code() == KafkaError._PARTITION_EOF:
                self._unread.discard(record.partition())
            return False
        self._next[record.partition()] = record.offset() + 1
        found = self._decode(record.value())
        self.seen.append((record.headers(), found) if self._with_headers else found)
        return True

    def until(self, done: Callable[[Sequence[Any]], bool], timeout_s: float = WAIT_S) -> list[Any]:
        """Read until ``done`` says so of what was seen; fail after ``timeout_s`` seconds."""
        deadline = time.monotonic() + timeout_s
        while not done(self.seen):
            if not self.look() and time.monotonic() > deadline:
                pytest.fail(f"waited {timeout_s:g} s in vain; seen: {len(self.seen)}, last: {self.seen[-1:]}")
        return self.seen

    def settle(self, quiet_s: float = 1.0) -> list[Any]:
        """Read to the topic's end, and on until nothing has come for ``quiet_s`` seconds."""
        self._assign()
        quiet_since = time.monotonic()
        deadline = quiet_since + WAIT_S
        while self._unread or time.monotonic() - quiet_since < quiet_s:
            if self.look():
                quiet_since = time.monotonic()
            elif self._unread and time.monotonic() > deadline:
                pytest.fail(f"the broker tells nothing of partitions {self._unread}")
        return self.seen

    def close(self) -> None:
        self._consumer.close()


def assessments(address: str) -> Eye:
    return Eye(address, Topic.ASSESSMENTS, decode_assessment)


def dead_letters(address: str) -> Eye:
    return Eye(address, Topic.DEAD_LETTERS, decode_dead_letter)


def ids(found: Iterable[Assessment], prefix: str = "") -> list[str]:
    return [item.transfer.transfer_id for item in found if item.transfer.transfer_id.startswith(prefix)]


def letters_of(found: Iterable[DeadLetter], topic: str) -> list[DeadLetter]:
    return [letter for letter in found if letter.topic == topic]


def undated(found: Assessment) -> Assessment:
    """Return an assessment without the stage times, its only part that differs between live and replay."""
    return msgspec.structs.replace(found, stages=StageTimes())


def replay(transfers: Iterable[TransferRecord]) -> dict[str, Assessment]:
    """Return the assessment of each transfer, scored one after the other with a dictionary of profiles."""
    scorer, profiles = Scorer(), defaultdict[AccountId, AccountProfile](lambda: EMPTY_PROFILE)
    found = {}
    for record in transfers:
        plain = Transfer(**{name: getattr(record, name) for name in Transfer.__struct_fields__})
        debited = scorer.debit(profiles[record.payer], plain)
        if debited.view is None:
            continue
        profiles[record.payer] = debited.profile
        credited = scorer.credit(profiles[record.payee], plain, debited.view, NO_LISTS)
        profiles[record.payee] = credited.profile
        (found[record.transfer_id],) = scorer.judge([credited.draft])
    return found


class Program:
    """A program as an operator starts it: ``sluice COMMAND`` with settings in the environment."""

    def __init__(self, command: str, folder: Path, name: str, *, module: str = "cli.main", **settings: Any) -> None:
        self._command = [sys.executable, "-m", module, command]
        self._ready = folder / f"{name}.ready"
        self.log = folder / f"{name}.log"
        self._env = {
            **os.environ,
            "SLUICE_READY_FILE": str(self._ready),
            **{f"SLUICE_{key.upper()}": str(value) for key, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Self:
        self._ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    @property
    def ready(self) -> bool:
        return self._ready.exists()

    @property
    def url(self) -> str:
        """Where it answers, if it is one that serves."""
        return self._ready.read_text().strip()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.ready:
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{' '.join(self._command[2:])} is not ready:\n{self.tail()}")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """Return the exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def stop(self) -> int | None:
        """Stop in order; kill what does not go."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""

    def events(self) -> list[dict[str, Any]]:
        """Return its log lines."""
        lines = self.log.read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]


class WorkerProcess(Program):
    """``sluice worker``; ready once it scores."""

    def __init__(
        self, address: str, folder: Path, name: str = "worker", *, module: str = "cli.main", **settings: Any
    ) -> None:
        own = {"broker": address, "worker_id": name, "data_dir": folder / name}
        super().__init__("worker", folder, name, module=module, **(own | settings))


def require_kafka() -> None:
    """Skip (in CI: fail) without Java or the broker's jars."""
    require(java_program() is not None, "Java 17")
    try:
        kafka_jars()
    except KafkaUnavailable as error:
        require(False, f"Apache Kafka ({error})")


def running_kafka(folder: Path) -> Iterator[LocalKafka]:
    """Yield a real Kafka; for use in fixtures."""
    require_kafka()
    with LocalKafka(folder / "kafka") as kafka:
        yield kafka
