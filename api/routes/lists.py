"""White, black and grey lists. Every change needs a second person."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.errors import BadQuery, Unprocessable
from api.replies import answers, reply
from api.routes.common import Analyst, Approver, Staff, runtime_of, transact
from api.schemas import AccountPath, BankPath, ListBody, ReasonBody
from api.service import listing
from api.service.listing import ListView
from api.store import lists
from models.money.types import AccountId, account_id
from models.risk.assessment import ListLevel

router = APIRouter(prefix="/v1/lists", tags=["lists"])

VIEW = answers(ListView, "The account's level and the change that waits, if any.")
MAX_PAGE = 500


@router.get("")
async def list_entries(
    request: Request,
    _caller: Staff,
    after: str = Query(default="", max_length=64),
    limit: int = Query(100, ge=1, le=MAX_PAGE),
) -> Response:
    """Return list entries by account, and the changes that wait for their second person."""
    if not after.isprintable():
        raise BadQuery("bad_cursor", "`after` must be an account of the page before")
    database = runtime_of(request).database
    entries = await database.read(lambda connection: lists.listed(connection, after, limit))
    waiting = await database.read(lambda connection: lists.pending_changes(connection, limit))
    return reply(
        {"entries": [dict(row._mapping) for row in entries], "pending": [dict(row._mapping) for row in waiting]}
    )


@router.get("/{bank}/{account}", responses=VIEW)
async def get_entry(request: Request, bank: BankPath, account: AccountPath, _caller: Staff) -> Response:
    """Return what the lists say of an account."""
    view = await runtime_of(request).database.read(lambda c: listing.view(c, account_id(bank, account)))
    return reply(view)


@router.put("/{bank}/{account}", status_code=202, responses=answers(ListView, "The change waits.", 202))
async def put_entry(
    request: Request, bank: BankPath, account: AccountPath, body: ListBody, caller: Analyst
) -> Response:
    """Ask for a level; it is in force once another person has approved it."""
    key = _known(request, bank, account)
    work = lambda desk: listing.request_change(desk, key, body.level, body.reason, caller.actor)  # noqa: E731
    return reply(await transact(request, work), 202)


@router.delete("/{bank}/{account}", status_code=202, responses=answers(ListView, "The change waits.", 202))
async def delete_entry(
    request: Request,
    bank: BankPath,
    account: AccountPath,
    caller: Analyst,
    reason: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Ask to take an account off its list; it is off once another person has approved it."""
    key = _known(request, bank, account)
    text = reason if reason.strip() and reason.isprintable() else "removal requested"
    work = lambda desk: listing.request_change(desk, key, ListLevel.NONE, text, caller.actor)  # noqa: E731
    return reply(await transact(request, work), 202)


@router.post("/{bank}/{account}/approve", responses=VIEW)
async def approve(request: Request, bank: BankPath, account: AccountPath, caller: Approver) -> Response:
    """Put the waiting change in force; all workers hear of it."""
    key = account_id(bank, account)
    return reply(await transact(request, lambda d: listing.decide_change(d, key, approve=True, checker=caller.actor)))


@router.post("/{bank}/{account}/reject", responses=VIEW)
async def reject(
    request: Request, bank: BankPath, account: AccountPath, body: ReasonBody, caller: Approver
) -> Response:
    """Drop the waiting change."""
    key = account_id(bank, account)
    return reply(
        await transact(
            request,
            lambda d: listing.decide_change(d, key, approve=False, checker=caller.actor, reason=body.reason),
        )
    )


def _known(request: Request, bank: str, account: str) -> AccountId:
    if bank not in runtime_of(request).banks:
        raise Unprocessable("unknown_bank", f"no bank {bank!r} is known")
    return account_id(bank, account)
