"""Answers as JSON made by msgspec, and the schemas of both for OpenAPI."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from api.decoding import PostedTransfer
from api.intake import Status
from api.service.listing import ListView
from api.service.reports import ReportResult
from api.verify import Verification
from api.waiters import DecisionView
from models.control.records import Order
from models.money.types import Transfer
from models.risk.assessment import Assessment
from models.risk.facts import CASH_CHANNELS
from models.wire import ModelSnapshot, VerdictSource

_encode: Final = msgspec.json.Encoder().encode


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return any msgspec value as a JSON answer."""
    return Response(_encode(value), status_code=status, media_type="application/json", headers=headers)


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a posted transfer. ``decision`` is null unless it was waited for and came in time."""

    transfer_id: str
    status: Status
    accepted_us: int
    decision: DecisionView | None = None


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one transfer of a batch: ``accepted``, ``duplicate`` or ``refused`` with its problem."""

    transfer_id: str
    status: str
    accepted_us: int = 0
    problem: dict[str, Any] | None = None


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a batch, items in the order they were posted."""

    accepted: int
    duplicate: int
    refused: int
    results: list[BatchItem]


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer and what Sluice says of it; ``assessment`` is null until it is assessed.

    ``status`` is ``accepted``, then ``assessed``; ``unconfirmed`` while the broker has not
    confirmed it: such a post was not answered as accepted and must be repeated.
    """

    transfer_id: str
    status: str
    assessment: Assessment | None = None
    action: str = ""
    why: str = ""
    order_ids: list[str] = []
    verdicts: list[dict[str, str]] = []


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """Orders, the newest first; ``next`` goes into ``after`` for the following page."""

    orders: list[Order]
    next: str


class ReviewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer that an analyst should look at; answered by a verdict with this ``source``.

    It tells no risk: whoever looks should not be led by it.
    """

    transfer: Transfer
    source: VerdictSource
    priority: str
    drawn_us: int


class ReviewPage(msgspec.Struct, frozen=True, kw_only=True):
    """Transfers that wait for a look, the latest first; ``next`` goes into ``after`` for the following page."""

    reviews: list[ReviewTask]
    next: str


DOCUMENTED: Final = (
    PostedTransfer, Acceptance, BatchResult, TransferView, Order, OrderPage, ReportResult, ListView, Verification,
    ModelSnapshot, ReviewPage,
)  # fmt: skip

EXAMPLE_TRANSFER: Final = {
    "transfer_id": "t-20260317-000042",
    "payer_bank": "jiangnan",
    "payer_account": "6222021234567890",
    "payee_bank": "donghai",
    "payee_account": "6217009876543210",
    "amount_fen": 6_802_300,
    "occurred_us": 1_773_707_400_000_000,
    "currency": "CNY",
    "channel": "mobile",
    "payer_balance_after_fen": 120_000,
    "in_call": True,
}


CASH_CHANNELS_SAY: Final = (
    f" These words, in capitals or not, set the flag `cash_channel`, by which rule M12 sees money leave the accounts:"
    f" {', '.join(sorted(CASH_CHANNELS))}. Any other word is kept and means nothing to Sluice."
)


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def answers(kind: type, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that answers with a documented struct."""
    return {status: {"description": description, "content": {"application/json": {"schema": _ref(kind)}}}}


def posts(kind: type, example: Any) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route whose body msgspec decodes."""
    content = {"schema": _ref(kind), "examples": {"usual": {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


BATCH_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["transfers"],
                    "properties": {
                        "transfers": {"type": "array", "minItems": 1, "maxItems": 1000, "items": _ref(PostedTransfer)}
                    },
                },
                "examples": {"usual": {"value": {"transfers": [EXAMPLE_TRANSFER]}}},
            }
        },
    }
}

PROBLEM_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}


def document(app: FastAPI) -> None:
    """Make ``/openapi.json`` complete: msgspec's schemas, the problem format, the two ways to send a key."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _build(app: FastAPI) -> dict[str, Any]:
    spec = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, components = msgspec.json.schema_components(DOCUMENTED, ref_template="#/components/schemas/{name}")
    posted = components[PostedTransfer.__name__]
    posted["required"] = [name for name in posted["required"] if name != "schema"]
    for name in (PostedTransfer.__name__, Transfer.__name__):
        components[name]["properties"]["channel"]["description"] += CASH_CHANNELS_SAY
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    schemas |= components | {"Problem": PROBLEM_SCHEMA}
    spec["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    }
    spec["security"] = [{"bearer": []}, {"apiKey": []}]
    problem = {
        "description": "Refused; RFC 9457.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in spec["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
    return spec
