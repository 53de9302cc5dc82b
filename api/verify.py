"""Checks what must always hold: the audit chain, orders against the banks' controls, accepted against assessed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection

from api.bank import Gateway, NoAnswer
from api.service.desk import is_present
from api.store import audit, orders, outbox, transfers
from api.store.database import Database
from models.control.messages import AppliedControl
from models.control.records import Order
from models.control.states import IN_FORCE, OrderState
from telemetry.clock import Clock, wall_us

PAGE: Final = 1_000
CONCURRENCY: Final = 8
MAX_BREACHES: Final = 100
RECHECK_S: Final = 0.5
"""A disagreement is looked at again after this: an order may have been on its way."""

OUR_APPLICATION_ID: Final = re.compile(r"(PS|SP|FR)-[0-9a-f]{16}-[0-9]{2}")

SETTLE_US: Final = 30_000_000
"""Wall time after which an accepted transfer without an assessment is a breach."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must not be."""

    kind: str
    subject: str
    detail: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Result of `verify`; ``breaches`` are the findings in words.

    ``unclear`` counts orders with a command under way: they claim nothing yet, so they contradict nothing.
    """

    ok: bool
    breaches: list[str]
    findings: list[Breach]
    audit_entries: int
    orders_checked: int
    unclear: int
    silent_banks: list[str]
    accepted: int
    assessed: int
    unassessed: int
    outbox_open: int


async def verify(database: Database, gateway: Gateway, clock: Clock, *, settle_us: int = SETTLE_US) -> Verification:
    """Check everything and return what was found; raise `StoreAway` if the database cannot be read."""
    chain = await database.read(audit.verify)
    breaches = [Breach(kind="audit", subject="chain", detail=chain.breach)] if chain.breach else []
    missing = await database.read(lambda c: transfers.unassessed(c, wall_us() - settle_us, MAX_BREACHES))
    breaches += [Breach(kind="unassessed", subject=each, detail="accepted, never assessed") for each in missing]
    compared = await _compare_orders(database, gateway, clock)
    breaches += compared.breaches
    breaches += [
        Breach(kind="bank_silent", subject=bank, detail="does not answer, so nothing can be said of its controls")
        for bank in sorted(compared.silent)
    ]
    counts = await database.read(transfers.count_transfers)
    ages = await database.read(outbox.ages)
    return Verification(
        ok=not breaches,
        breaches=[f"{each.kind} {each.subject}: {each.detail}" for each in breaches[:MAX_BREACHES]],
        findings=breaches[:MAX_BREACHES],
        audit_entries=chain.entries,
        orders_checked=compared.checked,
        unclear=compared.unclear,
        silent_banks=sorted(compared.silent),
        accepted=counts["accepted"],
        assessed=counts["assessed"],
        unassessed=len(missing),
        outbox_open=sum(number for _, number, _ in ages),
    )


class _Compared(msgspec.Struct, kw_only=True):
    breaches: list[Breach] = []
    checked: int = 0
    unclear: int = 0
    silent: set[str] = set()


async def _compare_orders(database: Database, gateway: Gateway, clock: Clock) -> _Compared:
    """Compare every account that has orders with its bank; look twice before calling it a breach."""
    result = _Compared()
    slots = asyncio.Semaphore(CONCURRENCY)

    async def check(bank: str, account: str, *, again: bool) -> list[Breach]:
        async with slots:
            try:
                controls = await gateway.controls(bank, account)
            except NoAnswer:
                result.silent.add(bank)
                return []
        found = await database.read(lambda c: orders.on_account(c, bank, account))
        breaches = compare(found, controls or [], clock.now_us())
        if breaches and not again:
            await asyncio.sleep(RECHECK_S)
            return await check(bank, account, again=True)
        result.checked += len(found)
        result.unclear += sum(order.purpose is not None for order in found)
        return breaches

    accounts = await database.read(_accounts)
    for breaches in await asyncio.gather(*(check(bank, account, again=False) for bank, account in accounts)):
        result.breaches += breaches
    return result


def _accounts(connection: Connection) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    after = ""
    while page := orders.every(connection, after, PAGE):
        found |= {(order.bank, order.account): None for order in page if order.command_seq}
        after = page[-1].order_id
    return list(found)


def compare(found: Iterable[Order], controls: Iterable[AppliedControl], now_us: int) -> list[Breach]:
    """Return where the orders on one account and the bank's controls on it contradict each other.

    An order with an open command is unclear, so it contradicts nothing. A
    superseded stop may run out by itself. What expires now may be gone already.
    """
    reported: Mapping[str, AppliedControl] = {each.application_id: each for each in controls}
    breaches: list[Breach] = []
    ours: set[str] = set()
    for order in found:
        ours |= {f"{order.order_id}-{number:02d}" for number in range(1, order.command_seq + 1)}
        control = reported.get(order.applied_application_id)
        if order.purpose is not None:
            continue
        if is_present(order) and order.state in IN_FORCE and control is None and now_us < order.expire_us:
            breaches.append(_breach("control_missing", order, f"{order.state}, but the bank has no such control"))
        if control is not None and not is_present(order) and order.state is not OrderState.SUPERSEDED:
            breaches.append(_breach("control_left", order, f"{order.state}, but the bank still has the control"))
        if control is not None and order.control is not None and control.control is not order.control:
            breaches.append(_breach("control_differs", order, f"{order.control} here, {control.control} at the bank"))
    breaches += [
        Breach(kind="control_unknown", subject=each, detail="the bank has a control that no order here asked for")
        for each in reported
        if OUR_APPLICATION_ID.fullmatch(each) and each not in ours
    ]
    return breaches


def _breach(kind: str, order: Order, detail: str) -> Breach:
    return Breach(kind=kind, subject=order.order_id, detail=detail)
