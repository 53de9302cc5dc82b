"""The two stages without Kafka: what goes out, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from faust.types import TP

from models.control.messages import ControlKind
from models.money.types import LATEST_US, account_id
from models.risk.assessment import AccountLists, Assessment, Band, DebitView, ListLevel, StageTimes
from models.risk.profile import AccountProfile
from models.risk.scorer import Credited, Debited, Draft, Scorer
from models.wire import (
    ACCEPTED_HEADER,
    MAX_CONTENT_BYTES,
    ControlEntry,
    CreditRecord,
    Topic,
    TransferRecord,
    decode_assessment,
    decode_credit,
    decode_dead_letter,
    encode,
    encode_credit,
)
from stream.continuity import Continuity, OffsetGap
from stream.controls import Controls
from stream.deadletter import Quarantine
from stream.stages import CreditStage, DebitStage, Outcome, StageTools, accepted_time
from stream.tables import EMPTY_STATE, MemoryProfiles, partition_of
from telemetry.clock import ManualClock
from tests.streamkit import START_US, replay, transfer, undated

PARTITIONS = 4
TOLERANCE_US = 300_000_000
HOUR_US = 3_600_000_000


class Incoming(NamedTuple):
    """A record as a consumer gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any = ()
    timestamp: int = 1_700_000_000_000


class Store:
    """What Faust's memory store keeps: values by key, and the partition of each key."""

    def __init__(self) -> None:
        self.data: dict[bytes, Any] = {}
        self._key_partition: dict[bytes, int] = {}


class Bench:
    """Both stages over one memory, and a broker made of lists."""

    def __init__(self, scorer: Scorer | None = None) -> None:
        self.store = Store()
        self.profiles = MemoryProfiles(self.store, PARTITIONS)
        self.controls = Controls()
        self.scorer = scorer or Scorer()
        tools = StageTools(lambda: self.scorer, self.profiles, Quarantine("bench"))
        self.clock = ManualClock(START_US + HOUR_US)
        self.debit = DebitStage(tools, clock=self.clock, future_tolerance_us=TOLERANCE_US)
        self.credit = CreditStage(tools, controls=self.controls)
        self.offsets = dict.fromkeys(range(PARTITIONS), 0)

    def place(self, record: TransferRecord) -> Incoming:
        """Return a transfer at the next offset of its partition."""
        key = record.payer.encode()
        partition = partition_of(key, PARTITIONS)
        self.offsets[partition] += 1
        return Incoming(Topic.TRANSFERS, partition, self.offsets[partition], key, encode(record))

    def hop(self, outcome: Outcome) -> list[Incoming]:
        """Return what stage one sent as stage two gets it."""
        return [
            Incoming(Topic.CREDITS, partition_of(output.key or b"", PARTITIONS), number, output.key, output.value)
            for number, output in enumerate(outcome.outputs)
            if output.topic == Topic.CREDITS
        ]

    def through(self, records: Sequence[Incoming]) -> Outcome:
        return self.credit.run(self.hop(self.debit.run(records)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def letters(outcome: Outcome) -> list[str]:
    """Return the reasons of the dead letters that an outcome sends."""
    return [decode_dead_letter(o.value).reason for o in outcome.outputs if o.topic == Topic.DEAD_LETTERS]


def test_a_debit_sends_the_payers_view_to_the_payees_partition(bench: Bench) -> None:
    record = bench.place(transfer(1))
    outcome = bench.debit.run([record])
    (output,) = outcome.outputs
    credit = decode_credit(output.value)
    assert (output.topic, output.key) == (Topic.CREDITS, b"ccb/B1")
    assert (credit.source_partition, credit.source_offset) == (record.partition, record.offset)
    assert credit.transfer.transfer_id == "t-1"
    assert outcome.dirty.keys() == {b"icbc/A1"}
    assert bench.profiles.get(b"icbc/A1", record.partition).debit_offset == record.offset


def test_both_stages_give_what_a_replay_gives(bench: Bench) -> None:
    sent = [transfer(i, f"A{i % 3}", f"B{i % 2}") for i in range(60)]
    found = [decode_assessment(o.value) for record in sent for o in bench.through([bench.place(record)]).outputs]
    assert {a.transfer.transfer_id: undated(a) for a in found} == replay(sent)


def test_batching_changes_nothing(bench: Bench) -> None:
    sent = [transfer(i, f"A{i % 3}", f"B{i % 2}") for i in range(60)]
    outcome = bench.through([bench.place(record) for record in sent])
    assert {a.transfer.transfer_id: undated(a) for a in map(decode, outcome.outputs)} == replay(sent)


def decode(output: Any) -> Assessment:
    return decode_assessment(output.value)


def test_a_redelivered_transfer_is_dropped_on_both_sides(bench: Bench) -> None:
    record = bench.place(transfer(1))
    first = bench.debit.run([record])
    credits = bench.hop(first)
    assert len(bench.credit.run(credits).outputs) == 1
    before = dict(bench.store.data)
    assert bench.debit.run([record]).outputs == []
    assert bench.credit.run(credits).outputs == []
    assert bench.store.data == before


def test_a_lost_epoch_is_computed_again_to_the_same_bytes(bench: Bench) -> None:
    record = bench.place(transfer(1))
    first = bench.debit.run([record]).outputs
    bench.store.data.clear()
    again = bench.debit.run([record]).outputs
    assert undated_credit(again[0].value) == undated_credit(first[0].value)


def test_a_batch_from_before_a_recovery_would_hide_what_comes_again_and_is_not_admitted(bench: Bench) -> None:
    """Faust looks at an event's generation when it hands it over, not when a batch that waits is worked on."""
    again, waiting = bench.place(transfer(1)), bench.place(transfer(2))
    place = TP(again.topic, again.partition)
    continuity = Continuity()
    continuity.start({place: again.offset})
    with pytest.raises(OffsetGap):
        continuity.admit(place, [waiting.offset])
    assert len(bench.debit.run([waiting]).outputs) == 1
    assert bench.debit.run([again]).outputs == []


def undated_credit(value: bytes) -> CreditRecord:
    return msgspec.structs.replace(decode_credit(value), debited_us=0)


def test_a_reposted_transfer_is_dropped(bench: Bench) -> None:
    assert len(bench.debit.run([bench.place(transfer(1)), bench.place(transfer(1))]).outputs) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r._replace(value=None), "empty"),
        (lambda r: r._replace(value=b"{"), "malformed"),
        (lambda r: r._replace(value=b"\xff"), "malformed"),
        (lambda r: r._replace(value=r.value.replace(b'"schema":1', b'"schema":9')), "malformed"),
        (lambda r: r._replace(value=r.value.replace(b'"amount_fen":10001', b'"amount_fen":0')), "malformed"),
        (lambda r: r._replace(key=None), "key"),
        (lambda r: r._replace(key=b"icbc/other"), "key"),
        (lambda r: r._replace(partition=(r.partition + 1) % PARTITIONS), "misplaced"),
    ],
)
def test_a_bad_record_becomes_a_dead_letter_and_changes_nothing(
    bench: Bench, change: Callable[[Incoming], Incoming], reason: str
) -> None:
    bad = change(bench.place(transfer(1)))
    outcome = bench.debit.run([bad])
    assert letters(outcome) == [reason]
    assert (outcome.bad, outcome.dirty, bench.store.data) == (1, {}, {})
    letter = decode_dead_letter(outcome.outputs[0].value)
    assert (letter.key, letter.value, letter.offset) == (bad.key, bad.value, bad.offset)


def test_a_known_account_on_another_partition_is_misplaced(bench: Bench) -> None:
    record = bench.place(transfer(1))
    bench.debit.run([record])
    other = bench.place(transfer(2))._replace(partition=(record.partition + 1) % PARTITIONS)
    assert letters(bench.debit.run([other])) == ["misplaced"]


def test_a_transfer_from_the_future_is_refused_beyond_the_tolerance(bench: Bench) -> None:
    now_us = bench.clock.now_us()
    at_edge = bench.place(transfer(1, occurred_us=now_us + TOLERANCE_US))
    beyond = bench.place(transfer(2, occurred_us=now_us + TOLERANCE_US + 1))
    assert letters(bench.debit.run([at_edge, beyond])) == ["future"]


@pytest.mark.parametrize("field", ["occurred_us", "payer_opened_us", "payee_opened_us"])
@pytest.mark.parametrize("given", [1_773_707_500, 1_773_707_500_000])
def test_a_time_in_another_unit_is_set_aside_by_name_and_counts_nowhere(bench: Bench, field: str, given: int) -> None:
    outcome = bench.debit.run([bench.place(transfer(1, **{field: given}))])
    assert letters(outcome) == ["time_unit"]
    assert (outcome.bad, outcome.dirty, bench.store.data) == (1, {}, {})
    assert decode_dead_letter(outcome.outputs[0].value).detail.startswith(f"{field}: {given} lies before ")


def test_an_account_opened_in_1985_is_scored(bench: Bench) -> None:
    opened_us = 483_753_600_000_000
    record = bench.place(transfer(1, payer_opened_us=opened_us, payee_opened_us=opened_us))
    assert [each.topic for each in bench.debit.run([record]).outputs] == [Topic.CREDITS]


def test_a_record_that_leads_to_one_no_producer_takes_is_set_aside_instead(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = bench.place(transfer(1))
    (credit,) = bench.hop(bench.debit.run([record]))
    monkeypatch.setattr("stream.stages.MAX_CONTENT_BYTES", 100)
    again = bench.place(transfer(2))
    debited = bench.debit.run([again])
    assert letters(debited) == ["too_large"]
    assert (debited.bad, debited.dirty, debited.accepted_us) == (1, {}, [])
    assert decode_dead_letter(debited.outputs[0].value).value == again.value
    assessed = bench.credit.run([credit])
    assert (letters(assessed), assessed.bad, assessed.accepted_us) == (["too_large"], 1, [])
    assert decode_dead_letter(assessed.outputs[0].value).value == credit.value


def test_the_largest_transfer_a_bank_can_post_stays_far_below_what_a_producer_takes(bench: Bench) -> None:
    text = "x" * 64
    names = {"transfer_id": text, "channel": "\x00" * 64, "device_id": "\x00" * 64, "ip": "\x00" * 64}
    banks = {"payer_bank": "p" * 12, "payee_bank": "q" * 12, "payer": "1" * 36, "payee": "2" * 36}
    record = bench.place(transfer(1, **banks, **names))
    debited = bench.debit.run([record])
    assessed = bench.credit.run(bench.hop(debited))
    assert letters(debited) == letters(assessed) == []
    sizes = [len(each) for each in (record.value, debited.outputs[0].value, assessed.outputs[0].value)]
    assert max(sizes) < MAX_CONTENT_BYTES / 10


class Brittle(Scorer):
    """A scorer with a bug in one of its three steps for one transfer."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    def debit(self, profile: AccountProfile, transfer: Any) -> Debited:
        self._maybe_fail("debit", transfer.transfer_id)
        return super().debit(profile, transfer)

    def credit(self, profile: AccountProfile, transfer: Any, view: DebitView, lists: AccountLists) -> Credited:
        self._maybe_fail("credit", transfer.transfer_id)
        return super().credit(profile, transfer, view, lists)

    def judged(self, drafts: Sequence[Draft], times: Iterable[StageTimes]) -> Iterator[Assessment]:
        for draft in drafts:
            self._maybe_fail("judge", draft.transfer.transfer_id)
        return super().judged(drafts, times)

    def _maybe_fail(self, step: str, name: str) -> None:
        if step == self._step and name == "t-1":
            raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("step", ["debit", "credit", "judge"])
def test_a_scoring_error_quarantines_its_record_and_no_other(step: str) -> None:
    bench = Bench(Brittle(step))
    debited = bench.debit.run([bench.place(transfer(i, f"A{i}", f"B{i}")) for i in range(3)])
    credited = bench.credit.run(bench.hop(debited))
    assert letters(debited) + letters(credited) == ["scoring"]
    passed = [decode(o).transfer.transfer_id for o in credited.outputs if o.topic == Topic.ASSESSMENTS]
    assert sorted(passed) == ["t-0", "t-2"]


def test_an_unreadable_stored_profile_is_quarantined_not_started_anew(bench: Bench) -> None:
    record = bench.place(transfer(1))
    bench.store.data[record.key] = b"\x00 broken"
    bench.store._key_partition[record.key] = record.partition
    assert letters(bench.debit.run([record])) == ["scoring"]


def test_a_recovered_profile_is_decoded_when_first_needed(bench: Bench) -> None:
    first, second = bench.place(transfer(1)), bench.place(transfer(2))
    bench.debit.run([first])
    bench.store.data[first.key] = bench.store.data[first.key].encode()
    bench.debit.run([second])
    state = bench.profiles.get(first.key or b"", first.partition)
    assert (state.profile.outflow.count, state.debit_offset) == (2, second.offset)


def test_a_view_of_another_feature_set_is_quarantined(bench: Bench) -> None:
    (hop,) = bench.hop(bench.debit.run([bench.place(transfer(1))]))
    credit = decode_credit(hop.value or b"")
    foreign = msgspec.structs.replace(credit, view=DebitView((1.0,), "other"))
    assert letters(bench.credit.run([hop._replace(value=encode_credit(foreign))])) == ["feature_set"]


@pytest.mark.parametrize(("level", "band"), [(ListLevel.BLACK, Band.STOP), (ListLevel.WHITE, Band.ALLOW)])
def test_a_list_binds_until_the_account_is_taken_off_though_a_control_on_it_ends(
    bench: Bench, level: ListLevel, band: Band
) -> None:
    listed = ControlEntry(
        account=account_id("ccb", "B1"),
        level=level,
        control=ControlKind.AMOUNT_HOLD,
        order_id="PS-1",
        control_until_us=START_US + 1_000_000,
    )
    bench.controls.apply(listed)
    within, after = map(decode, bench.through([bench.place(transfer(1)), bench.place(transfer(2))]).outputs)
    assert [(each.band, each.lists.payee) for each in (within, after)] == [(band, level)] * 2
    bench.controls.apply(ControlEntry(account=listed.account))
    (freed,) = map(decode, bench.through([bench.place(transfer(3))]).outputs)
    assert freed.lists.payee is ListLevel.NONE


def test_a_trace_is_handed_on_and_nothing_else(bench: Bench) -> None:
    headers = [("traceparent", b"00-x"), (ACCEPTED_HEADER, b"5")]
    outcome = bench.debit.run([bench.place(transfer(1))._replace(headers=headers)])
    assert outcome.outputs[0].headers == [("traceparent", b"00-x")]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(ACCEPTED_HEADER, b"1234567")], 1_234_567),
        ([("other", b"1"), (ACCEPTED_HEADER, b"5")], 5),
        ([(ACCEPTED_HEADER, b"-5")], 1_700_000_000_000_000),
        ([(ACCEPTED_HEADER, b"9" * 30)], 1_700_000_000_000_000),
        ([(ACCEPTED_HEADER, None)], 1_700_000_000_000_000),
        ([(ACCEPTED_HEADER, b"9" * 20)], LATEST_US),
        (None, 1_700_000_000_000_000),
    ],
)
def test_acceptance_is_dated_by_the_header_or_else_by_the_record(headers: Any, expected: int) -> None:
    assert accepted_time(Incoming("transfers", 0, 0, b"", b"", headers)) == expected


@pytest.mark.parametrize(("headers", "timestamp"), [([(ACCEPTED_HEADER, b"9" * 20)], 0), (None, 2**62), (None, -1)])
def test_whatever_time_its_sender_names_a_transfer_is_assessed(bench: Bench, headers: Any, timestamp: int) -> None:
    record = bench.place(transfer(1))._replace(headers=headers, timestamp=timestamp)
    (output,) = bench.through([record]).outputs
    assert 0 <= decode(output).stages.accepted_us <= LATEST_US


@pytest.mark.parametrize("field", ["source_partition", "source_offset", "accepted_us", "debited_us"])
@pytest.mark.parametrize("number", [-1, 2**64 - 1])
def test_a_credit_with_a_number_that_no_changelog_holds_is_quarantined(bench: Bench, field: str, number: int) -> None:
    (hop,) = bench.hop(bench.debit.run([bench.place(transfer(1))]))
    wrong = msgspec.structs.replace(decode_credit(hop.value or b""), **{field: number})
    outcome = bench.credit.run([hop._replace(value=encode_credit(wrong))])
    assert (letters(outcome), outcome.dirty) == (["malformed"], {})


def test_an_unknown_account_has_the_empty_state(bench: Bench) -> None:
    key = b"icbc/A1"
    assert bench.profiles.get(key, partition_of(key, PARTITIONS)) == EMPTY_STATE
