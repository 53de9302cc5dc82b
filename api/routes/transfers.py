"""Banks post transfers and read what was decided."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.auth import Principal
from api.decoding import PostedTransfer, decode, decode_batch, decode_posted
from api.errors import ApiError, Conflict, FieldProblem, Forbidden, NotFound, Unavailable, Unprocessable
from api.intake import Outcome, Status
from api.replies import (
    BATCH_BODY,
    EXAMPLE_TRANSFER,
    Acceptance,
    BatchItem,
    BatchResult,
    TransferView,
    answers,
    posts,
    reply,
)
from api.routes.common import Caller, principal_of, runtime_of
from api.runtime import Runtime
from api.schemas import TransferPath
from api.screening import decision_of, objection
from api.store import orders, transfers, verdicts
from models.wire import UNREADABLE, decode_assessment
from telemetry import metrics
from telemetry.tracing import TRACEPARENT, Trace, parse_traceparent

router = APIRouter(prefix="/v1", tags=["transfers"])

MAX_WAIT_MS: Final = 5_000
"""Longest wait for a decision that may be asked for."""

FOREIGN: Final = "the transfer does not concern this bank"
PARTIES_UNKNOWN: Final = "whom the transfer concerns was not kept when it was posted; its assessment will tell"

WAIT_PARAMETER: Final = {
    "parameters": [
        {
            "name": "wait_ms",
            "in": "query",
            "description": "How long to wait for the decision, in milliseconds.",
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_MS, "default": 0},
        }
    ]
}


@router.post(
    "/transfers",
    status_code=202,
    openapi_extra=posts(PostedTransfer, EXAMPLE_TRANSFER) | WAIT_PARAMETER,
    responses=answers(Acceptance, "Accepted and confirmed by the broker.", 202)
    | answers(Acceptance, "Accepted, with the decision that was waited for."),
)
async def post_transfer(request: Request) -> Response:
    """Post one executed transfer. Posting it again with the same content gives the same answer."""
    principal, runtime = principal_of(request), runtime_of(request)
    try:
        wait_ms = _wait_ms(request)
        transfer = decode(decode_posted, await request.body())
        _check(runtime, principal, transfer)
    except ApiError as error:
        metrics.TRANSFERS_REFUSED.labels(error.code).inc()
        raise
    trace = parse_traceparent(request.headers.get(TRACEPARENT))
    if not wait_ms:
        (outcome,) = await runtime.intake.accept([transfer], trace)
        return _answer(transfer, _checked(transfer, outcome), None)
    return await _post_and_wait(runtime, transfer, trace, wait_ms / 1000)


def _wait_ms(request: Request) -> int:
    """Read the only query parameter by hand: this is the hot path, and FastAPI's way costs more than the rest."""
    if not request.scope["query_string"]:
        return 0
    text = request.query_params.get("wait_ms", "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or int(text) > MAX_WAIT_MS:
        field = FieldProblem("/wait_ms", f"a whole number from 0 to {MAX_WAIT_MS} (in query)")
        raise Unprocessable("invalid_field", str(field), (field,))
    return int(text)


def _check(runtime: Runtime, principal: Principal, transfer: PostedTransfer) -> None:
    problem = objection(transfer, principal, runtime.banks, runtime.present())
    if problem is not None:
        raise problem


def _answer(transfer: PostedTransfer, outcome: Outcome, decision: Any) -> Response:
    body = Acceptance(
        transfer_id=transfer.transfer_id,
        status=outcome.status,
        accepted_us=outcome.accepted_wall_us,
        decision=decision,
    )
    return reply(body, 202 if decision is None else 200)


def _checked(transfer: PostedTransfer, outcome: Outcome) -> Outcome:
    """Return the outcome of an accepted transfer; raise `Conflict` or `Unavailable` for another."""
    if outcome.status is Status.CONFLICT:
        raise _conflict(transfer.transfer_id)
    if outcome.status is Status.UNAVAILABLE:
        metrics.TRANSFERS_REFUSED.labels("broker_away").inc()
        raise Unavailable("broker_away", "the broker did not confirm the transfer; post it again")
    return outcome


def _conflict(transfer_id: str) -> Conflict:
    """Count a transfer whose id is known with other content; return what to tell its bank."""
    metrics.TRANSFERS_REFUSED.labels("other_content").inc()
    return Conflict("other_content", f"transfer {transfer_id} was posted before with other content")


async def _post_and_wait(runtime: Runtime, transfer: PostedTransfer, trace: Trace | None, wait_s: float) -> Response:
    """Wait for the decision from before the transfer leaves, so that it cannot be missed."""
    waiting = runtime.waiters.expect(transfer.transfer_id)
    try:
        (outcome,) = await runtime.intake.accept([transfer], trace)
        _checked(transfer, outcome)
        if outcome.status is Status.DUPLICATE:
            known = await runtime.database.read(lambda c: decision_of(c, transfer.transfer_id))
            if known is not None:
                return _answer(transfer, outcome, known)
        if waiting is None:
            return _answer(transfer, outcome, None)
        decision = await runtime.await_decision(transfer.transfer_id, waiting, wait_s)
        return _answer(transfer, outcome, decision)
    finally:
        if waiting is not None:
            runtime.waiters.forget(transfer.transfer_id, waiting)


@router.post(
    "/transfers:batch",
    status_code=202,
    openapi_extra=BATCH_BODY,
    responses=answers(BatchResult, "Each transfer judged by itself.", 202),
)
async def post_batch(request: Request) -> Response:
    """Post up to 1,000 executed transfers. If the broker is away the answer is 503 and all may be posted again."""
    principal, runtime = principal_of(request), runtime_of(request)
    batch = decode(decode_batch, await request.body())
    if not 1 <= len(batch.transfers) <= runtime.settings.max_batch:
        limit = runtime.settings.max_batch
        raise Unprocessable("batch_size", f"a batch has 1 to {limit} transfers, not {len(batch.transfers)}")
    items: list[BatchItem | PostedTransfer] = [_judged(runtime, principal, raw) for raw in batch.transfers]
    good = [item for item in items if isinstance(item, PostedTransfer)]
    trace = parse_traceparent(request.headers.get(TRACEPARENT))
    outcomes = await runtime.intake.accept(good, trace) if good else []
    return _batch_answer(items, outcomes)


def _judged(runtime: Runtime, principal: Principal, raw: msgspec.Raw) -> BatchItem | PostedTransfer:
    """Return a transfer of a batch, or why it is refused."""
    try:
        transfer = decode(decode_posted, raw)
        _check(runtime, principal, transfer)
    except ApiError as error:
        metrics.TRANSFERS_REFUSED.labels(error.code).inc()
        return BatchItem(transfer_id=_id_of(raw), status="refused", problem=error.problem())
    return transfer


class _OnlyId(msgspec.Struct):
    transfer_id: str = ""


_decode_id: Final = msgspec.json.Decoder(_OnlyId).decode


def _id_of(raw: msgspec.Raw) -> str:
    """Return the id of a refused item if it can be read at all."""
    try:
        return _decode_id(raw).transfer_id[:64]
    except UNREADABLE:
        return ""


def _batch_answer(items: list[BatchItem | PostedTransfer], outcomes: list[Outcome]) -> Response:
    remaining = iter(outcomes)
    results: list[BatchItem] = []
    away = 0
    for item in items:
        if isinstance(item, BatchItem):
            results.append(item)
            continue
        outcome = next(remaining)
        away += outcome.status is Status.UNAVAILABLE
        problem = _conflict(item.transfer_id).problem() if outcome.status is Status.CONFLICT else None
        status = "refused" if problem else outcome.status.value
        results.append(
            BatchItem(
                transfer_id=item.transfer_id,
                status=status,
                accepted_us=outcome.accepted_wall_us,
                problem=problem,
            )
        )
    if away:
        metrics.TRANSFERS_REFUSED.labels("broker_away").inc(away)
        detail = "the broker did not confirm every transfer; post the batch again"
        raise Unavailable("broker_away", detail, results=results)
    counts = {name: sum(each.status == name for each in results) for name in ("accepted", "duplicate", "refused")}
    return reply(BatchResult(results=results, **counts), 202)


class _Found(NamedTuple):
    """What is known of a transfer, and the banks that may read it; none where an old registry did not keep them."""

    view: TransferView
    parties: tuple[str, ...]


@router.get("/transfers/{transfer_id}", responses=answers(TransferView, "What is known of the transfer."))
async def get_transfer(request: Request, transfer_id: TransferPath, caller: Caller) -> Response:
    """Return a transfer's assessment, orders and verdicts. A bank sees the transfers it is a party to."""
    runtime = runtime_of(request)
    confirmed = runtime.registry.will_note(transfer_id)  # before the database is asked: in between it may be noted
    found = await runtime.database.read(lambda connection: _find(connection, transfer_id, confirmed=confirmed))
    if found is None:
        raise NotFound("unknown_transfer", f"there is no transfer {transfer_id}")
    if not caller.roles and not caller.is_party(*found.parties):
        raise Forbidden("not_a_party", FOREIGN if found.parties else PARTIES_UNKNOWN)
    return reply(found.view)


def _find(connection: Connection, transfer_id: str, *, confirmed: bool) -> _Found | None:
    row = transfers.find_assessment(connection, transfer_id)
    if row is None:
        known = transfers.find_accepted(connection, transfer_id)
        return None if known is None else _registered(known, confirmed=confirmed)
    assessment = decode_assessment(row.body)
    view = TransferView(
        transfer_id=transfer_id,
        status="assessed",
        assessment=assessment,
        action=row.action,
        why=row.why,
        order_ids=[order.order_id for order in orders.of_transfer(connection, transfer_id)],
        verdicts=[
            {"label": each.label, "source": each.source} for each in verdicts.of_transfer(connection, transfer_id)
        ],
    )
    return _Found(view, (assessment.transfer.payer_bank, assessment.transfer.payee_bank))


def _registered(row: Any, *, confirmed: bool) -> _Found:
    """Return what the registry alone knows of a transfer."""
    status = "accepted" if confirmed or row.confirmed_wall_us else "unconfirmed"
    parties = () if row.payer_bank is None else (row.payer_bank, row.payee_bank)
    return _Found(TransferView(transfer_id=row.transfer_id, status=status), parties)
