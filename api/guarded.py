"""A gateway that spares banks in trouble: bounded concurrency and circuit breakers for each, every call counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from api.bank import Gateway, NoAnswer, Trouble, checked
from api.breaker import Breaker
from models.control.messages import AppliedControl, BankCommand, BankFeedback, ResultCode
from telemetry import metrics

T = TypeVar("T")

COMMAND: Final = "command"
INQUIRY: Final = "inquiry"
CALLS: Final = (COMMAND, INQUIRY)
"""Counted and broken apart: a bank may answer every inquiry and yet fail every command."""


class _Line:
    def __init__(self, concurrency: int, breaker: Callable[[], Breaker]) -> None:
        self.slots = asyncio.Semaphore(concurrency)
        self.breakers = {call: breaker() for call in CALLS}

    @property
    def is_open(self) -> bool:
        return any(each.is_open for each in self.breakers.values())


class GuardedGateway:
    """Wraps a `Gateway`; raises `NoAnswer` with `Trouble.OPEN` instead of calling while a breaker is open."""

    def __init__(self, inner: Gateway, *, concurrency: int, failures: int, open_s: float) -> None:
        self._inner = inner
        self._concurrency = concurrency
        self._breaker: Callable[[], Breaker] = lambda: Breaker(failures=failures, open_s=open_s)
        self._lines: dict[str, _Line] = {}

    def introduce(self, banks: Iterable[str]) -> None:
        """Make the metrics of these banks visible before their first call."""
        for bank in banks:
            self._line(bank)

    def wait_s(self, bank: str) -> float:
        """Return how long until a command to ``bank``, and the inquiry before it, may be tried."""
        return max(each.wait_s(time.monotonic()) for each in self._line(bank).breakers.values())

    async def send(self, command: BankCommand) -> BankFeedback:
        """Post a command (see `Gateway`)."""
        feedback = await self._call(command.bank_id, COMMAND, lambda: self._inner.send(command))
        self._count(command.bank_id, COMMAND, "ok" if feedback.result == ResultCode.OK else "refused")
        return feedback

    async def query(self, bank: str, application_id: str) -> BankFeedback | None:
        """Ask for the feedback given to an application id (see `Gateway`)."""
        feedback = await self._call(bank, INQUIRY, lambda: self._inner.query(bank, application_id))
        self._count(bank, INQUIRY, "ok")
        return None if feedback is None else checked(feedback, application_id, feedback.account_number)

    async def controls(self, bank: str, account: str) -> list[AppliedControl] | None:
        """Ask for the controls in force (see `Gateway`)."""
        found = await self._call(bank, INQUIRY, lambda: self._inner.controls(bank, account))
        self._count(bank, INQUIRY, "ok")
        return found

    async def _call(self, bank: str, kind: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        line = self._line(bank)
        breaker = line.breakers[kind]
        async with line.slots:
            if not breaker.allows(time.monotonic()):
                self._count(bank, kind, Trouble.OPEN)
                raise NoAnswer(Trouble.OPEN, f"the breaker of bank {bank} is open for each {kind}")
            try:
                answer = await call()
            except NoAnswer as trouble:
                breaker.failed(time.monotonic())
                self._count(bank, kind, trouble.trouble)
                raise
            else:
                breaker.succeeded()
            finally:
                metrics.BREAKER_OPEN.labels(bank).set(line.is_open)
            return answer

    def _line(self, bank: str) -> _Line:
        if bank not in self._lines:
            self._lines[bank] = _Line(self._concurrency, self._breaker)
            metrics.BREAKER_OPEN.labels(bank).set(0)
        return self._lines[bank]

    @staticmethod
    def _count(bank: str, kind: str, outcome: str) -> None:
        metrics.BANK_CALLS.labels(bank, kind, outcome).inc()
