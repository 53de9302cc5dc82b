"""OpenAPI says all of the api: every schema it names, and for each body an example that the api would take."""

from __future__ import annotations

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


@pytest.fixture
async def spec(tmp_path: Path) -> dict[str, Any]:
    app = create_app(
        ApiSettings(broker="127.0.0.1:1", database_url=f"sqlite:///{tmp_path}/x.db", bank_url="http://bank")
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        assert (await client.get("/docs")).status_code == 200
        found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


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
