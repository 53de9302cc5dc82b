"""Carries committed commands to the banks: at once, in order of urgency, until each is answered.

No answer is not a refusal: the command stays in the outbox, is asked after by
its application id, and posted again only if the bank has never seen it. The
order becomes `UNCONFIRMED` by its own clock meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec
import structlog

from api.bank import NoAnswer, Trouble
from api.guarded import GuardedGateway
from api.service.transactions import Transactor
from api.store import outbox
from api.store.database import Priority, StoreAway
from api.store.outbox import Pending
from models.control.feedback import FAULTS, REFUSALS
from models.control.messages import BankFeedback, CommandKind, ResultCode
from models.control.records import OrderError
from telemetry import metrics
from telemetry.clock import wall_us

log = structlog.get_logger(__name__)

MAX_LANE: Final = 10_000
"""Commands held in memory for one bank; more stay in the outbox until the next sweep."""

SWEEP_S: Final = 10.0
SWEEP_LIMIT: Final = 5_000
KNOWN_CODES: Final = REFUSALS | FAULTS | {code.value for code in ResultCode}
APPLYING: Final = frozenset({CommandKind.PROTECTIVE_STOP, CommandKind.STOP, CommandKind.FREEZE})


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Wall times of repetitions."""

    first_s: float = 0.2
    max_s: float = 30.0
    workers: int = 8
    seed: int = 1

    def pause_s(self, attempt: int, jitter: random.Random) -> float:
        """Return the pause before attempt ``attempt`` + 1: doubled each time, half of it by chance."""
        full = min(self.max_s, self.first_s * 2.0 ** min(attempt, 20))
        return full * jitter.uniform(0.5, 1.0)


class _Errand(msgspec.Struct, order=True):
    """A command on its way. Errands sort by priority, then by age."""

    priority: int
    created_wall_us: int
    application_id: str
    pending: Pending
    attempt: int = 0
    in_doubt: bool = False


class _Lane:
    def __init__(self) -> None:
        self.queue: asyncio.PriorityQueue[_Errand] = asyncio.PriorityQueue()
        self.workers: list[asyncio.Task[None]] = []


class Dispatcher:
    """One lane per bank; a slow bank delays only its own commands."""

    def __init__(self, gateway: GuardedGateway, transactor: Transactor, retry: Retry) -> None:
        self._gateway = gateway
        self._transactor = transactor
        self._retry = retry
        self._jitter = random.Random(retry.seed)
        self._lanes: dict[str, _Lane] = {}
        self._known: set[str] = set()
        self._failed: asyncio.Future[None] | None = None

    def submit(self, commands: list[Pending], *, in_doubt: bool = False) -> None:
        """Take on commands; ``in_doubt`` says that they may have been sent before."""
        for pending in commands:
            application_id = pending.command.application_id
            lane = self._lane(pending.command.bank_id)
            if application_id in self._known or lane.queue.qsize() >= MAX_LANE:
                continue
            self._known.add(application_id)
            errand = _Errand(pending.priority, pending.created_wall_us, application_id, pending, in_doubt=in_doubt)
            self._later(errand, (pending.not_before_wall_us - wall_us()) / 1e6)

    async def run(self) -> None:
        """Work until cancelled: take over what the outbox holds, again and again; raise what a worker raised."""
        self._failed = asyncio.get_running_loop().create_future()
        try:
            while True:
                await self._sweep()
                await asyncio.wait([self._failed], timeout=SWEEP_S)
                if self._failed.done():
                    self._failed.result()
        finally:
            workers = [worker for lane in self._lanes.values() for worker in lane.workers]
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _sweep(self) -> None:
        owner, lease_us = self._transactor.rules.instance, self._transactor.rules.lease_us
        now = wall_us()
        try:
            found = await self._transactor.database.write(
                lambda connection: outbox.lease(connection, owner, now, now + lease_us, SWEEP_LIMIT)
            )
        except StoreAway as error:
            log.warning("the outbox cannot be read", error=str(error))
            return
        self.submit(found, in_doubt=True)

    def _lane(self, bank: str) -> _Lane:
        if bank not in self._lanes:
            lane = self._lanes[bank] = _Lane()
            for _ in range(self._retry.workers):
                worker = asyncio.create_task(self._work(lane), name=f"bank {bank}")
                worker.add_done_callback(self._note_death)
                lane.workers.append(worker)
        return self._lanes[bank]

    def _note_death(self, worker: asyncio.Task[None]) -> None:
        if not worker.cancelled() and worker.exception() and self._failed and not self._failed.done():
            self._failed.set_exception(worker.exception() or RuntimeError())

    async def _work(self, lane: _Lane) -> None:
        while True:
            errand = await lane.queue.get()
            await self._attempt(errand)

    def _later(self, errand: _Errand, pause_s: float) -> None:
        queue = self._lane(errand.pending.command.bank_id).queue
        if pause_s <= 0:
            queue.put_nowait(errand)
        else:
            asyncio.get_running_loop().call_later(pause_s, queue.put_nowait, errand)

    async def _attempt(self, errand: _Errand) -> None:
        bank = errand.pending.command.bank_id
        try:
            feedback = await self._ask(errand)
            await self._record(errand, feedback)
        except NoAnswer as trouble:
            pause_s = self._retry.pause_s(errand.attempt, self._jitter)
            if trouble.trouble is Trouble.OPEN:
                pause_s = self._gateway.wait_s(bank) * self._jitter.uniform(1.0, 1.2) + self._retry.first_s
            else:
                errand.attempt += 1
                errand.in_doubt = True
                log.warning(
                    "no answer from bank",
                    bank=bank,
                    application_id=errand.application_id,
                    attempt=errand.attempt,
                    error=str(trouble),
                )
            self._later(errand, pause_s)
        except StoreAway as error:
            log.error("a bank's answer could not be stored", application_id=errand.application_id, error=str(error))
            errand.in_doubt = True
            self._later(errand, self._retry.pause_s(errand.attempt, self._jitter))

    async def _ask(self, errand: _Errand) -> BankFeedback | None:
        """Return the bank's feedback, or ``None`` if it never got a command whose period is over."""
        command = errand.pending.command
        over = command.kind in APPLYING and command.expire_us <= self._transactor.clock.now_us()
        if errand.in_doubt or over:
            known = await self._gateway.query(command.bank_id, command.application_id)
            if known is not None:
                return known
            if over:
                return None
        if not errand.attempt:
            _observe_sending(errand.pending)
        return await self._gateway.send(command)

    async def _record(self, errand: _Errand, feedback: BankFeedback | None) -> None:
        order_id, command = errand.pending.order_id, errand.pending.command
        if feedback is None:
            await self._transactor.run(lambda desk: desk.absent(order_id), Priority.STOP)
        else:
            if feedback.result != ResultCode.OK:
                code = feedback.result if feedback.result in KNOWN_CODES else "other"
                metrics.BANK_REFUSALS.labels(command.bank_id, code).inc()
            await self._take(order_id, command.application_id, feedback)
        self._known.discard(errand.application_id)

    async def _take(self, order_id: str, application_id: str, feedback: BankFeedback) -> None:
        try:
            await self._transactor.run(lambda desk: desk.answer(order_id, feedback), Priority.STOP)
        except OrderError as error:
            # The order does not allow what the bank says. Its state stays, the clock of reconciliation goes on.
            log.error("feedback not taken", order_id=order_id, code=error.code, error=str(error))
            outcome = f"not taken: {error.code}"[:32]
            await self._transactor.database.write(
                lambda connection: outbox.settle(connection, application_id, outcome, wall_us())
            )


def _observe_sending(pending: Pending) -> None:
    """Wall time from acceptance and from assessment to the sending of a protective stop; its release is none."""
    stamps, command, now = pending.stamps, pending.command, wall_us()
    if command.kind is not CommandKind.PROTECTIVE_STOP:
        return
    if stamps.accepted_wall_us:
        metrics.STAGE_LATENCY.labels("stop_sent").observe((now - stamps.accepted_wall_us) / 1e6)
    if stamps.assessed_wall_us:
        metrics.STOP_SENT_LATENCY.labels(command.bank_id).observe((now - stamps.assessed_wall_us) / 1e6)
