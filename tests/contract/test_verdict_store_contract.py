"""What the api's store promises of verdicts and of what is drawn for them, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from api.store import samples, transfers, verdicts
from api.store.database import Database
from api.store.transfers import AssessedRow
from models.money.types import AccountId
from models.risk.assessment import Band
from models.wire import Verdict, VerdictLabel
from tests.apikit import assessed, transfer


async def test_verdicts_and_reports(database: Database) -> None:
    verdict = Verdict(
        transfer_id="t", label=VerdictLabel.FRAUD, source="analyst", decided_us=1, features=(), feature_set="f"
    )
    changed = msgspec.structs.replace(verdict, label=VerdictLabel.HONEST)
    news = [
        await database.write(lambda c, v=v: verdicts.record_verdict(c, v, "ann")) for v in (verdict, verdict, changed)
    ]
    assert news == [True, False, True]
    assert [each.label for each in await database.read(lambda c: verdicts.of_transfer(c, "t"))] == ["honest"]
    report = {"report_id": "RP-1", "reported_by": "x", "transfer_ids": "[]", "note": "n", "reported_us": 1}
    assert await database.write(lambda c: verdicts.record_report(c, report))
    assert not await database.write(lambda c: verdicts.record_report(c, report))


async def test_proven_fraud_by_account(database: Database) -> None:
    first, second = transfer(payer_account="A", payee_account="B"), transfer(payer_account="B", payee_account="C")
    found = [AssessedRow(assessment=assessed(each), body=b"{}") for each in (first, second)]
    await database.write(lambda c: transfers.record_assessments(c, found, 1))

    async def say(transfer_id: str, label: VerdictLabel, source: str) -> None:
        verdict = Verdict(
            transfer_id=transfer_id, label=label, source=source, decided_us=1, features=(), feature_set="f"
        )
        await database.write(lambda c: verdicts.record_verdict(c, verdict, "x"))

    async def proven(account: str) -> tuple[int, int]:
        return await database.read(lambda c: verdicts.proven(c, AccountId(account)))

    for source in ("victim_report", "bank"):
        await say(first.transfer_id, VerdictLabel.FRAUD, source)
    await say(second.transfer_id, VerdictLabel.FRAUD, "victim_report")
    await say("unknown", VerdictLabel.FRAUD, "bank")
    assert [await proven(each) for each in ("icbc/A", "ccb/B", "icbc/B", "ccb/C")] == [(1, 0), (0, 1), (1, 0), (0, 1)]
    await say(first.transfer_id, VerdictLabel.HONEST, "bank")
    assert await proven("icbc/A") == (1, 0)
    await say(first.transfer_id, VerdictLabel.HONEST, "sample")
    assert await proven("icbc/A") == (0, 0)
    await say(first.transfer_id, VerdictLabel.FRAUD, "analyst")
    assert await proven("icbc/A") == (1, 0)
    await say(first.transfer_id, VerdictLabel.HONEST, "analyst")
    assert await proven("icbc/A") == (0, 0)


async def test_a_verdict_that_came_before_its_assessment_counts_once_the_accounts_are_known(database: Database) -> None:
    early = [transfer(payer_account=f"P{n}", payee_account="MULE") for n in range(3)]
    labels = (VerdictLabel.FRAUD, VerdictLabel.FRAUD, VerdictLabel.HONEST)
    for subject, label in zip(early, labels, strict=True):
        for source in ("bank", "victim_report"):
            verdict = Verdict(
                transfer_id=subject.transfer_id, label=label, source=source, decided_us=1, features=(), feature_set="f"
            )
            await database.write(lambda c, verdict=verdict: verdicts.record_verdict(c, verdict, "topic"))
    assert await database.read(lambda c: verdicts.proven(c, early[0].payee)) == (0, 0)
    ids = [f"other-{n}" for n in range(1_200)] + [each.transfer_id for each in early]
    assert await database.read(lambda c: verdicts.unplaced(c, ids)) == {each.transfer_id for each in early[:2]}
    await database.write(lambda c: verdicts.place(c, early[0]))
    assert await database.read(lambda c: verdicts.unplaced(c, ids)) == {early[1].transfer_id}
    assert await database.read(lambda c: verdicts.proven(c, early[0].payee)) == (0, 1)
    assert await database.read(lambda c: verdicts.proven(c, early[0].payer)) == (1, 0)


@pytest.mark.parametrize("said", list(itertools.permutations(("bank", "victim_report", "sample", "analyst"))))
async def test_the_verdict_of_the_highest_source_counts(database: Database, said: tuple[str, ...]) -> None:
    for place, source in enumerate(said):
        verdict = Verdict(
            transfer_id="t",
            label=VerdictLabel.HONEST if source == "analyst" else VerdictLabel.FRAUD,
            source=source,
            decided_us=place,
            features=(),
            feature_set="f",
        )
        await database.write(lambda c, verdict=verdict: verdicts.record_verdict(c, verdict, "x"))
    counts = await database.read(lambda c: verdicts.counting(c, "t"))
    assert counts is not None
    assert (counts.source, counts.label) == ("analyst", "honest")
    assert await database.read(lambda c: verdicts.counting(c, "other")) is None


async def test_an_older_word_of_a_source_does_not_replace_its_newer_one(database: Database) -> None:
    newer = Verdict(
        transfer_id="t", label=VerdictLabel.HONEST, source="bank", decided_us=2, features=(), feature_set="f"
    )
    older = msgspec.structs.replace(newer, label=VerdictLabel.FRAUD, decided_us=1)
    news = [await database.write(lambda c, v=v: verdicts.record_verdict(c, v, "x")) for v in (newer, older)]
    assert news == [True, False]


async def test_drawn_transfers_wait_until_somebody_has_spoken_of_them(database: Database) -> None:
    found = [AssessedRow(assessment=assessed(transfer(transfer_id=f"s-{n}"), Band.ALLOW), body=b"{}") for n in range(4)]
    await database.write(lambda c: transfers.record_assessments(c, found, 1))
    await database.write(lambda c: samples.keep(c, [], rate=0.5, wall_us=1))
    for number, wall_us in ((0, 10), (1, 20), (2, 20)):
        await database.write(lambda c, n=number, at=wall_us: samples.keep(c, [f"s-{n}"], rate=0.5, wall_us=at))
    await database.write(lambda c: samples.keep(c, ["s-0"], rate=0.1, wall_us=30))
    assert await database.read(lambda c: samples.rate_of(c, "s-0")) == 0.5
    assert await database.read(lambda c: samples.rate_of(c, "s-3")) is None

    async def waiting(after: tuple[int, str] | None = None, limit: int = 9) -> list[str]:
        rows = await database.read(lambda c: samples.waiting(c, after=after, limit=limit))
        return [row.transfer_id for row in rows]

    assert await waiting() == ["s-2", "s-1", "s-0"]
    assert await waiting(limit=1) == ["s-2"]
    assert await waiting(after=(20, "s-2")) == ["s-1", "s-0"]
    verdict = Verdict(
        transfer_id="s-1", label=VerdictLabel.FRAUD, source="victim_report", decided_us=1, features=(), feature_set="f"
    )
    await database.write(lambda c: verdicts.record_verdict(c, verdict, "x"))
    assert await waiting() == ["s-2", "s-0"]
