"""The trainer on a broker: what it learns, what it publishes, and that it goes on where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from models.risk.assessment import Assessment, Band
from models.risk.features import FEATURE_NAMES, FEATURE_SET
from models.risk.panel import panel_from_snapshot
from models.signing import verify_snapshot
from models.wire import Topic, Verdict, VerdictLabel, decode_snapshot, encode
from stream.broker import EmbeddedBroker
from stream.settings import TrainerSettings
from stream.topics import ensure_topics
from stream.trainer import Trainer
from telemetry.clock import ManualClock
from tests.streamkit import START_US, WAIT_S, Eye, dead_letters, new_producer, transfer

KEY = "a key for tests"
DAY_US = 86_400_000_000
NEVER = threading.Event()


@pytest.fixture
def address() -> Iterator[str]:
    broker = EmbeddedBroker()
    ensure_topics(broker.bootstrap, 4)
    yield broker.bootstrap
    broker.close()


def assessment(number: int, band: Band = Band.ALLOW) -> Assessment:
    return Assessment(
        transfer=transfer(number),
        risk=0.1,
        band=band,
        reasons=(),
        features=tuple(float(number % 7 + column) for column in range(len(FEATURE_NAMES))),
        feature_set=FEATURE_SET,
        rule_book="r",
        scores=(),
    )


def verdict(number: int, label: VerdictLabel, features: Sequence[float] | None = None) -> Verdict:
    return Verdict(
        transfer_id=f"t-{number}",
        label=label,
        source="analyst",
        decided_us=START_US,
        features=tuple(features or assessment(number).features),
        feature_set=FEATURE_SET,
    )


def send(address: str, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    producer = new_producer(address)
    for key, value in records:
        producer.produce(topic, value, key.encode())
    assert producer.flush(20) == 0


def send_assessments(address: str, found: Sequence[Assessment]) -> None:
    send(address, Topic.ASSESSMENTS, [(a.transfer.payee, encode(a)) for a in found])


def send_verdicts(address: str, found: Sequence[Verdict]) -> None:
    send(address, Topic.VERDICTS, [(v.transfer_id, encode(v)) for v in found])


class Bench:
    """A trainer in this process, stepped by hand."""

    def __init__(self, address: str, folder: Path) -> None:
        self.clock = ManualClock(START_US)
        self._settings = TrainerSettings(
            broker=address, data_dir=folder, snapshot_key=SecretStr(KEY), publish_every_s=3_600, maturity_s=86_400
        )
        self.trainer = self.start()

    def start(self) -> Trainer:
        self.trainer = Trainer(self._settings, clock=self.clock)
        self.trainer.begin(NEVER)
        return self.trainer

    def read(self, topic: str, count: int) -> None:
        """Step until ``count`` records of a topic have been taken."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if sum(self.trainer._positions.get(topic, {}).values()) >= count:
                return
            self.trainer.step()
        pytest.fail(f"{topic} was not read: {self.trainer._positions}")

    @property
    def learned(self) -> dict[str, int]:
        return self.trainer.learner.health().learned


@pytest.fixture
def bench(address: str, tmp_path: Path) -> Bench:
    return Bench(address, tmp_path)


def test_it_learns_verdicts_as_they_say_and_the_undoubted_when_they_have_matured(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(10)] + [assessment(10, Band.STOP)])
    bench.read(Topic.ASSESSMENTS, 11)
    send_verdicts(address, [verdict(0, VerdictLabel.FRAUD), verdict(1, VerdictLabel.HONEST)])
    bench.read(Topic.VERDICTS, 2)
    assert bench.learned == {"fraud": 1, "honest": 1}
    bench.clock.advance(2 * DAY_US)
    bench.trainer.step()
    assert bench.learned == {"fraud": 1, "honest": 9}
    send_verdicts(address, [verdict(10, VerdictLabel.FRAUD), verdict(0, VerdictLabel.FRAUD)])
    bench.read(Topic.VERDICTS, 4)
    assert bench.learned == {"fraud": 2, "honest": 9}


def test_verdicts_are_read_before_anything_old_can_count_as_honest(address: str, tmp_path: Path) -> None:
    send_assessments(address, [assessment(n) for n in range(5)])
    send_verdicts(address, [verdict(n, VerdictLabel.FRAUD) for n in range(5)])
    bench = Bench(address, tmp_path)
    bench.clock.advance(30 * DAY_US)
    bench.read(Topic.ASSESSMENTS, 5)
    assert bench.learned == {"fraud": 5, "honest": 0}


def test_it_publishes_a_signed_snapshot_once_for_each_change(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(50)])
    bench.read(Topic.ASSESSMENTS, 50)
    bench.trainer.publish()
    bench.trainer.publish()
    bench.trainer._producer.flush(WAIT_S)
    eye = Eye(address, Topic.MODELS, decode_snapshot)
    (record,) = eye.settle()
    verify_snapshot(record, key=KEY.encode())
    assert panel_from_snapshot(record.payload).version == record.version == bench.trainer.learner.panel().version
    eye.close()


def test_started_again_it_goes_on_where_it_was(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(30)])
    bench.read(Topic.ASSESSMENTS, 30)
    send_verdicts(address, [verdict(n, VerdictLabel.FRAUD) for n in range(3)])
    bench.read(Topic.VERDICTS, 3)
    bench.trainer.save()
    before = bench.trainer.learner.panel().version
    bench.start()
    assert bench.trainer.learner.panel().version == before
    assert bench.learned == {"fraud": 3, "honest": 0}
    bench.clock.advance(2 * DAY_US)
    send_assessments(address, [assessment(30)])
    bench.read(Topic.ASSESSMENTS, 31)
    assert bench.learned == {"fraud": 3, "honest": 28}


@pytest.mark.parametrize("damage", [b"", b"\x93 torn", b"\x81\xa6format\x02"])
def test_a_state_that_cannot_serve_means_learning_anew(
    bench: Bench, address: str, tmp_path: Path, damage: bytes
) -> None:
    send_assessments(address, [assessment(n) for n in range(5)])
    bench.read(Topic.ASSESSMENTS, 5)
    bench.trainer.save()
    (tmp_path / "trainer.state").write_bytes(damage)
    bench.start()
    bench.read(Topic.ASSESSMENTS, 5)
    assert len(bench.trainer.labels.pending) == 5


def test_poison_is_quarantined_and_other_features_are_left_out(bench: Bench, address: str) -> None:
    send(address, Topic.VERDICTS, [("x", b"not json")])
    send(address, Topic.ASSESSMENTS, [("y", b"{}")])
    send_verdicts(address, [verdict(1, VerdictLabel.FRAUD, features=[1.0])])
    bench.read(Topic.VERDICTS, 2)
    bench.read(Topic.ASSESSMENTS, 1)
    bench.trainer._producer.flush(WAIT_S)
    eye = dead_letters(address)
    assert {letter.topic for letter in eye.settle()} == {Topic.VERDICTS, Topic.ASSESSMENTS}
    assert bench.learned == {"fraud": 0, "honest": 0}
    eye.close()
