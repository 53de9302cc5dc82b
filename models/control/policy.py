"""From an assessment to what is done about it: stop, record on an existing control, or only advise.

The machine alone may only order the bank's own short, reviewable measure
(Art. 18). Freezes are drafted here and wait for two persons.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from models.control.messages import ControlKind, ResultCode, VictimTransfer
from models.control.orders import order_id_of
from models.control.records import DAY_US, MACHINE, Order
from models.control.states import AWAITING_BANK, IN_FORCE, OrderKind, OrderState
from models.control.table import terminal_states
from models.money.types import Transfer
from models.risk.assessment import Assessment, Band, ListLevel

DIRECT = "direct_credit"
"""Tracing method of the machine's orders: the suspicious credit itself, no further."""

BLOCKING = frozenset({ControlKind.FULL_BLOCK, ControlKind.DEBIT_BLOCK})
"""Controls under which no money leaves the account."""


class Action(StrEnum):
    """What was done about a transfer."""

    NONE = "none"
    ORDER = "order"
    ATTACHED = "attached"
    WITHHELD = "withheld"


class Why(StrEnum):
    """Why a transfer in the stop band made no order of its own."""

    WHITE_LISTED = "white_listed"
    EXEMPT_AT_BANK = "exempt_at_bank"
    COOLDOWN = "cooldown"
    BLOCKED_ALREADY = "blocked_already"
    BRAKE = "brake"


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The house's choices; the law gives no number for any of them."""

    hold_us: int = DAY_US
    """Longest protective stop, from the bank's stop point."""
    max_amount_holds: int = 5
    """Amount-limited stops on one account after which the next asks for the whole account."""
    cooldown_us: int = DAY_US
    """How long after a person released a hold the machine leaves the account alone."""
    freeze_months: int = 6


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of the account a suspicious credit went to."""

    level: ListLevel = ListLevel.NONE
    open_orders: tuple[Order, ...] = ()
    released_us: int = 0
    """When a person last released a protective stop on it; 0 for never."""
    exempted_us: int = 0
    """When its bank last said that it is on the bank's own white list; 0 for never."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done; ``order`` is the new one or the one to attach to."""

    action: Action
    order: Order | None = None
    why: Why | None = None


NOTHING = Decision(action=Action.NONE)


def standing_from(orders: Iterable[Order], level: ListLevel) -> Standing:
    """Return the standing of an account from all its orders and its list level."""
    known = tuple(orders)
    stops = [order for order in known if order.kind is OrderKind.PROTECTIVE_STOP]
    released = (OrderState.RELEASED, OrderState.RELEASING)
    return Standing(
        level=level,
        open_orders=tuple(order for order in known if order.state not in terminal_states(order.kind)),
        released_us=max((order.state_since_us for order in stops if order.state in released), default=0),
        exempted_us=max((o.state_since_us for o in stops if o.result == ResultCode.WHITE_LISTED), default=0),
    )


def decide(assessment: Assessment, standing: Standing, settings: PolicySettings, now_us: int) -> Decision:
    """Return what is to be done about one assessed transfer.

    A white-listed account is never stopped by a score, and an account that a
    person has just released, or that its bank has just called exempt, is left
    alone for the cool-down, unless it is on the black list.
    """
    if assessment.band is not Band.STOP:
        return NOTHING
    if ListLevel.WHITE in (standing.level, assessment.lists.payee) and standing.level is not ListLevel.BLACK:
        return Decision(action=Action.WITHHELD, why=Why.WHITE_LISTED)
    blocking = _blocking(standing.open_orders)
    if blocking is not None:
        return Decision(action=Action.ATTACHED, order=blocking, why=Why.BLOCKED_ALREADY)
    resting = None if standing.level is ListLevel.BLACK else _resting(standing, settings, now_us)
    if resting is not None:
        return Decision(action=Action.WITHHELD, why=resting)
    return Decision(action=Action.ORDER, order=_protective_stop(assessment, standing, settings, now_us))


def _resting(standing: Standing, settings: PolicySettings, now_us: int) -> Why | None:
    since_us = now_us - settings.cooldown_us
    if standing.released_us > max(since_us, 0):
        return Why.COOLDOWN
    return Why.EXEMPT_AT_BANK if standing.exempted_us > max(since_us, 0) else None


def _blocking(orders: Iterable[Order]) -> Order | None:
    """Return an order under which nothing leaves the account, or was asked not to."""
    for order in orders:
        applied = order.state in IN_FORCE and order.control in BLOCKING
        asked = order.kind is OrderKind.PROTECTIVE_STOP and order.amount_fen == 0 and order.state in AWAITING_BANK
        if applied or asked:
            return order
    return None


def _protective_stop(assessment: Assessment, standing: Standing, settings: PolicySettings, now_us: int) -> Order:
    transfer = assessment.transfer
    holds = sum(order.kind is OrderKind.PROTECTIVE_STOP for order in standing.open_orders)
    whole = holds >= settings.max_amount_holds
    return Order(
        order_id=order_id_of(OrderKind.PROTECTIVE_STOP, transfer.transfer_id, transfer.payee),
        kind=OrderKind.PROTECTIVE_STOP,
        state=OrderState.PROPOSED,
        bank=transfer.payee_bank,
        account=transfer.payee_account,
        amount_fen=0 if whole else transfer.amount_fen,
        whole_reason=f"该账户已有 {holds} 笔限额止付，可疑资金持续转入，改为整户止付" if whole else "",
        currency=transfer.currency,
        transfer_ids=(transfer.transfer_id,),
        victim=victim_of(transfer),
        method=DIRECT,
        risk=assessment.risk,
        reasons=assessment.reasons,
        maker=MACHINE.name,
        hold_us=settings.hold_us,
        created_us=now_us,
        state_since_us=now_us,
    )


def victim_of(transfer: Transfer) -> VictimTransfer:
    """Return the part of a transfer that the bank matches before it acts."""
    return VictimTransfer(
        transfer_id=transfer.transfer_id,
        payer_bank=transfer.payer_bank,
        payer_account=transfer.payer_account,
        amount_fen=transfer.amount_fen,
        occurred_us=transfer.occurred_us,
    )


def freeze_draft(hold: Order, settings: PolicySettings, now_us: int) -> Order:
    """Return the draft of a freeze that would follow a protective stop in force.

    It asks for what the stop really covers, at most the stopped amount; it
    stays a draft until two persons have signed.
    """
    asked = hold.amount_fen or (hold.victim.amount_fen if hold.victim else 0)
    amount = min(hold.executed_fen, asked) if hold.executed_fen else asked
    return Order(
        order_id=order_id_of(OrderKind.FREEZE, hold.transfer_ids[0], hold.target),
        kind=OrderKind.FREEZE,
        state=OrderState.DRAFT,
        bank=hold.bank,
        account=hold.account,
        amount_fen=amount,
        whole_reason="" if amount else hold.whole_reason,
        currency=hold.currency,
        transfer_ids=hold.transfer_ids,
        victim=hold.victim,
        method=hold.method,
        tier=hold.tier,
        risk=hold.risk,
        reasons=hold.reasons,
        maker=MACHINE.name,
        raised_by=hold.raised_by,
        case_number=hold.case_number,
        months=settings.freeze_months,
        created_us=now_us,
        state_since_us=now_us,
    )
