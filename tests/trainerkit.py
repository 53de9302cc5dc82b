"""A trainer in the test's own process on an embedded broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from models.money.types import AccountId
from models.risk.assessment import Assessment, Band
from models.risk.features import FEATURE_NAMES, FEATURE_SET
from models.risk.rules.settings import DEFAULT_RULES
from models.wire import ControlEntry, Topic, Verdict, VerdictLabel, encode
from stream.broker import EmbeddedBroker
from stream.settings import TrainerSettings
from stream.topics import ensure_topics
from stream.trainer import Trainer
from telemetry.clock import ManualClock
from tests.streamkit import START_US, WAIT_S, new_producer, transfer

KEY = "a key for tests"
DAY_US = 86_400_000_000
NEVER = threading.Event()


def embedded() -> Iterator[str]:
    """Yield the address of a fresh embedded broker; for use in fixtures."""
    broker = EmbeddedBroker()
    ensure_topics(broker.bootstrap, 4)
    yield broker.bootstrap
    broker.close()


def assessment(
    number: int, band: Band = Band.ALLOW, features: Sequence[float] | None = None, payee: str = "B1"
) -> Assessment:
    plain = tuple(float(number % 7 + column) for column in range(len(FEATURE_NAMES)))
    return Assessment(
        transfer=transfer(number, payee=payee),
        risk=0.1,
        band=band,
        reasons=(),
        features=tuple(features or plain),
        feature_set=FEATURE_SET,
        rule_book="r",
        scores=(),
    )


def verdict(
    number: int, label: VerdictLabel, features: Sequence[float] | None = None, source: str = "analyst"
) -> Verdict:
    return Verdict(
        transfer_id=f"t-{number}",
        label=label,
        source=source,
        decided_us=START_US,
        features=tuple(features or assessment(number).features),
        feature_set=FEATURE_SET,
    )


def send(address: str, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    producer = new_producer(address)
    for key, value in records:
        producer.produce(topic, value, key.encode())
    assert producer.flush(60) == 0


def send_assessments(address: str, found: Sequence[Assessment]) -> None:
    send(address, Topic.ASSESSMENTS, [(a.transfer.payee, encode(a)) for a in found])


def send_verdicts(address: str, found: Sequence[Verdict]) -> None:
    send(address, Topic.VERDICTS, [(v.transfer_id, encode(v)) for v in found])


def send_controls(address: str, found: Sequence[ControlEntry]) -> None:
    send(address, Topic.CONTROLS, [(each.account, encode(each)) for each in found])


class Bench:
    """A trainer in this process, stepped by hand; publishes by itself only every hour."""

    def __init__(self, address: str, folder: Path) -> None:
        self.clock = ManualClock(START_US)
        self.rules = DEFAULT_RULES
        self.settings = TrainerSettings(
            broker=address, data_dir=folder, snapshot_key=SecretStr(KEY), publish_every_s=3_600, maturity_s=86_400
        )
        self.trainer = self.start()

    def start(self) -> Trainer:
        self.trainer = Trainer(self.settings, clock=self.clock, rules=self.rules)
        self.trainer.begin(NEVER)
        return self.trainer

    def restart(self) -> None:
        """Let go of the trainer and begin another from what it saved."""
        self.trainer.close()
        self.start()

    def until_in_doubt(self, account: AccountId, *, doubted: bool) -> None:
        """Wait until the trainer has read of an account that it is in doubt, or no longer."""
        deadline = time.monotonic() + WAIT_S
        while self.trainer._controls.in_doubt(account, 0) is not doubted:
            assert time.monotonic() < deadline
            time.sleep(0.01)

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
