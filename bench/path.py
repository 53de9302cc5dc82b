"""The worker's path of a transfer in this process: both stages as they are, without Kafka between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from bench.traffic import Payment
from cli.plan import PARTITIONS
from models.risk.scorer import Scorer
from models.wire import Topic
from stream.controls import Controls
from stream.deadletter import Quarantine
from stream.stages import CreditStage, DebitStage, Outcome, StageTools
from stream.tables import AccountState, MemoryProfiles, partition_of
from telemetry.clock import ScaledClock

BATCH: Final = 64
"""Records a stage takes at once; what a worker sees at some thousand transfers a second."""

TOLERANCE_US: Final = 300_000_000


class Record(msgspec.Struct):
    """A record as the stages get it from aiokafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: int


class Path:
    """Debit stage and credit stage over one store of profiles."""

    def __init__(self, scorer: Scorer) -> None:
        self.states: dict[bytes, AccountState | bytes] = {}
        self.places: dict[bytes, int] = {}
        store = SimpleNamespace(data=self.states, _key_partition=self.places)
        tools = StageTools(lambda: scorer, MemoryProfiles(store, PARTITIONS), Quarantine("bench"))
        self.debit = DebitStage(tools, clock=ScaledClock(), future_tolerance_us=TOLERANCE_US)
        self.credit = CreditStage(tools, controls=Controls())
        self._offset = 0

    def put(self, key: bytes, state: AccountState | bytes) -> None:
        """Give an account a state, as recovery does."""
        self.states[key] = state
        self.places[key] = partition_of(key, PARTITIONS)

    def transfers(self, payments: Iterable[Payment]) -> list[Record]:
        """Return payments as records of the first topic."""
        return [self._record(Topic.TRANSFERS, payment.key, payment.value) for payment in payments]

    def credits(self, debited: Outcome) -> list[Record]:
        """Return what the debit stage gave out as records of the second topic."""
        return [
            self._record(Topic.CREDITS, output.key or b"", output.value)
            for output in debited.outputs
            if output.topic == Topic.CREDITS
        ]

    def run(self, records: Sequence[Record]) -> Outcome:
        """Take a batch of transfers through both stages; return what the second gave out."""
        return self.credit.run(self.credits(self.debit.run(records)))

    def _record(self, topic: Topic, key: bytes, value: bytes) -> Record:
        self._offset += 1
        return Record(topic.value, partition_of(key, PARTITIONS), self._offset, key, value, (), 1)


def batches(records: Sequence[Record], size: int = BATCH) -> list[Sequence[Record]]:
    """Cut records into batches."""
    return [records[start : start + size] for start in range(0, len(records), size)]
