"""People at work over HTTP: two signatures, releases, lists, reports, verdicts, brake, audit."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from models.control.messages import CommandKind
from models.money.types import LATEST_US, Transfer, us_from_iso
from models.risk.assessment import Band, ListLevel
from models.wire import ControlEntry, Topic, Verdict, VerdictLabel, decode_control, decode_verdict
from stream.broker import EmbeddedBroker
from telemetry.clock import wall_us
from tests.apikit import Api, FakeBank, assessed, key_of, running, settings_for, transfer, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAPER = {"number": "冻-2026-17", "kind": "freeze", "sha256": "a" * 64}
accounts = itertools.count(6_217_000_000_010_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    settings = settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"), review_sample_rate=0.5)
    async with running(settings, bank=FakeBank()) as running_api:
        yield running_api


def to_new_account(**changes: Any) -> Transfer:
    return transfer(payee_account=str(next(accounts)), **changes)


async def one(api: Api, subject: Transfer, kind: str, state: str) -> dict[str, Any]:
    """Wait for the only order of a kind on the payee's account to be in a state."""

    async def look() -> Any:
        found = await api.orders(kind=kind, account=subject.payee_account)
        return found[0] if len(found) == 1 and found[0]["state"] == state else None

    order: dict[str, Any] = await until(look)
    return order


async def seen(api: Api, subject: Transfer) -> dict[str, Any]:
    async def look() -> Any:
        found = await api.get(f"/v1/transfers/{subject.transfer_id}")
        return found if isinstance(found, dict) and found["status"] == "assessed" else None

    view: dict[str, Any] = await until(look)
    return view


async def held(api: Api) -> tuple[Transfer, dict[str, Any]]:
    """Return a transfer whose money is held and whose assessment is stored, and its order."""
    subject = to_new_account()
    api.topics.assess(assessed(subject))
    hold = await one(api, subject, "protective_stop", "applied")
    await seen(api, subject)
    return subject, hold


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


async def test_a_freeze_leaves_only_after_two_different_persons_signed(api: Api) -> None:
    subject, hold = await held(api)
    draft = await one(api, subject, "freeze", "draft")
    path = f"/v1/orders/{draft['order_id']}"
    assert draft["amount_fen"] == subject.amount_fen
    sent = len(api.bank.sent)
    assert code_of(await api.post(f"{path}/approve", {"document": PAPER}, who="ann")) == (403, "role_required")
    assert code_of(await api.post(f"{path}/approve", {}, who="cyd")) == (422, "document_required")
    first = await api.post(f"{path}/approve", {"document": PAPER}, who="cyd")
    assert (first.status_code, first.json()["state"]) == (200, "reviewed")
    assert code_of(await api.post(f"{path}/approve", {"level": "county"}, who="cyd")) == (403, "same_person")
    assert code_of(await api.post(f"{path}/approve", {}, who="bob")) == (422, "level_required")
    assert len(api.bank.sent) == sent
    second = await api.post(f"{path}/approve", {"level": "county"}, who="bob")
    assert (second.status_code, second.json()["state"]) == (200, "dispatched")
    frozen = await one(api, subject, "freeze", "effective_limited")
    command = next(each for each in api.bank.sent if each.kind is CommandKind.FREEZE)
    assert (command.operator, command.investigator, command.legal_document) == ("cyd", "bob", PAPER["number"])
    assert [each["name"] for each in frozen["signatures"]] == ["cyd", "bob"]
    # The bank's own stop is handed over without a gap: the freeze is in force before the hold goes.
    await one(api, subject, "protective_stop", "converted")
    kinds = [each.kind for each in api.bank.sent if each.account_number == subject.payee_account]
    assert kinds == [CommandKind.PROTECTIVE_STOP, CommandKind.FREEZE, CommandKind.PROTECTIVE_RELEASE]
    assert hold["applied_application_id"] not in api.bank.in_force


async def drafted(api: Api, subject: Transfer, round_: int = 1) -> str:
    body = {"kind": "stop", "transfer_id": subject.transfer_id, "reason": "被害人报案", "round": round_}
    made = await api.post("/v1/orders", body)
    assert made.status_code == 201, made.text
    return f"/v1/orders/{made.json()['order_id']}"


async def stopped(api: Api, subject: Transfer, round_: int = 1) -> httpx.Response:
    path = await drafted(api, subject, round_)
    submitted = await api.post(f"{path}/submit", {"document": PAPER})
    assert submitted.json()["state"] == "submitted"
    return await api.post(f"{path}/approve", {}, who="bob")


async def test_a_police_stop_its_lift_and_the_third_one_refused(api: Api) -> None:
    subject = to_new_account()
    api.topics.assess(assessed(subject, Band.WATCH))
    await seen(api, subject)
    for round_ in (1, 2):
        assert (await stopped(api, subject, round_)).json()["state"] == "dispatched"

        async def effective() -> Any:
            return await api.orders(kind="stop", account=subject.payee_account, state="effective")

        (order,) = await until(effective)
        path = f"/v1/orders/{order['order_id']}"
        asked = await api.post(f"{path}/lift", {"reason": "unrelated"}, who="cyd")
        assert asked.json()["request"]["maker"] == "cyd"
        assert code_of(await api.post(f"{path}/lift/approve", who="cyd")) == (403, "same_person")
        assert (await api.post(f"{path}/lift/approve", who="bob")).json()["state"] == "lifting"
        await until(lambda path=path: is_in(api, path, "lifted"))
    assert code_of(await stopped(api, subject, 3)) == (409, "too_many_stops")


async def is_in(api: Api, path: str, state: str) -> bool:
    return bool((await api.get(path))["state"] == state)


async def test_wrong_steps_are_told(api: Api) -> None:
    subject, hold = await held(api)
    path = f"/v1/orders/{hold['order_id']}"
    assert code_of(await api.post(f"{path}/approve", {}, who="bob")) == (409, "wrong_state")
    assert code_of(await api.post(f"{path}/lift", {"reason": "x"})) == (409, "wrong_state")
    assert code_of(await api.post("/v1/orders/PS-0000000000000000/review")) == (404, "unknown_order")
    missing = {"kind": "stop", "transfer_id": "nosuch", "reason": "r"}
    assert code_of(await api.post("/v1/orders", missing)) == (404, "not_assessed")
    await drafted(api, subject)
    again = {"kind": "stop", "transfer_id": subject.transfer_id, "reason": "r"}
    assert code_of(await api.post("/v1/orders", again)) == (409, "exists")
    for who in ("icbc", "bob", "ops"):
        assert (await api.post(f"{path}/release", {"reason": "x"}, who=who)).status_code == 403


async def test_release_by_an_analyst_then_the_account_rests(api: Api) -> None:
    subject, hold = await held(api)
    path = f"/v1/orders/{hold['order_id']}"
    assert (await api.post(f"{path}/review")).json()["state"] == "under_review"
    assert (await api.post(f"{path}/release", {"reason": "客户已核实"})).json()["state"] == "releasing"
    await one(api, subject, "protective_stop", "released")
    following = transfer(payee_account=subject.payee_account)
    api.topics.assess(assessed(following))
    assert (await seen(api, following))["why"] == "cooldown"
    history = (await api.get(f"{path}/history"))["entries"]
    assert [each["action"] for each in history] == [
        "order.open", "order.bank_ok", "order.take_review", "order.release", "order.bank_ok",
    ]  # fmt: skip
    assert [each["actor"] for each in history] == ["sluice", "ccb", "ann", "ann", "ccb"]
    entries = await entries_of(api, subject, 3)
    assert [each.control is not None for each in entries] == [False, True, False], "asked for, in force, gone"
    assert [each.doubted_until_us for each in entries] == [LATEST_US] * 3, "the freeze's draft is still open"


async def test_an_account_is_in_doubt_from_a_draft_until_it_is_withdrawn(api: Api) -> None:
    subject = to_new_account()
    api.topics.assess(assessed(subject, Band.ALLOW))
    await seen(api, subject)
    path = await drafted(api, subject)
    assert (await api.post(f"{path}/cancel", {"reason": "withdrawn"})).json()["state"] == "cancelled"
    entries = await entries_of(api, subject, 2)
    assert [(each.control, each.doubted_until_us) for each in entries] == [(None, LATEST_US), (None, 0)]


async def entries_of(api: Api, subject: Transfer, count: int) -> list[ControlEntry]:
    """Return what ``controls`` says of the payee, once it says it ``count`` times."""

    def ours(found: list[Any]) -> list[ControlEntry]:
        return [decode_control(each.value()) for each in found if each.key() == subject.payee.encode()]

    return ours(await api.topics.collect(Topic.CONTROLS, lambda found: len(ours(found)) >= count))


async def test_lists_need_a_second_person_and_then_bind(api: Api) -> None:
    subject = to_new_account()
    path = f"/v1/lists/{subject.payee_bank}/{subject.payee_account}"
    asked = await api.put(path, {"level": "white", "reason": "医院"}, who="cyd")
    assert (asked.status_code, asked.json()["level"], asked.json()["pending"]["level"]) == (202, "none", "white")
    assert code_of(await api.put(path, {"level": "black", "reason": "x"})) == (409, "already_requested")
    assert code_of(await api.post(f"{path}/approve", who="ann")) == (403, "role_required")
    assert code_of(await api.post(f"{path}/approve", who="cyd")) == (403, "same_person")
    assert (await api.post(f"{path}/approve", who="bob")).json()["level"] == "white"
    api.topics.assess(assessed(subject))
    assert (await seen(api, subject))["why"] == "white_listed"
    assert await api.orders(account=subject.payee_account) == []
    removed = await api.client.delete(path, headers=key_of("ann"))
    assert removed.status_code == 202
    assert (await api.post(f"{path}/reject", {"reason": "stays"}, who="bob")).json()["level"] == "white"
    assert (await api.client.delete(path, headers=key_of("ann"))).status_code == 202
    assert (await api.post(f"{path}/approve", who="bob")).json()["level"] == "none"
    assert code_of(await api.post(f"{path}/approve", who="bob")) == (409, "nothing_requested")
    assert [each.level for each in await entries_of(api, subject, 2)] == [ListLevel.WHITE, ListLevel.NONE]
    unknown = await api.put("/v1/lists/zzz/1", {"level": "white", "reason": "x"})
    assert code_of(unknown) == (422, "unknown_bank")


async def test_a_victims_report_labels_holds_and_drafts(api: Api) -> None:
    missed = to_new_account()
    api.topics.assess(assessed(missed, Band.ALLOW))
    caught, hold = await held(api)
    await seen(api, missed)
    body = {"transfer_ids": [missed.transfer_id, caught.transfer_id], "note": "冒充公检法"}
    assert code_of(await api.post("/v1/reports", body, who="bob")) == (403, "role_required")
    answer = await api.post("/v1/reports", body, who="icbc")
    assert answer.status_code == 202, answer.text
    assert (answer.json()["verdicts"], answer.json()["duplicate"]) == (2, False)
    assert answer.json()["orders"][1]["order_id"] == hold["order_id"]
    made = await one(api, missed, "protective_stop", "applied")
    assert made["case_number"] == answer.json()["report_id"]
    assert made["reasons"][0]["code"] == "victim_report"
    await one(api, missed, "freeze", "draft")
    again = await api.post("/v1/reports", body | {"transfer_ids": body["transfer_ids"][::-1]}, who="icbc")
    assert (again.json()["verdicts"], again.json()["duplicate"]) == (0, True)
    wanted = {missed.transfer_id.encode(), caught.transfer_id.encode()}
    records = await api.topics.collect(Topic.VERDICTS, lambda found: wanted <= {each.key() for each in found})
    ours = {each.transfer_id: each for each in (decode_verdict(record.value()) for record in records)}
    for subject in (missed, caught):
        assert (ours[subject.transfer_id].label, ours[subject.transfer_id].source) == ("fraud", "victim_report")
        assert ours[subject.transfer_id].features == (1.0, 2.5)
    assert max(each.proven_received for each in await entries_of(api, missed, 2)) == 1
    assert code_of(await api.post("/v1/reports", {"transfer_ids": ["nosuch"]})) == (404, "not_assessed")
    strange = to_new_account(payer_bank="abc")
    api.topics.assess(assessed(strange, Band.ALLOW))
    await seen(api, strange)
    other = await api.post("/v1/reports", {"transfer_ids": [strange.transfer_id]}, who="icbc")
    assert code_of(other) == (403, "not_a_party")


async def test_verdicts(api: Api) -> None:
    subject, _ = await held(api)
    body = {"transfer_id": subject.transfer_id, "label": "honest"}
    assert code_of(await api.post("/v1/verdicts", body, who="icbc")) == (403, "source_not_yours")
    before = await metric(api, 'sluice_false_stops_total{bank="ccb"}')
    await seen(api, subject)
    assert (await api.post("/v1/verdicts", body)).json()["duplicate"] is False
    assert (await api.post("/v1/verdicts", body)).json()["duplicate"] is True
    assert (await api.post("/v1/verdicts", body | {"source": "bank"}, who="icbc")).status_code == 202
    view = await api.get(f"/v1/transfers/{subject.transfer_id}")
    assert sorted(each["source"] for each in view["verdicts"]) == ["analyst", "bank"]
    assert await metric(api, 'sluice_false_stops_total{bank="ccb"}') == before + 1


async def labels_of(api: Api, subject: Transfer, count: int) -> list[tuple[str, str]]:
    """Return what ``verdicts`` says of a transfer, once it says it ``count`` times: source and label."""

    def ours(found: list[Any]) -> list[tuple[str, str]]:
        said = [decode_verdict(each.value()) for each in found if each.key() == subject.transfer_id.encode()]
        return [(each.source, each.label.value) for each in said]

    return ours(await api.topics.collect(Topic.VERDICTS, lambda found: len(ours(found)) >= count))


async def test_the_topic_holds_the_verdict_that_counts_whoever_speaks_last(api: Api) -> None:
    subject = to_new_account()
    api.topics.assess(assessed(subject, Band.ALLOW))
    await seen(api, subject)
    body = {"transfer_id": subject.transfer_id, "label": "honest"}
    assert (await api.post("/v1/verdicts", body)).status_code == 202
    assert (await api.post("/v1/reports", {"transfer_ids": [subject.transfer_id]}, who="icbc")).status_code == 202
    other = Verdict(
        transfer_id=subject.transfer_id,
        label=VerdictLabel.FRAUD,
        source="bank",
        decided_us=subject.occurred_us,
        features=(1.0, 2.5),
        feature_set="f1",
    )
    assert await labels_of(api, subject, 1) == [("analyst", "honest")], "told by the relay, some time after its 202"
    api.topics.put(Topic.VERDICTS, subject.transfer_id, other)
    said = await labels_of(api, subject, 3)
    assert said == [("analyst", "honest"), ("bank", "fraud"), ("analyst", "honest")]
    view = await api.get(f"/v1/transfers/{subject.transfer_id}")
    assert {each["source"] for each in view["verdicts"]} == {"analyst", "victim_report", "bank"}


async def waiting_reviews(api: Api) -> dict[str, dict[str, Any]]:
    """Return all tasks by transfer, page by page."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        page = await api.get("/v1/reviews", limit=3, after=after)
        found |= {task["transfer"]["transfer_id"]: task for task in page["reviews"]}
        after = page["next"]
        if not after:
            return found


async def test_transfers_drawn_by_lot_wait_for_an_analyst_and_their_verdict_says_how_likely_they_were(
    api: Api,
) -> None:
    subjects = [to_new_account() for _ in range(40)]
    doubtful = [to_new_account() for _ in range(10)]
    api.topics.assess(*(assessed(each, Band.ALLOW) for each in subjects))
    api.topics.assess(*(assessed(each, Band.WATCH) for each in doubtful))
    for each in (*subjects, *doubtful):
        await seen(api, each)
    tasks = await waiting_reviews(api)
    drawn = [each for each in subjects if each.transfer_id in tasks]
    passed = next(each for each in subjects if each.transfer_id not in tasks)
    assert 0 < len(drawn) < 40
    assert not tasks.keys() & {each.transfer_id for each in doubtful}
    task = tasks[drawn[0].transfer_id]
    assert (task["source"], task["priority"]) == ("sample", "low")
    assert "risk" not in task
    body = {"transfer_id": drawn[0].transfer_id, "label": "fraud", "source": "sample"}
    assert code_of(await api.post("/v1/verdicts", body, who="icbc")) == (403, "source_not_yours")
    assert (await api.post("/v1/verdicts", body)).status_code == 202
    chosen = body | {"transfer_id": passed.transfer_id}
    assert code_of(await api.post("/v1/verdicts", chosen)) == (409, "not_drawn")
    records = await api.topics.collect(
        Topic.VERDICTS, lambda found: drawn[0].transfer_id.encode() in {each.key() for each in found}
    )
    (said,) = [decode_verdict(each.value()) for each in records if each.key() == drawn[0].transfer_id.encode()]
    assert (said.source, said.label, said.sample_rate) == ("sample", "fraud", 0.5)
    assert drawn[0].transfer_id not in await waiting_reviews(api)
    assert (await api.get("/v1/reviews", who="icbc")).status_code == 403
    for path, after in (("/v1/reviews", "nonsense"), ("/v1/orders", "nonsense"), ("/v1/lists", "\n")):
        refused = await api.get(path, after=after)
        assert code_of(refused) == (400, "bad_cursor")
        assert refused.json()["title"] == "The query could not be read"


async def metric(api: Api, name: str) -> float:
    text = (await api.client.get("/metrics")).text
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " ")), 0.0)


async def test_operators_see_counts_and_verification(api: Api) -> None:
    subject, _ = await held(api)
    stats = await api.get("/v1/stats", who="ops")
    assert stats["orders"]["protective_stop"]["applied"] >= 1
    assert stats["transfers"]["assessed"] >= 1
    assert us_from_iso(stats["world_time"]) == stats["world_time_us"] <= wall_us()

    async def settled() -> bool:
        return bool((await api.get("/v1/stats", who="ops"))["settled"])

    await until(settled)
    report = await api.get("/v1/verify", who="ops")
    assert report["ok"], report["breaches"]
    assert report["audit_entries"] > 0
    assert (await api.get("/v1/reconciliation", who="ops"))["orders_checked"] == report["orders_checked"]
    assert (await api.get("/v1/audit", who="ops", limit=3))["entries"][0]["seq"] == 1
    for path in ("/v1/stats", "/v1/verify", "/v1/orders", "/v1/audit", "/v1/lists"):
        assert (await api.client.get(path, headers=key_of("icbc"))).status_code == 403
    listed = await api.get("/v1/orders", limit=2)
    following = await api.get("/v1/orders", limit=2, after=listed["next"])
    ids = [each["order_id"] for each in listed["orders"] + following["orders"]]
    assert len(set(ids)) == 4
    assert subject.payee_account in (await api.client.get("/v1/orders", headers=key_of("ann"))).text


async def test_an_operator_trips_the_brake_by_hand_and_nothing_is_stopped_until_it_is_rearmed(api: Api) -> None:
    path, why = "/v1/admin/brake:trip", {"reason": "false stops reported"}
    assert code_of(await api.post(path, why, who="ann")) == (403, "role_required")
    refused = await api.post(path, why | {"scope": "bank"}, who="ops")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/scope")
    for _ in range(2):
        (tripped,) = (await api.post(path, why, who="ops")).json()["tripped"]
        assert (tripped["scope"], tripped["cap"]) == ("all", "by_hand")
    assert (await api.client.get("/healthz")).json()["status"] == "advise_only"
    braked = to_new_account()
    api.topics.assess(assessed(braked))
    row = await seen(api, braked)
    assert (row["action"], row["why"]) == ("withheld", "brake")
    (cleared,) = (await api.post("/v1/admin/brake:rearm", why, who="ops")).json()["cleared"]
    assert cleared == tripped
    free = to_new_account()
    api.topics.assess(assessed(free))
    assert (await seen(api, free))["action"] == "order"
    trail = (await api.get("/v1/audit", who="ops", limit=1_000))["entries"]
    acts = [(each["action"], each["actor"]) for each in trail if each["action"].startswith("brake.")]
    assert acts[-2:] == [("brake.trip", "ops"), ("brake.rearm", "ops")]


async def test_rearming_is_for_operators(api: Api) -> None:
    assert code_of(await api.post("/v1/admin/brake:rearm", {"reason": "x"}, who="ann")) == (403, "role_required")
    assert (await api.post("/v1/admin/brake:rearm", {"reason": "x"}, who="ops")).json() == {
        "cleared": [],
        "tripped": [],
    }
    health = (await api.client.get("/healthz")).json()
    assert (health["status"], health["brake_tripped"]) == ("ok", [])
