"""The desk at which orders are changed: one transaction, with everything that follows from a change.

State, audit entry, outgoing command and record for a topic are written
together or not at all. Nothing here talks to a bank or to the broker.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from api.store import audit, lists, orders, outbox, publications, transfers, verdicts
from models.control.brake import Cap, Tally, Trip
from models.control.commands import command_of
from models.control.deadlines import Clocks, next_due
from models.control.feedback import event_of
from models.control.handover import covers, freeze_draft
from models.control.messages import BankFeedback, ControlKind, VictimTransfer
from models.control.orders import check_new, step, transition_of
from models.control.policy import PolicySettings, doubted_until_us, victim_of
from models.control.records import MACHINE, Act, Actor, Order, WrongState
from models.control.states import (
    AWAITING_BANK,
    IN_FORCE,
    LEAVING,
    ActorKind,
    OrderEvent,
    OrderKind,
    OrderState,
    Purpose,
)
from models.control.table import terminal_states
from models.money.types import AccountId, split_account_id
from models.wire import ControlEntry, Topic, decode_assessment

PRIORITY: Final = {OrderKind.PROTECTIVE_STOP: 0, OrderKind.STOP: 1, OrderKind.FREEZE: 2}
"""Commands that stop money leave before those that let it go (`RELEASE_PRIORITY`)."""

RELEASE_PRIORITY: Final = 5
FAULT_PAUSE_US: Final = 2_000_000
"""Wall time before a bank that reported a fault of its own is asked again."""

UNSTAMPED: Final = outbox.Stamps()

_STRENGTH: Final = {None: 0, ControlKind.AMOUNT_HOLD: 1, ControlKind.DEBIT_BLOCK: 2, ControlKind.FULL_BLOCK: 3}


class DeskRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk goes by; ``feedback_us`` is the time banks have, in world time."""

    policy: PolicySettings
    clocks: Clocks
    feedback_us: int
    instance: str
    lease_us: int = 30_000_000


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an order that was written, for metrics and logs after the commit."""

    before: Order | None
    after: Order
    event: OrderEvent | None
    stamps: outbox.Stamps = UNSTAMPED


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that was recorded; ``false_stop_bank`` is set if it clears a transfer that was stopped."""

    label: str
    source: str
    delay_us: int
    false_stop_bank: str = ""


class Effects(msgspec.Struct, kw_only=True):
    """What must happen outside once the transaction is committed."""

    tally: Tally
    """What the brake then takes."""
    outcomes: list[str] = []
    """What became of each transfer of the stop band."""
    withheld: list[Cap] = []
    """The cap that was reached, for each stop that the brake withheld."""
    tripped: list[Trip] = []
    """Scopes in which automatic stops were not suspended before."""
    changes: list[Change] = []
    commands: list[outbox.Pending] = []
    labels: list[Labelled] = []
    published: bool = False


class Desk:
    """Works on orders within one transaction at one moment."""

    def __init__(self, connection: Connection, rules: DeskRules, *, now_us: int, wall_us: int) -> None:
        self.connection = connection
        self.rules = rules
        self.now_us = now_us
        self.wall_us = wall_us
        self.effects = Effects(tally=Tally(now_us))
        self._alone = False

    # --- making and changing orders

    def open(self, order: Order, actor: Actor = MACHINE, stamps: outbox.Stamps = UNSTAMPED) -> Order | None:
        """Store a new order and, if it begins as asked of the bank, its command; ``None`` if it was there already.

        Raises `OrderError` for an order that may not begin so.
        """
        check_new(order)
        if order.state is OrderState.PROPOSED:
            due_us = self.now_us + self.rules.feedback_us
            order = msgspec.structs.replace(
                order, command_seq=1, purpose=Purpose.APPLY, attempts=1, feedback_due_us=due_us
            )
        if not orders.insert(self.connection, order, next_due(order, self.rules.clocks, self.now_us)):
            return None
        self._note(None, order, None, Act(actor=actor, at_us=self.now_us), stamps)
        if order.purpose is not None:
            self._enqueue(order, stamps)
        if len(orders.open_on_account(self.connection, order.bank, order.account)) == 1:
            self.publish_control(order.target)
        return order

    def change(self, order_id: str, event: OrderEvent, actor: Actor, **details: Any) -> Order:
        """Let ``event`` happen to an order and to what follows from it; return its last version.

        Raises `KeyError` for an unknown order and `OrderError` where it is not allowed.
        """
        order = orders.get(self.connection, order_id, lock=True)
        if order is None:
            raise KeyError(order_id)
        return self._apply(order, event, self._act(order, actor, **details))

    def answer(self, order_id: str, feedback: BankFeedback) -> tuple[Order, OrderEvent] | None:
        """Take a bank's feedback; ``None`` if the order no longer waits for it (a late duplicate)."""
        order = orders.get(self.connection, order_id, lock=True)
        if order is None or order.purpose is None or order.application_id != feedback.application_id:
            outbox.settle(self.connection, feedback.application_id, "stale", self.wall_us)
            return None
        event = event_of(order, feedback)
        outbox.settle(self.connection, feedback.application_id, event.value, self.wall_us)
        actor = Actor(name=order.bank, kind=ActorKind.BANK)
        return self._apply(order, event, self._act(order, actor, feedback=feedback)), event

    def absent(self, order_id: str) -> Order | None:
        """Note that the bank, when asked, has no such control; ``None`` if that changes nothing."""
        order = orders.get(self.connection, order_id, lock=True)
        if order is None:
            return None
        try:
            transition_of(order, OrderEvent.CONTROL_ABSENT)
        except WrongState:
            return None
        outbox.settle_all(self.connection, order_id, OrderEvent.CONTROL_ABSENT.value, self.wall_us)
        actor = Actor(name=order.bank, kind=ActorKind.BANK)
        return self._apply(order, OrderEvent.CONTROL_ABSENT, self._act(order, actor, control_gone=True))

    def note(self, action: str, subject: str, actor: Actor, detail: dict[str, Any]) -> None:
        """Append an audit entry about something other than an order."""
        audit.append(
            self.connection, at_us=self.now_us, actor=actor.name, action=action, subject=subject, detail=detail
        )

    def exclude_others(self) -> None:
        """Wait until no other replica is between this call and its commit; then none is until this one commits.

        What is read after it still holds at the commit, as far as it is changed at a desk. And a topic keeps the last
        record of a key: whoever makes one reads what it says only after this call, else the record that is written
        last lacks what another replica says.
        """
        if not self._alone:
            audit.exclude_others(self.connection)
            self._alone = True

    def publish(self, topic: Topic, key: str, record: msgspec.Struct) -> None:
        """Put a record among those that wait for their topic, behind all that others have committed."""
        self.exclude_others()
        publications.publish(self.connection, topic, key, record, self.wall_us)
        self.effects.published = True

    def publish_control(self, account: AccountId) -> None:
        """Tell workers and trainer the list level, the strongest control, doubt and proven fraud of an account."""
        self.exclude_others()
        known = orders.on_account(self.connection, *split_account_id(account))
        present = [each for each in known if is_present(each)]
        strongest = max(present, key=lambda each: (_STRENGTH[each.control], each.expire_us), default=None)
        paid, received = verdicts.proven(self.connection, account)
        entry = ControlEntry(
            account=account,
            level=lists.level_of(self.connection, account),
            control=strongest.control if strongest else None,
            order_id=strongest.order_id if strongest else "",
            control_until_us=strongest.expire_us if strongest else 0,
            updated_us=self.now_us,
            proven_paid=paid,
            proven_received=received,
            doubted_until_us=doubted_until_us(known),
        )
        self.publish(Topic.CONTROLS, account, entry)

    # --- the parts of a change

    def _act(self, order: Order, actor: Actor, **details: Any) -> Act:
        stops = self._earlier_stops(order) if order.kind is OrderKind.STOP else 0
        return Act(actor=actor, at_us=self.now_us, feedback_us=self.rules.feedback_us, earlier_stops=stops, **details)

    def _earlier_stops(self, order: Order) -> int:
        """Count the account's other stops while no other replica can approve one."""
        self.exclude_others()
        return orders.earlier_stops(self.connection, order)

    def _apply(self, order: Order, event: OrderEvent, act: Act) -> Order:
        after = step(order, event, act)
        orders.save(self.connection, after, next_due(after, self.rules.clocks, self.now_us))
        if after.transfer_ids != order.transfer_ids:
            orders.link(self.connection, after)
        stamps = outbox.stamps_of(self.connection, order.order_id) if order.command_seq else UNSTAMPED
        self._note(order, after, event, act, stamps)
        if transition_of(order, event).purpose is not None:
            self._enqueue(after, stamps, pause_us=FAULT_PAUSE_US if event is OrderEvent.BANK_FAULT else 0)
        return self._follow(order, after)

    def _note(
        self, before: Order | None, after: Order, event: OrderEvent | None, act: Act, stamps: outbox.Stamps
    ) -> None:
        detail: dict[str, Any] = {
            "kind": after.kind,
            "from": before.state if before else "",
            "to": after.state,
            "version": after.version,
            "bank": after.bank,
            "amount_fen": after.amount_fen,
        }
        if act.reason:
            detail["reason"] = act.reason
        if act.document:
            detail["document"] = act.document
        if act.feedback:
            detail["feedback"] = act.feedback
        if act.reporters:
            detail["reporters"] = act.reporters
        if before is None:
            detail |= {"transfer_ids": after.transfer_ids, "method": after.method, "reasons": after.reasons}
        action = f"order.{event.value}" if event else "order.open"
        self.note(action, after.order_id, act.actor, detail)
        self.effects.changes.append(Change(before=before, after=after, event=event, stamps=stamps))

    def _enqueue(self, order: Order, stamps: outbox.Stamps, pause_us: int = 0) -> None:
        pending = outbox.Pending(
            command=command_of(order, now_us=self.now_us),
            order_id=order.order_id,
            priority=RELEASE_PRIORITY if order.purpose is Purpose.RELEASE else PRIORITY[order.kind],
            created_wall_us=self.wall_us,
            not_before_wall_us=self.wall_us + pause_us if pause_us else 0,
            stamps=stamps,
        )
        outbox.enqueue(self.connection, pending, self.rules.instance, self.wall_us + self.rules.lease_us)
        self.effects.commands.append(pending)

    def _follow(self, before: Order, after: Order) -> Order:
        """Do what follows from a change: dispatch what is approved, draft, convert, tell the workers."""
        if after.state is OrderState.APPROVED:
            return self._apply(after, OrderEvent.DISPATCH, self._act(after, MACHINE))
        took_effect = after.state in IN_FORCE and (before.state in AWAITING_BANK or before.state is OrderState.QUEUED)
        if took_effect and after.kind is OrderKind.PROTECTIVE_STOP:
            self.draft_freeze(after)
        elif took_effect:
            self._hand_over(after)
        if is_present(before) != is_present(after) or has_ended(after):
            self.publish_control(after.target)
        return after

    def draft_freeze(self, hold: Order) -> None:
        """Draft the freeze that would follow a protective stop, or add what it lacks to the account's open draft."""
        found = orders.open_on_account(self.connection, hold.bank, hold.account)
        freezes = [each for each in found if each.kind is OrderKind.FREEZE]
        drafted = {key for each in freezes for key in each.transfer_ids}
        draft = freeze_draft(hold, self.rules.policy, self.now_us, self._reported(hold), drafted)
        if draft is None:
            return
        for existing in freezes:
            if existing.state is OrderState.DRAFT and existing.maker == MACHINE.name:
                self.change(
                    existing.order_id,
                    OrderEvent.AMEND,
                    MACHINE,
                    transfer_ids=draft.transfer_ids,
                    amount_fen=draft.amount_fen,
                    reporters=draft.reporters,
                )
                return
        self.open(draft)

    def _reported(self, hold: Order) -> list[VictimTransfer]:
        """Return the credits recorded on a stop that victims have reported."""
        said = verdicts.reported_among(self.connection, hold.transfer_ids)
        rows = [transfers.find_assessment(self.connection, each) for each in hold.transfer_ids if each in said]
        known = [decode_assessment(row.body).transfer for row in rows if row is not None and row.payee == hold.target]
        return [victim_of(each) for each in known]

    def _hand_over(self, police: Order) -> None:
        """A police order took effect: the bank's own stops it covers end, and a freeze supersedes stops."""
        for other in orders.open_on_account(self.connection, police.bank, police.account):
            if other.order_id == police.order_id or not covers(police, other):
                continue
            reason = f"{police.kind} {police.order_id}"
            if other.kind is OrderKind.PROTECTIVE_STOP and other.state in IN_FORCE:
                self.change(other.order_id, OrderEvent.CONVERT, MACHINE, reason=reason)
            elif other.kind is OrderKind.STOP and other.state in _SUPERSEDABLE and police.kind is OrderKind.FREEZE:
                self.change(other.order_id, OrderEvent.SUPERSEDE, MACHINE, reason=reason)


_SUPERSEDABLE: Final = frozenset({OrderState.EFFECTIVE, OrderState.EFFECTIVE_DEFICIENT})


def is_present(order: Order) -> bool:
    """Whether the order's control is in force at the bank as far as the bank has told."""
    return order.stop_point_us > 0 and (order.state in IN_FORCE or order.state in LEAVING)


def has_ended(order: Order) -> bool:
    """Whether nothing can happen to the order any more."""
    return order.state in terminal_states(order.kind)
