"""Transfers at the HTTP edge: garbage is refused clearly, nothing is taken twice, nothing is half accepted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import insert

from api.store.database import StoreAway
from api.store.tables import accepted
from models.money.types import Transfer
from models.wire import Topic, decode_transfer
from stream.broker import EmbeddedBroker
from tests.apikit import JSON, Api, assessed, key_of, kill, running, settings_for, transfer, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def broker() -> EmbeddedBroker:
    return EmbeddedBroker()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with running(settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"))) as running_api:
        yield running_api


def body(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(transfer())
    for name, value in changes.items():
        if value is ...:
            del values[name]
        else:
            values[name] = value
    return values


def problem_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem: dict[str, Any] = response.json()
    assert problem["status"] == response.status_code
    assert {"type", "title", "code", "detail"} <= problem.keys()
    return problem


FIELD_GARBAGE: list[tuple[str, Any, int, str]] = [
    ("amount_fen", "100", 422, "invalid_field"),
    ("amount_fen", 1.5, 422, "invalid_field"),
    ("amount_fen", True, 422, "invalid_field"),
    ("amount_fen", None, 422, "invalid_field"),
    ("amount_fen", 0, 422, "invalid_field"),
    ("amount_fen", -1, 422, "invalid_field"),
    ("amount_fen", 10**13 + 1, 422, "invalid_field"),
    ("amount_fen", 10**40, 422, "invalid_field"),
    ("amount_fen", [1], 422, "invalid_field"),
    ("amount_fen", ..., 422, "invalid_field"),
    ("transfer_id", "", 422, "invalid_field"),
    ("transfer_id", "x" * 65, 422, "invalid_field"),
    ("transfer_id", "a b", 422, "invalid_field"),
    ("transfer_id", "a\n", 422, "invalid_field"),
    ("transfer_id", "a\u0000", 422, "invalid_field"),
    ("transfer_id", "'; DROP TABLE orders; --", 422, "invalid_field"),
    ("transfer_id", 7, 422, "invalid_field"),
    ("payer_bank", ..., 422, "invalid_field"),
    ("payer_bank", "zzz", 422, "unknown_bank"),
    ("payee_bank", "zzz", 422, "unknown_bank"),
    ("payee_bank", "中国银行", 422, "invalid_field"),
    ("payee_account", "6222020000000001/../..", 422, "invalid_field"),
    ("currency", "cny", 422, "invalid_field"),
    ("occurred_us", 4_102_444_799_000_000, 422, "future_time"),
    ("occurred_us", 4_102_444_800_000_001, 422, "invalid_field"),
    ("occurred_us", 0, 422, "invalid_field"),
    ("occurred_us", 1_773_707_500, 422, "time_unit"),
    ("occurred_us", 1_773_707_500_000, 422, "time_unit"),
    ("payer_opened_us", 1_773_707_500, 422, "time_unit"),
    ("payee_opened_us", 1_773_707_500_000, 422, "time_unit"),
    ("occurred_us", "2026-01-01T00:00:00Z", 422, "invalid_field"),
    ("payer_balance_after_fen", "x", 422, "invalid_field"),
    ("in_call", 1, 422, "invalid_field"),
    ("channel", "c" * 65, 422, "invalid_field"),
    ("schema", 2, 422, "invalid_field"),
    ("in_cal", True, 422, "invalid_field"),
]


@pytest.mark.parametrize(("field", "value", "status", "code"), FIELD_GARBAGE)
async def test_garbage_in_a_field_is_named(api: Api, field: str, value: Any, status: int, code: str) -> None:
    response = await api.post("/v1/transfers", body(**{field: value}), who="house")
    problem = problem_of(response)
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert problem["errors"][0]["pointer"] == f"/{field}"
    assert problem["errors"][0]["reason"]


async def test_transfer_to_itself_is_refused(api: Api) -> None:
    same = body(payee_bank="icbc", payee_account="6222020000000001")
    assert problem_of(await api.post("/v1/transfers", same, who="icbc"))["code"] == "same_account"


RAW_GARBAGE: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe{}", 400),
    (b'{"transfer_id":"\xff"}', 400),
    (b'{"transfer_id":"\\ud800"}', 400),
    (b"null", 422),
    (b"[]", 422),
    (b"7", 422),
    (b'"x"', 422),
    (b"[" * 100_000, 422),
    (b'{"a":' * 100_000, 422),
    (b"{}", 422),
    (b"NaN", 400),
    (b'{"amount_fen": NaN}', 400),
    (b"{}x", 400),
    (b"\x00", 400),
]


@pytest.mark.parametrize("path", ["/v1/transfers", "/v1/transfers:batch"])
@pytest.mark.parametrize(("raw", "status"), RAW_GARBAGE)
async def test_a_body_that_is_no_transfer(api: Api, path: str, raw: bytes, status: int) -> None:
    response = await api.post(path, raw, who="house")
    problem_of(response)
    assert response.status_code in {status, 400, 422}, response.text
    if path == "/v1/transfers" and raw != b"{}x":
        assert response.status_code == status


@pytest.mark.parametrize("item", [b"[" * 100_000, b"[" * 2_000 + b"]" * 2_000, b'{"a":' * 100_000])
async def test_a_batch_nested_too_deeply_is_refused(api: Api, item: bytes) -> None:
    response = await api.post("/v1/transfers:batch", b'{"transfers":[' + item + b"]}", who="icbc")
    assert (response.status_code, problem_of(response)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/v1/reports", b'{"transfer_ids": ["\xff"]}'),
        ("/v1/reports", b"{"),
        ("/v1/reports", b"["),
        ("/v1/reports", b'{"transfer_ids": []}'),
        ("/v1/reports", b'{"transfer_ids": ["a\\u0000"]}'),
        ("/v1/reports", b'{"transfer_ids": ["a"], "note": "\\ud800"}'),
        ("/v1/reports", b'{"transfer_ids": ["a"], "note": "\\u0000"}'),
        ("/v1/reports", b'{"transfer_ids": ["a"], "reported_us": 1e300}'),
        ("/v1/reports", b'{"transfer_ids": ["a"], "reported_us": "x"}'),
        ("/v1/reports", b"[" * 100_000),
        ("/v1/verdicts", b'{"transfer_id": "t", "label": "maybe"}'),
        ("/v1/orders", b'{"kind": "protective_stop", "transfer_id": "t", "reason": "r"}'),
        ("/v1/orders", b'{"kind": "freeze", "transfer_id": "t", "reason": "", "amount_fen": -1}'),
        ("/v1/orders/PS-0/release", b'{"reason": "x"}'),
        ("/v1/orders/PS-0000000000000000/release", b'{"reason": ""}'),
    ],
)
async def test_garbage_for_analysts_routes(api: Api, path: str, raw: bytes) -> None:
    response = await api.post(path, raw)
    problem_of(response)
    assert response.status_code in {400, 422}, response.text


async def test_garbage_in_paths_and_queries(api: Api) -> None:
    for path in (
        "/v1/transfers/%00",
        "/v1/transfers/" + "x" * 65,
        "/v1/transfers/nosuch",
        "/v1/orders/%00",
        "/v1/orders?limit=0",
        "/v1/orders?kind=nothing",
        "/v1/orders?account=%00",
        "/v1/orders?after=x",
        "/v1/orders?after=1:%00",
        "/v1/orders?after=99999999999999999999:x",
        "/v1/lists/icbc/%00",
        "/v1/lists?after=%00",
        "/v1/audit?after=-1",
        "/v1/audit?after=99999999999999999999999",
        "/v1/verify?settle_s=nan",
        "/nowhere",
    ):
        response = await api.client.get(path, headers=key_of("ann"))
        problem_of(response)
        assert response.status_code in {400, 404, 422}, (path, response.text)
    assert (await api.client.put("/v1/transfers", headers=key_of("ann"))).status_code == 405
    response = await api.post("/v1/transfers", body(), who="icbc", wait_ms=5_001)
    assert problem_of(response)["code"] == "invalid_field"


async def test_who_may_post(api: Api) -> None:
    async def status(headers: dict[str, str], **changes: Any) -> tuple[int, str]:
        answer = await api.client.post("/v1/transfers", json=body(**changes), headers=headers)
        return answer.status_code, answer.json().get("code", "")

    assert await status({}) == (401, "key_required")
    assert await status({"Authorization": "Bearer wrong"}) == (401, "unknown_key")
    assert await status({"Authorization": "Basic abc"}) == (401, "key_required")
    assert await status({"X-Api-Key": "icbc-key"}) == (202, "")
    assert await status(key_of("ccb")) == (202, "")
    assert await status(key_of("ccb"), payee_bank="abc") == (403, "not_a_party")
    assert await status(key_of("ann")) == (403, "not_a_party")
    assert await status(key_of("house"), payee_bank="abc") == (202, "")


async def test_same_id_with_other_content_is_a_conflict(api: Api) -> None:
    first = body()
    assert (await api.post("/v1/transfers", first, who="icbc")).json()["status"] == "accepted"
    reordered = json.dumps(dict(reversed(first.items())), indent=2).encode()
    assert (await api.post("/v1/transfers", reordered, who="icbc")).json()["status"] == "duplicate"
    changed = await api.post("/v1/transfers", first | {"amount_fen": 1}, who="icbc")
    assert (changed.status_code, problem_of(changed)["code"]) == (409, "other_content")


async def test_a_hundred_posts_of_one_transfer_at_once_make_one_record(api: Api) -> None:
    subject, other = body(), body()
    other["transfer_id"] = subject["transfer_id"]
    other["amount_fen"] = 7
    posts = [api.post("/v1/transfers", subject, who="icbc") for _ in range(50)]
    posts += [api.post("/v1/transfers:batch", {"transfers": [subject, subject]}, who="icbc") for _ in range(25)]
    answers = await asyncio.gather(*posts, api.post("/v1/transfers", other, who="icbc"))
    assert answers.pop().status_code == 409
    assert {each.status_code for each in answers} == {202}
    statuses = [
        status
        for each in answers
        for status in ([r["status"] for r in each.json().get("results", [])] or [each.json()["status"]])
    ]
    assert statuses.count("accepted") == 1
    assert set(statuses) == {"accepted", "duplicate"}
    records = [m for m in await api.topics.read_all(Topic.TRANSFERS) if subject["transfer_id"] in str(m.value())]
    assert len(records) == 1


async def test_batch_judges_each_transfer_by_itself(api: Api) -> None:
    good, again = body(), body()
    await api.post("/v1/transfers", again, who="icbc")
    batch = [
        good,
        again,
        again | {"amount_fen": 9},
        body(amount_fen="x"),
        body(payee_bank="abc", payer_bank="ccb"),
        7,
        good,
    ]
    response = await api.post("/v1/transfers:batch", {"transfers": batch}, who="icbc")
    assert response.status_code == 202
    answer = response.json()
    assert [each["status"] for each in answer["results"]] == [
        "accepted", "duplicate", "refused", "refused", "refused", "refused", "duplicate",
    ]  # fmt: skip
    assert (answer["accepted"], answer["duplicate"], answer["refused"]) == (1, 2, 4)
    codes = [each["problem"]["code"] for each in answer["results"] if "problem" in each]
    assert codes == ["other_content", "invalid_field", "not_a_party", "invalid_field"]
    assert answer["results"][3]["problem"]["errors"][0]["pointer"] == "/amount_fen"
    assert answer["results"][0]["transfer_id"] == good["transfer_id"]


@pytest.mark.parametrize("size", [0, 1_001])
async def test_batch_has_limits(api: Api, size: int) -> None:
    raw = b'{"transfers":[' + b",".join([b"1"] * size) + b"]}"
    response = await api.post("/v1/transfers:batch", raw, who="icbc")
    assert (response.status_code, problem_of(response)["code"]) == (422, "batch_size")


async def test_a_full_batch_arrives_whole_keyed_by_payer(api: Api) -> None:
    batch = [body(payer_account=f"62220{number:04d}") for number in range(1_000)]
    response = await api.post("/v1/transfers:batch", {"transfers": batch}, who="icbc")
    assert response.json()["accepted"] == 1_000
    wanted = {each["transfer_id"] for each in batch}
    found: list[Transfer] = []
    for message in await api.topics.read_all(Topic.TRANSFERS):
        record = decode_transfer(message.value())
        if record.transfer_id in wanted:
            assert message.key().decode() == record.payer
            found.append(record)
    assert {each.transfer_id for each in found} == wanted
    assert len(found) == 1_000


async def test_too_large_a_body_is_refused_by_its_length_and_while_it_streams(api: Api) -> None:
    response = await api.post("/v1/transfers", b" " * 10_000_000, who="icbc")
    assert (response.status_code, problem_of(response)["code"]) == (413, "body_too_large")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b" " * 1_000

    streamed = await api.client.post("/v1/transfers", content=endless(), headers=key_of("icbc") | JSON)
    assert (streamed.status_code, problem_of(streamed)["code"]) == (413, "body_too_large")
    for path in ("/v1/reports", "/v1/verdicts"):
        streamed = await api.client.post(path, content=endless(), headers=key_of("ann") | JSON)
        assert streamed.status_code == 413, streamed.text


async def test_bank_sees_its_own_transfers_only(api: Api) -> None:
    subject = body()
    await api.post("/v1/transfers", subject, who="icbc")
    path = f"/v1/transfers/{subject['transfer_id']}"
    for who in ("icbc", "ccb", "house", "ann"):
        assert (await api.get(path, who=who))["status"] == "accepted"
    foreign = body(payer_bank="ccb", payee_bank="abc")
    await api.post("/v1/transfers:batch", {"transfers": [foreign]}, who="ccb")
    path = f"/v1/transfers/{foreign['transfer_id']}"
    assert (await api.get(path, who="ccb"))["status"] == "accepted"
    unassessed = await api.get(path, who="icbc")
    api.topics.assess(assessed(msgspec.convert(foreign, Transfer)))
    await until(lambda: assessed_for(api, path))
    for response in (unassessed, await api.get(path, who="icbc")):
        assert (response.status_code, problem_of(response)["code"]) == (403, "not_a_party")
    assert (await api.get("/v1/transfers/none", who="icbc")).status_code == 404


async def assessed_for(api: Api, path: str) -> bool:
    return (await api.get(path))["status"] == "assessed"


async def test_whom_an_old_registry_did_not_keep_as_party_reads_after_the_assessment(api: Api) -> None:
    subject = transfer(transfer_id="from-before-parties")
    path = f"/v1/transfers/{subject.transfer_id}"
    old = insert(accepted).values(transfer_id=subject.transfer_id, digest=b"d")
    await api.runtime.database.write(lambda connection: connection.execute(old))
    for who in ("ann", "house"):
        assert (await api.get(path, who=who))["status"] == "unconfirmed"
    for who in ("icbc", "ccb"):
        problem = problem_of(await api.get(path, who=who))
        assert problem["code"] == "not_a_party"
        assert "its assessment will tell" in problem["detail"]
    api.topics.assess(assessed(subject))
    await until(lambda: assessed_for(api, path))
    assert (await api.get(path, who="icbc"))["status"] == "assessed"


async def test_database_away_is_503_and_nothing_is_sent(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any) -> Any:
        raise StoreAway("away")

    subject = body()
    monkeypatch.setattr(api.runtime.database, "submit", away)
    response = await api.post("/v1/transfers", subject, who="icbc")
    assert (response.status_code, problem_of(response)["code"]) == (503, "database_away")
    assert "retry-after" in response.headers
    monkeypatch.undo()
    assert (await api.post("/v1/transfers", subject, who="icbc")).json()["status"] == "accepted"


async def test_an_error_of_ours_is_a_problem_and_is_logged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.runtime.intake, "accept", lambda *_: 1 / 0)
    response = await api.post("/v1/transfers", body(), who="icbc")
    assert (response.status_code, problem_of(response)["code"]) == (500, "internal")
    assert "division" not in response.text


async def taken_by(api: Api, subject: dict[str, Any]) -> bool:
    return (await api.post("/v1/transfers", subject, who="icbc")).status_code == 202


async def test_broker_away_is_503_and_the_repost_is_taken_once(tmp_path: Any) -> None:
    broker = EmbeddedBroker()
    subject = body()
    settings = settings_for(broker.bootstrap, tmp_path, confirm_timeout_s=1.0)
    async with running(settings) as api:
        first = body()
        await until(lambda: taken_by(api, first))
        await kill(broker)
        lost = await api.post("/v1/transfers", subject, who="icbc")
        batch = await api.post("/v1/transfers:batch", {"transfers": [body(), subject]}, who="icbc")
        for response in (lost, batch):
            assert (response.status_code, problem_of(response)["code"]) == (503, "broker_away")
            assert response.headers["retry-after"] == "1"
        assert (await api.get(f"/v1/transfers/{first['transfer_id']}", who="icbc"))["status"] == "accepted"
        assert (await api.get(f"/v1/transfers/{subject['transfer_id']}", who="icbc"))["status"] == "unconfirmed"
        assert (await api.client.get("/readyz")).status_code == 503
        assert (await api.client.get("/healthz")).status_code == 200
    again = EmbeddedBroker()
    async with running(settings_for(again.bootstrap, tmp_path)) as api:
        taken = await api.post("/v1/transfers", subject, who="icbc")
        assert (taken.status_code, taken.json()["status"]) == (202, "accepted")
        assert (await api.get(f"/v1/transfers/{subject['transfer_id']}", who="icbc"))["status"] == "accepted"
        repeated = await api.post("/v1/transfers", subject, who="icbc")
        assert repeated.json()["status"] == "duplicate"
        records = [m for m in await api.topics.read_all(Topic.TRANSFERS) if subject["transfer_id"] in str(m.value())]
        assert len(records) == 1
