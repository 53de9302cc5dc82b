"""Helpers of the tests of the fake banks: accounts, transfers and commands with sensible defaults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from models.control.messages import BankCommand, CommandKind, ControlKind, VictimTransfer
from models.money.types import Transfer
from simulators.books import BankBooks
from simulators.commands import BankStyle
from simulators.ledger import Opening

T0 = 1_773_000_000_000_000
HOUR_US = 3_600_000_000
YEARS_AGO = T0 - 3 * 365 * 24 * HOUR_US

STYLES = {
    "debit": BankStyle(stop_by=ControlKind.DEBIT_BLOCK),
    "full": BankStyle(stop_by=ControlKind.FULL_BLOCK),
    "hold": BankStyle(stop_by=ControlKind.AMOUNT_HOLD),
}


def opening(bank: str = "debit", account: str = "A", balance_fen: int = 100_000, **more: Any) -> Opening:
    return Opening(bank=bank, account=account, opened_us=YEARS_AGO, balance_fen=balance_fen, **more)


def books_with(*openings: Opening) -> BankBooks:
    books = BankBooks(STYLES)
    books.open(openings)
    return books


def two_accounts(bank: str = "debit", balance_fen: int = 100_000) -> BankBooks:
    """A at ``bank`` with a balance, B at the bank "hold" with 50,000 fen."""
    return books_with(opening(bank, "A", balance_fen), opening("hold", "B", 50_000))


def transfer(payer: str = "debit/A", payee: str = "hold/B", amount_fen: int = 10_000, **more: Any) -> Transfer:
    payer_bank, payer_account = payer.split("/")
    payee_bank, payee_account = payee.split("/")
    fields: dict[str, Any] = {"transfer_id": "t1", "occurred_us": T0} | more
    return Transfer(
        payer_bank=payer_bank,
        payer_account=payer_account,
        payee_bank=payee_bank,
        payee_account=payee_account,
        amount_fen=amount_fen,
        **fields,
    )


def command(kind: CommandKind, application_id: str = "a1", *, target: str = "debit/A", **more: Any) -> BankCommand:
    """A command that the bank has no formal objection to, unless ``more`` gives it one."""
    bank, account = target.split("/")
    fields: dict[str, Any] = {
        "expire_us": T0 + 24 * HOUR_US,
        "reason": "test",
        "application_time_us": T0,
    }
    if kind not in (CommandKind.PROTECTIVE_STOP, CommandKind.PROTECTIVE_RELEASE):
        fields |= {"operator": "li", "investigator": "wang", "legal_document": "doc-1", "case_number": "C1"}
    if kind is CommandKind.STOP:
        fields["transfer_out"] = VictimTransfer(
            transfer_id="victim-1", payer_bank="hold", payer_account="B", amount_fen=10_000, occurred_us=T0 - 1
        )
    return BankCommand(
        application_id=application_id, kind=kind, bank_id=bank, account_number=account, **(fields | more)
    )


def protective(application_id: str = "a1", amount_fen: int = 30_000, **more: Any) -> BankCommand:
    return command(CommandKind.PROTECTIVE_STOP, application_id, amount_fen=amount_fen, **more)


def stop(application_id: str = "s1", **more: Any) -> BankCommand:
    return command(CommandKind.STOP, application_id, **more)


def freeze(application_id: str = "f1", **more: Any) -> BankCommand:
    return command(CommandKind.FREEZE, application_id, **({"expire_us": T0 + 180 * 24 * HOUR_US} | more))


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until a condition holds; fail after ``timeout_s``, which only a failure needs."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.005)
