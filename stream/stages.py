"""The two keyed stages, without Kafka: records in, outputs and changed profiles out.

A stage works through a batch without pausing. A record it cannot work on
becomes a dead letter and changes nothing; everything else is left to `stream.agents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from models.money.types import LATEST_US, Transfer, time_fault
from models.risk.assessment import Assessment, Band, StageTimes
from models.risk.scorer import Debited, Draft, ForeignFeaturesError, Scorer
from models.wire import (
    ACCEPTED_HEADER,
    MAX_CONTENT_BYTES,
    UNREADABLE,
    CreditRecord,
    Topic,
    decode_credit,
    decode_transfer,
    encode,
    encode_credit,
)
from stream.controls import Controls
from stream.deadletter import Fault, Quarantine, RecordFault
from stream.tables import AccountState, Misplaced, Profiles
from telemetry.clock import Clock, wall_us
from telemetry.metrics import RULE_HITS, TRANSFERS_ASSESSED, TRANSFERS_DUPLICATE, TRANSFERS_LATE
from telemetry.tracing import carried

MAX_HEADER_BYTES: Final = 20

Read = TypeVar("Read")

REDELIVERED: Final = TRANSFERS_DUPLICATE.labels("redelivered")
REPOSTED: Final = TRANSFERS_DUPLICATE.labels("reposted")


class Incoming(Protocol):
    """A record as aiokafka gives it; ``timestamp`` in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: int


class Output(NamedTuple):
    """A record to send; ``headers`` are what its cause hands on."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Outcome:
    """What a batch led to."""

    __slots__ = ("accepted_us", "bad", "dirty", "outputs")

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.dirty: dict[bytes, tuple[int, AccountState]] = {}
        """Last state of each changed profile with its partition."""
        self.accepted_us: list[int] = []
        """Acceptance times of the transfers that outputs carry on."""
        self.bad = 0
        """Records that became dead letters."""


class StageTools(NamedTuple):
    """What both stages are given: how to score, where profiles are, how to quarantine."""

    scorer: Callable[[], Scorer]
    profiles: Profiles
    quarantine: Quarantine


class Stage:
    """What both stages have in common."""

    def __init__(self, tools: StageTools) -> None:
        self._scorer = tools.scorer
        self._profiles = tools.profiles
        self._quarantine = tools.quarantine

    def _dead(self, outcome: Outcome, record: Incoming, fault: Fault, detail: str) -> None:
        key, value = self._quarantine.letter(record, fault, detail)
        outcome.outputs.append(Output(Topic.DEAD_LETTERS, key, value, carried(record.headers)))
        outcome.bad += 1

    def _state(self, key: bytes | None, account: str, partition: int) -> AccountState:
        """Return the state of a record's account; raise `RecordFault` if key or partition is not the account's."""
        if key is None or key != account.encode():
            raise RecordFault(Fault.KEY, "the key is not the account of this stage")
        try:
            return self._profiles.get(key, partition)
        except Misplaced as error:
            raise RecordFault(Fault.MISPLACED, str(error)) from error
        except UNREADABLE as error:
            raise RecordFault(Fault.SCORING, f"the account's stored profile is unreadable: {error!r}") from error

    def _assign(self, outcome: Outcome, key: bytes, partition: int, state: AccountState) -> None:
        self._profiles.put(key, partition, state)
        outcome.dirty[key] = (partition, state)


class DebitStage(Stage):
    """Stage one: the payer's side. `transfers` in, `credits` out."""

    def __init__(self, tools: StageTools, *, clock: Clock, future_tolerance_us: int) -> None:
        super().__init__(tools)
        self._clock = clock
        self._tolerance_us = future_tolerance_us

    def run(self, batch: Sequence[Incoming]) -> Outcome:
        """Work through records of `transfers`."""
        outcome = Outcome()
        now_us, latest_us = wall_us(), self._clock.now_us() + self._tolerance_us
        for record in batch:
            try:
                self._debit(outcome, record, now_us, latest_us)
            except RecordFault as error:
                self._dead(outcome, record, error.fault, str(error))
        return outcome

    def _debit(self, outcome: Outcome, record: Incoming, now_us: int, latest_us: int) -> None:
        transfer = _decoded(record, decode_transfer)
        if transfer.occurred_us > latest_us:
            raise RecordFault(Fault.FUTURE, f"occurred {transfer.occurred_us - latest_us} us beyond the tolerance")
        fault = time_fault(transfer)
        if fault is not None:
            raise RecordFault(Fault.TIME_UNIT, f"{fault.field}: {fault.reason}")
        state = self._state(record.key, transfer.payer, record.partition)
        if state.has_debit(record.offset):
            REDELIVERED.inc()
            return
        debited = self._scored(state, transfer)
        if debited.view is None:
            REPOSTED.inc()
            return
        accepted_us = accepted_time(record)
        credit = CreditRecord(
            transfer=transfer,
            view=debited.view,
            source_partition=record.partition,
            source_offset=record.offset,
            accepted_us=accepted_us,
            debited_us=now_us,
        )
        outcome.outputs.append(_output(Topic.CREDITS, transfer.payee.encode(), encode_credit(credit), record))
        outcome.accepted_us.append(accepted_us)
        if debited.late:
            TRANSFERS_LATE.inc()
        self._assign(outcome, record.key or b"", record.partition, state.debited(debited.profile, record.offset))

    def _scored(self, state: AccountState, transfer: Transfer) -> Debited:
        try:
            return self._scorer().debit(state.profile, transfer)
        except Exception as error:
            raise RecordFault(Fault.SCORING, repr(error)) from error


class _Pending(NamedTuple):
    """A credited transfer that waits for judgement."""

    record: Incoming
    draft: Draft
    accepted_us: int
    debited_us: int


class CreditStage(Stage):
    """Stage two: the payee's side. `credits` in, `assessments` out."""

    def __init__(self, tools: StageTools, *, controls: Controls) -> None:
        super().__init__(tools)
        self._controls = controls

    def run(self, batch: Sequence[Incoming]) -> Outcome:
        """Work through records of `credits`."""
        outcome = Outcome()
        scorer = self._scorer()
        pending: list[_Pending] = []
        for record in batch:
            try:
                self._credit(outcome, record, scorer, pending)
            except RecordFault as error:
                self._dead(outcome, record, error.fault, str(error))
        self._judge(outcome, scorer, pending)
        return outcome

    def _credit(self, outcome: Outcome, record: Incoming, scorer: Scorer, pending: list[_Pending]) -> None:
        credit = _decoded(record, decode_credit)
        transfer = credit.transfer
        state = self._state(record.key, transfer.payee, record.partition)
        if state.has_credit(credit.source_partition, credit.source_offset):
            REDELIVERED.inc()
            return
        lists = self._controls.lists(transfer.payer, transfer.payee)
        try:
            credited = scorer.credit(state.profile, transfer, credit.view, lists)
        except ForeignFeaturesError as error:
            raise RecordFault(Fault.FEATURE_SET, str(error)) from error
        except Exception as error:
            raise RecordFault(Fault.SCORING, repr(error)) from error
        if credited.late:
            TRANSFERS_LATE.inc()
        state = state.credited(credited.profile, credit.source_partition, credit.source_offset)
        self._assign(outcome, record.key or b"", record.partition, state)
        pending.append(_Pending(record, credited.draft, credit.accepted_us, credit.debited_us))

    def _judge(self, outcome: Outcome, scorer: Scorer, pending: Sequence[_Pending]) -> None:
        """Judge a whole batch at once; if that fails, one by one, so that only the culprit is quarantined.

        Its money has moved all the same, so the payee's profile keeps it.
        """
        times = (StageTimes(item.accepted_us, item.debited_us, wall_us()) for item in pending)
        try:
            judged = scorer.judged([item.draft for item in pending], times)
        except Exception as error:  # noqa: BLE001 - whatever scoring raises, the record is kept, not passed
            if len(pending) == 1:
                self._dead(outcome, pending[0].record, Fault.SCORING, repr(error))
                return
            for item in pending:
                self._judge(outcome, scorer, [item])
            return
        bands, codes = Counter[Band](), Counter[str]()
        for item in pending:
            try:
                self._emit(outcome, item, next(judged), bands, codes)
            except RecordFault as error:
                self._dead(outcome, item.record, error.fault, str(error))
            except Exception as error:  # noqa: BLE001 - as above
                self._dead(outcome, item.record, Fault.SCORING, repr(error))
        count_assessments(bands, codes)

    def _emit(
        self, outcome: Outcome, item: _Pending, assessment: Assessment, bands: Counter[Band], codes: Counter[str]
    ) -> None:
        """Add an assessment to what is sent, and to the counts."""
        record = item.record
        outcome.outputs.append(_output(Topic.ASSESSMENTS, record.key, encode(assessment), record))
        outcome.accepted_us.append(item.accepted_us)
        bands[assessment.band] += 1
        for reason in assessment.reasons:
            codes[reason.code] += 1


def _output(topic: Topic, key: bytes | None, value: bytes, cause: Incoming) -> Output:
    """Return what a stage sends; raise `RecordFault` if no producer could, which would end every worker it comes to."""
    size = len(key or b"") + len(value)
    if size > MAX_CONTENT_BYTES:
        raise RecordFault(Fault.TOO_LARGE, f"it leads to a record of {size} bytes on {topic}")
    return Output(topic, key, value, carried(cause.headers))


def count_assessments(bands: Counter[Band], codes: Counter[str]) -> None:
    """Count a batch of assessments by band, and the rules that fired in them; a metric costs by the call."""
    for band, number in bands.items():
        TRANSFERS_ASSESSED.labels(band.value).inc(number)
    for code, number in codes.items():
        RULE_HITS.labels(code).inc(number)


def _decoded(record: Incoming, decode: Callable[[bytes], Read]) -> Read:
    if record.value is None:
        raise RecordFault(Fault.EMPTY, "the record has no value")
    try:
        return decode(record.value)
    except UNREADABLE as error:
        raise RecordFault(Fault.MALFORMED, str(error)) from error


def accepted_time(record: Incoming) -> int:
    """Return when a transfer was accepted, UTC microseconds: from the header, else the record's timestamp.

    Whoever writes to the topic chooses both, so either may be no time at all.
    """
    for name, value in record.headers or ():
        if name == ACCEPTED_HEADER and value and len(value) <= MAX_HEADER_BYTES and value.isdigit():
            return min(int(value), LATEST_US)
    return min(max(record.timestamp * 1000, 0), LATEST_US)
