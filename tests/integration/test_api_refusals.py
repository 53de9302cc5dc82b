"""What a client reads when it is refused, and what it need not say of its body."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from models.money.types import us_from_iso
from stream.broker import EmbeddedBroker
from telemetry.clock import wall_us
from tests.apikit import JSON, Api, key_of, running, settings_for
from tests.integration.test_api_intake import body, problem_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    broker = EmbeddedBroker()
    async with running(settings_for(broker.bootstrap, tmp_path_factory.mktemp("api"))) as running_api:
        yield running_api


async def test_a_time_ahead_is_answered_with_the_time_it_is(api: Api) -> None:
    problem = problem_of(await api.post("/v1/transfers", body(occurred_us=4_102_444_799_000_000), who="icbc"))
    told = r"(\d{4}-\S+Z) \((\d{16})\)"
    said = re.search(
        rf"in the future: it is {told} in the world; the latest time taken now is {told}$", problem["detail"]
    )
    assert said is not None, problem["detail"]
    assert us_from_iso(said[1]) == int(said[2]) <= wall_us()
    assert us_from_iso(said[3]) == int(said[4]) == int(said[2]) + 300_000_000


async def test_what_may_be_written_is_said_in_words_and_no_pattern(api: Api) -> None:
    problem = problem_of(await api.post("/v1/transfers", body(transfer_id="a b"), who="house"))
    assert problem["detail"] == "/transfer_id: may hold only digits, Latin letters and `_ . : -`"
    reported = problem_of(await api.post("/v1/reports", {"transfer_ids": ["a b"]}, who="ann"))
    assert reported["detail"] == "/transfer_ids/0: may hold only digits, Latin letters and `_ . : -` (in body)"


async def test_a_report_in_seconds_is_refused(api: Api) -> None:
    wish = {"transfer_ids": ["t"], "reported_us": 1_773_707_500}
    problem = problem_of(await api.post("/v1/reports", wish, who="ann"))
    assert problem["errors"][0]["pointer"] == "/reported_us"
    assert problem["detail"].startswith("/reported_us: 1773707500 lies before 2000-01-01 and looks like seconds;")


async def test_an_account_opened_in_1985_is_taken(api: Api) -> None:
    assert (await api.post("/v1/transfers", body(payer_opened_us=483_753_600_000_000), who="icbc")).status_code == 202


async def test_a_body_that_is_no_object_is_called_the_body(api: Api) -> None:
    for path in ("/v1/transfers", "/v1/reports"):
        problem = problem_of(await api.post(path, b"[]", who="house"))
        assert problem["detail"].startswith("the body: ")


ANY_TYPE: list[dict[str, str]] = [
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/problem+json; charset=latin-1"},
    {},
]
BODIES: list[tuple[str, str, str, dict[str, Any]]] = [  # method, path, who, body
    ("POST", "/v1/transfers:batch", "house", {"transfers": [{}]}),
    ("POST", "/v1/orders", "ann", {"kind": "freeze", "transfer_id": "nope", "reason": "r"}),
    ("POST", "/v1/reports", "ann", {"transfer_ids": ["nope"]}),
    ("POST", "/v1/verdicts", "ann", {"transfer_id": "nope", "label": "fraud"}),
    ("POST", "/v1/orders/PS-0123456789abcdef/release", "ann", {"reason": "r"}),
    ("PUT", "/v1/lists/icbc/1", "ann", {"level": "king", "reason": "r"}),
    ("POST", "/v1/admin/brake:rearm", "ops", {"reason": "r"}),
    ("POST", "/v1/admin/brake:trip", "ops", {"scope": "everything", "reason": "r"}),
]


@pytest.mark.parametrize("header", ANY_TYPE, ids=lambda header: header.get("Content-Type", "none"))
@pytest.mark.parametrize("wanted", BODIES, ids=lambda wanted: wanted[1])
async def test_a_body_is_json_whatever_its_header_says(
    api: Api, wanted: tuple[str, str, str, dict[str, Any]], header: dict[str, str]
) -> None:
    method, path, who, value = wanted
    content = msgspec.json.encode(value)
    usual = await api.client.request(method, path, content=content, headers=key_of(who) | JSON)
    answer = await api.client.request(method, path, content=content, headers=key_of(who) | header)
    assert (answer.status_code, answer.json()) == (usual.status_code, usual.json())
    assert "the body" not in answer.json().get("detail", "")
