"""Victims' reports and verdicts on transfers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.auth import Principal, Role
from api.errors import Forbidden, NotFound
from api.replies import answers, reply
from api.routes.common import Caller, runtime_of, transact
from api.schemas import ReportBody, VerdictBody
from api.service.desk import Desk
from api.service.reports import Report, ReportResult, file_report, label, load_assessment
from api.store import transfers
from models.money.types import AccountId, split_account_id

router = APIRouter(prefix="/v1", tags=["verdicts"])


@router.post("/reports", status_code=202, responses=answers(ReportResult, "What the report led to.", 202))
async def post_report(request: Request, body: ReportBody, caller: Caller) -> Response:
    """File a victim's report: the transfers are labelled as fraud, the money is held, a freeze is drafted.

    For analysts, and for banks that are a party to every transfer named.
    """
    runtime = runtime_of(request)
    ids = tuple(dict.fromkeys(body.transfer_ids))
    await _check_party(request, caller, ids)
    now_us = runtime.clock.now_us()
    report = Report(transfer_ids=ids, reported_us=min(body.reported_us or now_us, now_us), note=body.note)
    result = await transact(request, lambda desk: file_report(desk, runtime.brake, report, caller.actor))
    return reply(result, 202)


@router.post("/verdicts", status_code=202)
async def post_verdict(request: Request, body: VerdictBody, caller: Caller) -> Response:
    """Say what a transfer was found to be; a bank may speak only as ``bank``, of its own transfers."""
    if not caller.roles and body.source != "bank":
        raise Forbidden("source_not_yours", "a bank's verdict has the source bank")
    await _check_party(request, caller, (body.transfer_id,))
    now_us = runtime_of(request).clock.now_us()

    def work(desk: Desk) -> bool:
        assessment = load_assessment(desk, body.transfer_id)
        return label(desk, assessment, body.label, body.source, caller.actor, at_us=now_us, note=body.note)

    new = await transact(request, work)
    return reply({"transfer_id": body.transfer_id, "label": body.label, "duplicate": not new}, 202)


async def _check_party(request: Request, caller: Principal, transfer_ids: tuple[str, ...]) -> None:
    """Let analysts pass, and banks that are a party to every transfer; raise `Forbidden` or `NotFound`."""
    if Role.ANALYST in caller.roles:
        return
    if caller.roles:
        raise Forbidden("role_required", "this needs the role analyst")

    def banks_of(connection: Connection) -> list[tuple[str, Any]]:
        return [(each, transfers.find_assessment(connection, each)) for each in transfer_ids]

    for transfer_id, row in await runtime_of(request).database.read(banks_of):
        if row is None:
            raise NotFound("not_assessed", f"transfer {transfer_id} has no assessment (yet)")
        parties = (split_account_id(AccountId(key))[0] for key in (row.payer, row.payee))
        if not caller.is_party(*parties):
            raise Forbidden("not_a_party", f"transfer {transfer_id} does not concern this bank")
