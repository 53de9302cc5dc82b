"""Applies the policy to assessments in the stop band: order, attach, or withhold. Runs in the writer's thread."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from api.service import braking
from api.service.desk import UNSTAMPED, Desk
from api.store import lists, orders, transfers
from api.store.outbox import Stamps
from models.control.brake import Brake, rule_of
from models.control.orders import order_id_of
from models.control.policy import Action, Decision, Standing, Target, Why, decide, standing_from, target_of
from models.control.records import MACHINE, Order
from models.control.states import OrderEvent, OrderKind
from models.risk.assessment import Assessment


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about one transfer."""

    action: Action
    why: Why | None = None
    order_id: str = ""


NOT_STOPPED = Taken(action=Action.NONE)


def triage(desk: Desk, brake: Brake, assessments: Sequence[Assessment]) -> list[Taken]:
    """Act on assessments in the order they came; acting twice on one changes nothing."""
    return [_triage_one(desk, brake, assessment) for assessment in assessments]


def _triage_one(desk: Desk, brake: Brake, assessment: Assessment) -> Taken:
    transfer, target = assessment.transfer, target_of(assessment)
    if target is not None:
        order_id = order_id_of(OrderKind.PROTECTIVE_STOP, transfer.transfer_id, target.key)
        if orders.get(desk.connection, order_id) is not None:
            return Taken(action=Action.ORDER, order_id=order_id)
    known = transfers.find_assessment(desk.connection, transfer.transfer_id)
    if known is not None:
        return Taken(action=Action(known.action), why=Why(known.why) if known.why else None, order_id=known.order_id)
    decision = decide(assessment, standing_of(desk, target), desk.rules.policy, desk.now_us)
    stamps = Stamps(assessment.stages.accepted_us, assessment.stages.assessed_us)
    taken = carry_out(desk, brake, assessment, decision, stamps)
    if taken.action is not Action.NONE:
        desk.effects.outcomes.append(taken.why or taken.action)
    return taken


def standing_of(desk: Desk, target: Target | None) -> Standing:
    """Return what the store knows of the account that an assessment's grounds convict (`target_of`)."""
    if target is None:
        return Standing()
    found = orders.on_account(desk.connection, target.bank, target.account)
    return standing_from(found, lists.level_of(desk.connection, target.key))


def carry_out(
    desk: Desk, brake: Brake, assessment: Assessment, decision: Decision, stamps: Stamps = UNSTAMPED
) -> Taken:
    """Do what the policy decided, unless the brake withholds it."""
    if decision.action is Action.ATTACHED and decision.order is not None:
        return _attach(desk, assessment, decision.order, decision.why)
    if decision.action is not Action.ORDER or decision.order is None:
        return Taken(action=decision.action, why=decision.why)
    if _braked(desk, brake, assessment, decision.order.bank):
        return Taken(action=Action.WITHHELD, why=Why.BRAKE)
    opened = desk.open(decision.order, MACHINE, stamps)
    if opened is not None:
        desk.effects.tally.ordered(opened.bank, rule_of(assessment.reasons))
    return Taken(action=Action.ORDER, order_id=decision.order.order_id)


def _attach(desk: Desk, assessment: Assessment, order: Order, why: Why | None) -> Taken:
    """Record a further suspicious transfer on the control that holds the account, or all that came in, already."""
    transfer_id = assessment.transfer.transfer_id
    if order.kind is OrderKind.PROTECTIVE_STOP:
        desk.change(order.order_id, OrderEvent.AMEND, MACHINE, transfer_ids=(transfer_id,))
    else:
        orders.link(desk.connection, msgspec.structs.replace(order, transfer_ids=(transfer_id,)))
    return Taken(action=Action.ATTACHED, why=why, order_id=order.order_id)


def _braked(desk: Desk, brake: Brake, assessment: Assessment, bank: str) -> bool:
    trip = brake.check(desk.effects.tally, bank, rule_of(assessment.reasons))
    if trip is None:
        return False
    desk.effects.withheld.append(trip.cap)
    if trip.scope in desk.effects.tally.trips:  # one that stood before may have been re-armed elsewhere since
        braking.record(desk, trip, MACHINE)
    return True
