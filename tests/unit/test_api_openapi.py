"""OpenAPI says all of the api: every schema it names, and for each body an example that the api would take."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest

from api import schemas
from api.app import create_app
from api.decoding import decode_batch, decode_posted
from api.settings import ApiSettings
from models.money.types import Transfer, iso_from_us
from models.risk.facts import CASH_CHANNELS
from telemetry.clock import ManualClock
from tests.controlkit import T0

API_PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an api that was built, but not started, at a fixed world time."""
    settings = ApiSettings(broker="127.0.0.1:1", database_url=f"sqlite:///{tmp_path}/x.db", bank_url="http://bank")
    transport = httpx.ASGITransport(create_app(settings, clock=ManualClock(T0)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.fixture
async def spec(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


async def test_the_page_of_the_docs_needs_no_other_host(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert not re.findall(r"""["'(=](?:\w+:)?//[^"')\s]*""", answer.text)
    assert '"validatorUrl": null' in answer.text
    needed = re.findall(r"""(?:src|href)="([^"]+)\"""", answer.text)
    assert {path.rpartition(".")[2] for path in needed} >= {"js", "css"}
    for path in needed:
        assert path.startswith("/")
        asset = await client.get(path)
        assert asset.status_code == 200, path
        assert len(asset.content) > 1_000
    assert (await client.get("/redoc")).status_code == 404


async def test_whoever_asks_hears_the_time_of_the_world(client: httpx.AsyncClient) -> None:
    health = (await client.get("/healthz")).json()
    assert health["world_time_us"] == T0
    assert health["world_time"] == iso_from_us(T0)
    assert (await client.head("/healthz")).status_code == 200
    assert (await client.head("/metrics")).status_code == 200


def bodies(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is said of every request body."""
    operations = [operation for path in spec["paths"].values() for operation in path.values()]
    return [each["requestBody"]["content"]["application/json"] for each in operations if "requestBody" in each]


def test_every_schema_that_is_named_is_there(spec: dict[str, Any]) -> None:
    text = msgspec.json.encode(spec).decode()
    for name in text.split('"$ref":"#/components/schemas/')[1:]:
        assert name.split('"')[0] in spec["components"]["schemas"]
    for path in (
        "/v1/transfers",
        "/v1/transfers:batch",
        "/v1/orders/{order_id}/approve",
        "/v1/reports",
        "/v1/lists/{bank}/{account}",
    ):
        assert path in spec["paths"]


@pytest.mark.parametrize("name", ["PostedTransfer", "Transfer"])
def test_every_field_of_a_transfer_is_described(spec: dict[str, Any], name: str) -> None:
    fields = spec["components"]["schemas"][name]["properties"]
    for field in msgspec.structs.fields(Transfer):
        said = fields[field.name]["description"]
        assert "microseconds since" in said or "as in `" in said or not field.name.endswith("_us")
        assert "fen" in said or not field.name.endswith("_fen")
        assert field.default is not None or "Null means" in said or "null as in" in said
        assert field.default != "" or "Empty means not told" in said


def test_the_words_of_a_channel_are_those_of_the_code_in_schema_and_page(spec: dict[str, Any]) -> None:
    for name in ("PostedTransfer", "Transfer"):
        said = spec["components"]["schemas"][name]["properties"]["channel"]["description"]
        assert set(re.findall(r"\b[A-Z][A-Z_-]{2,}\b", said)) == CASH_CHANNELS
    (said,) = re.findall(
        r"^\* `channel` is free text.*?\n  (`ATM`.*?)\. ", API_PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert set(re.findall(r"`([^`]+)`", said)) == CASH_CHANNELS


def test_the_examples_of_transfers_are_valid_by_schema_and_decoder(spec: dict[str, Any]) -> None:
    posted, batch = (body["examples"]["usual"]["value"] for body in bodies(spec) if "examples" in body)
    decode_posted.decode(msgspec.json.encode(posted))
    (item,) = decode_batch.decode(msgspec.json.encode(batch)).transfers
    decode_posted.decode(item)
    schema = {"$ref": "#/components/schemas/PostedTransfer", "components": spec["components"]}
    jsonschema.validate(posted, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(posted | {"amount_fen": -1}, schema)


def test_every_other_body_has_an_example_that_would_be_taken(spec: dict[str, Any]) -> None:
    names = {body["schema"]["$ref"].rpartition("/")[2] for body in bodies(spec) if "examples" not in body}
    assert {"ReportBody", "VerdictBody", "DraftBody", "ApproveBody"} <= names
    for name in names:
        (shown,) = spec["components"]["schemas"][name]["examples"]
        getattr(schemas, name).model_validate(shown)
