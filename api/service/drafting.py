"""Drafts of police orders made by persons."""

from __future__ import annotations

import msgspec

from api.service.desk import Desk, is_present
from api.service.reports import load_assessment, reporters_of
from api.store import orders
from models.control.deadlines import STOP_US
from models.control.handover import held_fen
from models.control.orders import order_id_of
from models.control.policy import DIRECT, victim_of
from models.control.records import Actor, GuardFailed, Order
from models.control.states import OrderKind, OrderState
from models.money.types import Transfer


class DraftWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants drafted, from a transfer that was assessed; ``round`` counts deliberate repetitions."""

    kind: str
    transfer_id: str
    reason: str
    amount_fen: int = 0
    whole_account: bool = False
    tier: int = 1
    months: int = 6
    round: int = 1
    case_number: str = ""


def draft(desk: Desk, wanted: DraftWish, maker: Actor) -> Order:
    """Store a draft on the payee's account of a transfer; raise `NotAssessed`, or `GuardFailed` if it exists.

    Limited to the transfer's amount, or what a stop for it holds, unless the whole account is asked for;
    `GuardFailed` for more.
    """
    assessment = load_assessment(desk, wanted.transfer_id)
    transfer = assessment.transfer
    if not wanted.whole_account and wanted.amount_fen > _most(desk, transfer):
        raise GuardFailed("above_transfer", "the amount is above that of the transfer; ask for the whole account")
    kind = OrderKind(wanted.kind)
    amount_fen = 0 if wanted.whole_account else wanted.amount_fen or transfer.amount_fen
    order = Order(
        order_id=order_id_of(kind, transfer.transfer_id, transfer.payee, wanted.round),
        kind=kind,
        state=OrderState.DRAFT,
        bank=transfer.payee_bank,
        account=transfer.payee_account,
        amount_fen=amount_fen,
        whole_reason=wanted.reason if wanted.whole_account else "",
        currency=transfer.currency,
        transfer_ids=(transfer.transfer_id,),
        victim=victim_of(transfer),
        method=DIRECT,
        tier=wanted.tier,
        risk=assessment.risk,
        reasons=assessment.reasons,
        maker=maker.name,
        reporters=reporters_of(desk, transfer.transfer_id),
        case_number=wanted.case_number,
        hold_us=STOP_US if kind is OrderKind.STOP else 0,
        months=wanted.months if kind is OrderKind.FREEZE else 0,
        created_us=desk.now_us,
        state_since_us=desk.now_us,
    )
    opened = desk.open(order, maker)
    if opened is not None:
        return opened
    existing = orders.get(desk.connection, order.order_id)
    state = existing.state if existing else "gone"
    raise GuardFailed("exists", f"this draft was made before: {order.order_id} is {state}; another needs a new round")


def _most(desk: Desk, transfer: Transfer) -> int:
    """Return the most that a draft for a transfer may ask for, in fen."""
    found = orders.of_transfer(desk.connection, transfer.transfer_id)
    stops = [each for each in found if each.kind is OrderKind.PROTECTIVE_STOP and each.target == transfer.payee]
    held = [held_fen(each) for each in stops if is_present(each) and each.transfer_ids[0] == transfer.transfer_id]
    return max(transfer.amount_fen, *held, 0)
