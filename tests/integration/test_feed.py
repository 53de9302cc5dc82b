"""The feed reads everything once, survives poison and trouble, and quarantines with place and reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import structlog
from sqlalchemy import text
from structlog.testing import capture_logs

from api.store import snapshots, transfers, verdicts
from api.store.database import StoreAway
from models.risk.assessment import Band, Reason, StageTimes
from models.risk.snapshot import Snapshot, digest_of
from models.signing import sign_snapshot
from models.wire import DeadLetter, ModelSnapshot, Topic, Verdict, VerdictLabel, archive_key, decode_dead_letter, encode
from stream.broker import EmbeddedBroker
from telemetry.clock import ManualClock
from telemetry.tracing import Trace, record_header
from tests.apikit import Api, FakeBank, assessed, running, settings_for, stored, transfer, until
from tests.controlkit import T0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    settings = settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"))
    async with running(settings, bank=FakeBank()) as running_api:
        yield running_api


def signed(payload: bytes) -> ModelSnapshot:
    snapshot = Snapshot(detector="panel", version=f"p-{digest_of(payload)[:12]}", feature_set="f", payload=payload)
    return sign_snapshot(snapshot, key=b"k", created_us=1)


def with_field(record: msgspec.Struct, name: str, value: bytes) -> bytes:
    """Return the bytes of a record with one more field."""
    return encode(record)[:-1] + b',"%s":%s}' % (name.encode(), value)


SIGNED = signed(b"\x81\xa1a\x01")
VERDICT = Verdict(transfer_id="x", label=VerdictLabel.FRAUD, source="bank", decided_us=1, features=(), feature_set="f1")
UNDATED = assessed(transfer(), stages=StageTimes())
DEEP, HUGE = b"[" * 100_000, b"9" * 30
POISON = [
    (Topic.ASSESSMENTS, with_field(assessed(transfer()), "news", DEEP)),
    (Topic.ASSESSMENTS, with_field(UNDATED, "stages", b'{"assessed_us":%s}' % HUGE)),
    (Topic.VERDICTS, with_field(VERDICT, "news", DEEP)),
    (Topic.VERDICTS, encode(VERDICT).replace(b'"decided_us":1', b'"decided_us":' + HUGE)),
    (Topic.SNAPSHOTS, encode(SIGNED).replace(b'"created_us":1', b'"created_us":' + HUGE)),
    (Topic.SNAPSHOTS, encode(signed(b"\x91" * 100_000))),
    (Topic.ASSESSMENTS, b""),
    (Topic.ASSESSMENTS, b"\xff\xfe"),
    (Topic.ASSESSMENTS, b"{"),
    (Topic.ASSESSMENTS, b"[]"),
    (Topic.ASSESSMENTS, b'{"schema":1}'),
    (Topic.ASSESSMENTS, encode(assessed(transfer())).replace(b'"schema":1', b'"schema":2')),
    (Topic.ASSESSMENTS, encode(assessed(transfer())).replace(b'"band":"stop"', b'"band":"hang"')),
    (Topic.VERDICTS, b"not json"),
    (Topic.VERDICTS, b'{"schema":1,"transfer_id":"x"}'),
    (Topic.SNAPSHOTS, b"{}"),
    (Topic.SNAPSHOTS, encode(msgspec.structs.replace(SIGNED, version="p-000000000000"))),
    (Topic.SNAPSHOTS, encode(msgspec.structs.replace(SIGNED, payload=b"other"))),
]


async def letter_of(api: Api, topic: Topic, value: bytes) -> DeadLetter:
    """Return the dead letter of the record with these bytes; see that it names the record's place on its topic."""

    def about_it(found: list[Any]) -> list[DeadLetter]:
        return [letter for letter in (decode_dead_letter(each.value()) for each in found) if letter.value == value]

    (letter,) = about_it(await api.topics.collect(Topic.DEAD_LETTERS, lambda found: bool(about_it(found))))
    (message,) = [each for each in await api.topics.read_all(topic) if each.value() == value]
    place = (message.topic(), message.partition(), message.offset(), message.key())
    assert (letter.topic, letter.partition, letter.offset, letter.key) == place
    return letter


async def test_poison_goes_to_dead_letters_and_what_follows_is_read(api: Api) -> None:
    for number, (topic, value) in enumerate(POISON):
        api.topics.put(topic, f"poison-{number}", value)
    healthy = [assessed(transfer(), Band.ALLOW) for _ in range(8)]
    api.topics.assess(*healthy)
    for each in healthy:
        await stored(api, each.transfer.transfer_id)
    keys = {f"poison-{number}".encode() for number in range(len(POISON))}
    found = await api.topics.collect(Topic.DEAD_LETTERS, lambda found: keys <= {each.key() for each in found})
    letters = {each.key(): decode_dead_letter(each.value()) for each in found}
    for number, (topic, value) in enumerate(POISON):
        letter = letters[f"poison-{number}".encode()]
        assert (letter.topic, letter.value, letter.program) == (topic, value, "api")
        assert letter.offset >= 0
        assert letter.reason == "undecodable"
        assert letter.detail

    async def ready() -> bool:
        return (await api.client.get("/readyz")).status_code == 200

    await until(ready)


async def test_an_assessment_that_says_nonsense_is_quarantined_and_the_stops_beside_it_are_made(api: Api) -> None:
    nonsense = Reason(code="C01", weight=1.0, zh="", en="", evidence={"payee_24h_yuan": "plenty"})
    strange = assessed(transfer(payee_account="STRANGE"), reasons=(nonsense,))
    healthy = [assessed(transfer(payee_account=f"HEALTHY-{number}")) for number in range(2)]
    api.topics.assess(healthy[0], strange, healthy[1])
    for each in healthy:
        assert (await stored(api, each.transfer.transfer_id)).action == "order"
    key = strange.transfer.payee.encode()
    found = await api.topics.collect(Topic.DEAD_LETTERS, lambda found: key in {each.key() for each in found})
    (letter,) = [decode_dead_letter(each.value()) for each in found if each.key() == key]
    assert (letter.topic, letter.value, letter.reason) == (Topic.ASSESSMENTS, encode(strange), "unusable")
    assert letter.offset >= 0


async def test_what_the_database_refuses_is_quarantined_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    strange, healthy = assessed(transfer(), Band.ALLOW), assessed(transfer(), Band.ALLOW)
    real = transfers._values

    def refused(row: transfers.AssessedRow, wall_us: int) -> dict[str, Any]:
        values = real(row, wall_us)
        return values | {"risk": None} if row.assessment == strange else values

    monkeypatch.setattr(transfers, "_values", refused)
    api.topics.assess(strange, healthy)
    await stored(api, healthy.transfer.transfer_id)
    assert (await letter_of(api, Topic.ASSESSMENTS, encode(strange))).reason == "unstorable"


async def test_a_verdict_the_database_refuses_is_quarantined_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    real = verdicts.record_verdict

    def refused(connection: Any, verdict: Verdict, by: str) -> bool:
        if verdict.transfer_id == "strange":
            connection.execute(text("INSERT INTO verdicts (transfer_id) VALUES (NULL)"))
        return real(connection, verdict, by)

    monkeypatch.setattr(verdicts, "record_verdict", refused)
    sent = {
        name: with_field(msgspec.structs.replace(VERDICT, transfer_id=name), "news", b'"of a later release"')
        for name in ("strange", "usual")
    }
    for name, value in sent.items():
        api.topics.put(Topic.VERDICTS, name, value)
    await until(lambda: api.runtime.database.read(lambda c: verdicts.of_transfer(c, "usual")))
    assert (await letter_of(api, Topic.VERDICTS, sent["strange"])).reason == "unstorable"


async def test_a_database_that_is_away_is_waited_for_and_nothing_is_skipped(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(range(3))
    real = api.runtime.database.submit

    def flaky(work: Any, *args: Any, **more: Any) -> Any:
        if next(failures, None) is not None:
            raise StoreAway("away")
        return real(work, *args, **more)

    monkeypatch.setattr(api.runtime.database, "submit", flaky)
    found = [assessed(transfer(payee_account=f"62170000000{n:05d}")) for n in range(5)]
    api.topics.assess(*found)
    for each in found:
        row = await stored(api, each.transfer.transfer_id)
        assert row.action == "order"
    assert next(failures, None) is None


async def test_the_trace_of_a_transfer_stands_beside_its_order_in_the_log(api: Api) -> None:
    trace = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    found = assessed(transfer(payee_account="621700000077001"))
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        api.topics.put(Topic.ASSESSMENTS, found.transfer.payee, found, record_header(trace))
        row = await stored(api, found.transfer.transfer_id)
    (line,) = [each for each in lines if each.get("transfer_id") == found.transfer.transfer_id]
    assert (line["event"], line["trace_id"], line["order_id"]) == ("stop band", trace.trace_id, row.order_id)
    assert row.order_id
    assert (line["action"], line["why"]) == ("order", "")


async def test_the_log_says_why_a_transfer_in_the_stop_band_got_no_order(api: Api) -> None:
    """Withheld is what the policy and the brake do: an operator must not take one for the other."""
    unsure = assessed(transfer(), reasons=(Reason(code="3006", weight=0.9, zh="可疑", en="odd"),))
    with capture_logs() as lines:
        api.topics.assess(unsure)
        await stored(api, unsure.transfer.transfer_id)
    (line,) = [each for each in lines if each.get("transfer_id") == unsure.transfer.transfer_id]
    assert (line["action"], line["why"], line["order_id"]) == ("withheld", "inconclusive", "")


async def test_verdicts_from_the_topic_are_kept(api: Api) -> None:
    subject = transfer()
    api.topics.assess(assessed(subject, Band.ALLOW))
    await stored(api, subject.transfer_id)
    verdict = Verdict(
        transfer_id=subject.transfer_id,
        label=VerdictLabel.FRAUD,
        source="bank",
        decided_us=1,
        features=(),
        feature_set="f1",
    )
    api.topics.put(Topic.VERDICTS, subject.transfer_id, verdict)

    async def kept() -> Any:
        return (await api.get(f"/v1/transfers/{subject.transfer_id}"))["verdicts"]

    assert await until(kept) == [{"label": "fraud", "source": "bank"}]


async def test_restart_goes_on_where_it_was_and_reads_nothing_twice_into_orders(tmp_path: Path) -> None:
    broker = EmbeddedBroker()
    bank = FakeBank()
    first, second = assessed(transfer(payee_account="A1")), assessed(transfer(payee_account="A2"))
    for subject in (first, second):
        async with running(settings_for(broker.bootstrap, tmp_path), bank=bank) as api:
            api.topics.assess(first, subject)
            await api.order_in("applied") if subject is first else await until(lambda api=api: two(api))
            await stored(api, subject.transfer.transfer_id)
    assert len(bank.sent) == 2


async def test_a_restart_does_not_forget_what_the_brake_has_counted(tmp_path: Path) -> None:
    broker, clock = EmbeddedBroker(), ManualClock(T0)
    actions = []
    for account in ("A1", "A2"):
        async with running(settings_for(broker.bootstrap, tmp_path, brake_per_minute=1), clock=clock) as api:
            found = assessed(transfer(payee_account=account))
            api.topics.assess(found)
            actions.append((await stored(api, found.transfer.transfer_id)).action)
    assert actions == ["order", "withheld"]


async def two(api: Api) -> bool:
    return len(await api.orders(state="applied", kind="protective_stop")) == 2


async def test_a_full_topic_is_stored_in_groups(api: Api) -> None:
    many = [assessed(transfer(), Band.ALLOW) for _ in range(1_500)]
    api.topics.assess(*many)
    wanted = {each.transfer.transfer_id for each in many}

    async def all_stored() -> bool:
        def count(connection: Any) -> int:
            return sum(transfers.find_assessment(connection, each) is not None for each in wanted)

        return await api.runtime.database.read(count) == len(wanted)

    await until(all_stored)
    body = (await api.runtime.database.read(lambda c: transfers.find_assessment(c, many[7].transfer.transfer_id))).body
    assert msgspec.json.decode(body) == msgspec.json.decode(encode(many[7]))


async def test_every_snapshot_that_was_in_service_is_archived(api: Api) -> None:
    records = [signed(b"\x81\xa1b" + bytes([number])) for number in (1, 2)]
    for record in [*records, records[0]]:
        api.topics.put(Topic.SNAPSHOTS, archive_key(record.detector, record.version), record)
    for record in records:
        found = await until(
            lambda record=record: api.runtime.database.read(lambda c: snapshots.find(c, "panel", record.version))
        )
        assert found == record
