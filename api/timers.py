"""The clocks of orders: what happens when a deadline has passed, and what is asked of banks about unclear orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from sqlalchemy import Connection

from api.bank import NoAnswer, Trouble
from api.guarded import GuardedGateway
from api.service.desk import Desk
from api.service.transactions import Transactor
from api.store import orders, outbox
from api.store.database import StoreAway
from models.control.deadlines import Due, DueKind, next_due
from models.control.feedback import event_of
from models.control.messages import AppliedControl, BankFeedback, ResultCode
from models.control.records import MACHINE, Order, OrderError
from models.control.states import OrderEvent, OrderKind

log = structlog.get_logger(__name__)

MAX_AT_ONCE: Final = 200
"""Orders whose clocks are handled in one round."""

CONCURRENCY: Final = 16


class Timers:
    """Handles due orders, round after round."""

    def __init__(self, gateway: GuardedGateway, transactor: Transactor, *, every_s: float) -> None:
        self._gateway = gateway
        self._transactor = transactor
        self._every_s = every_s
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._handlers: dict[DueKind, Callable[[Order], Awaitable[None]]] = {
            DueKind.FEEDBACK: self._feedback_overdue,
            DueKind.REVIEW: self._remind,
            DueKind.REMINDER: self._remind,
            DueKind.EXPIRY: self._expire,
            DueKind.RECONCILE: self._reconcile,
            DueKind.RETRY: self._retry,
            DueKind.PAPER: self._paper_overdue,
        }

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                handled = await self.round()
            except StoreAway as error:
                log.warning("clocks cannot be read", error=str(error))
                handled = 0
            if handled < MAX_AT_ONCE:
                await asyncio.sleep(self._every_s)

    async def round(self) -> int:
        """Handle the orders that are due now; return how many there were."""
        now_us = self._transactor.clock.now_us()
        due = await self._transactor.database.read(lambda connection: orders.due(connection, now_us, MAX_AT_ONCE))
        await asyncio.gather(*(self._handle(order) for order in due))
        return len(due)

    async def _handle(self, order: Order) -> None:
        now_us = self._transactor.clock.now_us()
        due = next_due(order, self._transactor.rules.clocks, now_us)
        try:
            async with self._slots:
                if due is None or not due.has_struck(now_us):
                    await self._wind(order, due)
                else:
                    await self._handlers[due.kind](order)
        except NoAnswer as error:
            log.warning("bank silent about an order", order_id=order.order_id, bank=order.bank, error=str(error))
            await self._wait_again(order)
        except (OrderError, orders.StaleOrder) as error:
            log.warning("clock not handled", order_id=order.order_id, state=order.state, error=str(error))
            await self._wait_again(order)

    async def _change(self, order: Order, event: OrderEvent, *, control_gone: bool = False, reason: str = "") -> None:
        """Let a clock strike for the order it was wound for; raise `StaleOrder` if somebody was faster."""

        def strike(desk: Desk) -> None:
            known = orders.get(desk.connection, order.order_id, lock=True)
            if known is None or known.version != order.version:
                raise orders.StaleOrder(order.order_id)
            desk.change(order.order_id, event, MACHINE, control_gone=control_gone, reason=reason)

        await self._transactor.run(strike)

    async def _wait_again(self, order: Order) -> None:
        """Look at the order again after the reconciliation interval."""
        clocks, now_us = self._transactor.rules.clocks, self._transactor.clock.now_us()
        due = next_due(order, clocks, now_us)
        await self._wind(order, due and Due(max(due.at_us, now_us + clocks.reconcile_us), due.kind))

    async def _wind(self, order: Order, due: Due | None) -> None:
        """Set the clock of an order; whoever has changed it meanwhile has set it already."""
        await self._transactor.database.write(lambda connection: orders.set_due(connection, order, due))

    async def _feedback_overdue(self, order: Order) -> None:
        await self._change(order, OrderEvent.FEEDBACK_OVERDUE)
        log.error("ALARM: no feedback in time", order_id=order.order_id, bank=order.bank, kind=order.kind)

    async def _remind(self, order: Order) -> None:
        left_us = order.expire_us - self._transactor.clock.now_us()
        await self._change(order, OrderEvent.REMIND)
        log.warning("order needs a person", order_id=order.order_id, kind=order.kind, left_h=round(left_us / 3.6e9, 1))

    async def _expire(self, order: Order) -> None:
        """A protective stop is released by command; a police control lapses by law, which the bank must confirm."""
        if order.kind is OrderKind.PROTECTIVE_STOP:
            await self._change(order, OrderEvent.EXPIRE, reason="到期自动解除")
        elif await self._control(order) is None:
            await self._change(order, OrderEvent.EXPIRE, control_gone=True)
        else:
            log.error("ALARM: a control outlives its order", order_id=order.order_id, bank=order.bank)
            await self._wait_again(order)

    async def _retry(self, order: Order) -> None:
        """Ask for the release again unless the control has gone; what never took effect no bank lists anyway."""
        log.error("ALARM: a release has failed", order_id=order.order_id, bank=order.bank, result=order.result)
        if order.stop_point_us and await self._control(order) is None:
            await self._note_absence(order)
        else:
            await self._change(order, OrderEvent.RETRY)

    async def _note_absence(self, order: Order) -> None:
        """Note that the bank has no such control; where that says nothing of the order, ask again later."""
        if await self._transactor.run(lambda desk: desk.absent(order.order_id)) is None:
            log.warning("bank knows nothing of an order", order_id=order.order_id, bank=order.bank, state=order.state)
            await self._wait_again(order)

    async def _paper_overdue(self, order: Order) -> None:
        await self._change(order, OrderEvent.PAPER_OVERDUE)
        log.error("ALARM: the paper of a bank-first stop is overdue", order_id=order.order_id, bank=order.bank)

    async def _reconcile(self, order: Order) -> None:
        """Ask the bank what became of an order that is unclear; the dispatcher does it while the command is open."""
        if await self._transactor.database.read(lambda connection: _is_open(connection, order)):
            await self._wait_again(order)
            return
        feedback = await self._gateway.query(order.bank, order.application_id)
        if feedback is None or event_of(order, feedback) in (OrderEvent.BANK_UNCLEAR, OrderEvent.BANK_QUEUED):
            control = await self._control(order)
            found = None if control is None else _as_feedback(order, control, self._transactor.clock.now_us())
            feedback = found if found is not None else feedback
            if control is None and not _waits_in_queue(order, feedback):
                await self._note_absence(order)
                return
        await self._transactor.run(lambda desk: _answer_if_clear(desk, order, feedback))
        await self._wait_again(order)

    async def _control(self, order: Order) -> AppliedControl | None:
        """Return the order's control as the bank reports it, or ``None`` if it reports none; raise `NoAnswer`."""
        ids = {order.applied_application_id, order.application_id} - {""}
        controls = await self._gateway.controls(order.bank, order.account)
        if controls is None:
            # An account that was under a control does not vanish; whoever says so is no witness that the control has.
            raise NoAnswer(Trouble.ERROR, "the bank does not know the account")
        return next((each for each in controls if each.application_id in ids), None)


def _is_open(connection: Connection, order: Order) -> bool:
    return outbox.is_open(connection, order.application_id)


def _waits_in_queue(order: Order, feedback: BankFeedback | None) -> bool:
    return feedback is not None and event_of(order, feedback) is OrderEvent.BANK_QUEUED


def _answer_if_clear(desk: Desk, order: Order, feedback: BankFeedback | None) -> None:
    """Take feedback that says more than the order knows."""
    if feedback is not None and event_of(order, feedback) not in (OrderEvent.BANK_UNCLEAR, OrderEvent.BANK_QUEUED):
        desk.answer(order.order_id, feedback)


def _as_feedback(order: Order, control: AppliedControl, now_us: int) -> BankFeedback | None:
    """Return what a control found at the bank would have said as feedback; it counts only with a stop point."""
    if control.start_us <= 0 or control.application_id != order.application_id:
        return None
    deficient = 0 < control.executed_fen < order.amount_fen
    return BankFeedback(
        application_id=order.application_id,
        result=ResultCode.DEFICIENT if deficient else ResultCode.OK,
        feedback_time_us=now_us,
        account_number=order.account,
        control=control.control,
        start_us=control.start_us,
        expire_us=control.expire_us,
        executed_fen=control.executed_fen,
        feedback_remark="found by reconciliation",
    )
