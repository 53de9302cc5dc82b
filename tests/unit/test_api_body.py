"""A body that FastAPI cannot read, on a route with a pydantic schema: the problem names what is wrong, and where."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from api.app import add_handlers


class Body(BaseModel):
    note: str


def program() -> FastAPI:
    app = FastAPI()
    add_handlers(app)

    @app.post("/notes")
    async def note(body: Body) -> str:
        return body.note

    return app


async def post(body: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(program())
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.post("/notes", content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b'{"note": }', "invalid_json", "the body is not JSON: Expecting value (character 9)"),
        (b'{"note": "\xff"}', "invalid_utf8", "the body is not UTF-8: invalid start byte at byte 10"),
        (b"[" * 200_000, "invalid_json", "the body is nested deeper than any of ours"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_with_its_place(body: bytes, code: str, detail: str) -> None:
    answer = await post(body)
    problem = answer.json()
    assert (answer.status_code, problem["title"]) == (400, "The body could not be read")
    assert (problem["code"], problem["detail"]) == (code, detail)


async def test_a_number_too_long_for_python_is_named() -> None:
    problem = (await post(b'{"note": ' + b"9" * 5_000 + b"}")).json()
    assert (problem["status"], problem["code"]) == (400, "invalid_json")
    assert "digits" in problem["detail"]


async def test_a_field_at_fault_is_pointed_at() -> None:
    answer = await post(b'{"note": 7}')
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/note")


async def test_a_path_of_no_route_keeps_the_title_of_the_framework() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(program()), base_url="http://api") as client:
        problem = (await client.get("/nowhere")).json()
    assert (problem["code"], problem["title"]) == ("http_404", "The request does not fit any route")
