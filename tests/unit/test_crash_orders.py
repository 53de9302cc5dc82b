"""What the crash proof would say of an api that orders twice, forgets, or does what a replay would not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from models.control.handover import freeze_draft
from models.control.orders import order_id_of
from models.control.policy import Action, PolicySettings
from models.control.records import Order
from models.control.states import OrderKind, OrderState
from models.money.types import account_id
from models.risk.assessment import Assessment, Reason
from tests.apikit import assessed, transfer
from tests.integration.crash_orders import Found, Replay, faults

BLACK = {account_id("ccb", "Z1"), account_id("ccb", "Z2")}
HOLDS = PolicySettings().max_amount_holds


def stop(number: int, payee: str) -> Assessment:
    reasons = (Reason(code="3004", weight=1.0, zh="涉案账户", en="listed"),)
    return assessed(transfer(transfer_id=f"t{number}", payee_account=payee, amount_fen=100 + number), reasons=reasons)


STOPS = [stop(number, "Z1") for number in range(HOLDS + 3)] + [stop(100, "Z2")]


def draft(holds: list[Order]) -> Order:
    first = freeze_draft(holds[0], PolicySettings(), 1)
    return msgspec.structs.replace(first, amount_fen=sum(hold.victim.amount_fen for hold in holds if hold.victim))


def right() -> Found:
    """Return what an api that was never interrupted leaves."""
    replay = Replay(STOPS, BLACK)
    holds = list(replay.orders.values())
    drafts = [draft([hold for hold in holds if hold.target == account]) for account in BLACK]
    executed = [order.application_id for order in holds]
    return Found(stored=len(STOPS), taken=replay.taken, orders=[*holds, *drafts], executed=executed, breaches=[])


def a_second_order(found: Found) -> dict[str, Any]:
    first = found.orders[0]
    again = order_id_of(first.kind, first.transfer_ids[0], first.target, round_=2)
    return {"orders": [*found.orders, msgspec.structs.replace(first, order_id=again)]}


def a_forgotten_order(found: Found) -> dict[str, Any]:
    return {"orders": found.orders[1:]}


def a_whole_account_too_soon(found: Found) -> dict[str, Any]:
    return {"orders": [msgspec.structs.replace(found.orders[0], amount_fen=0), *found.orders[1:]]}


def a_stop_not_in_force(found: Found) -> dict[str, Any]:
    return {"orders": [msgspec.structs.replace(found.orders[0], state=OrderState.UNCONFIRMED), *found.orders[1:]]}


def a_draft_that_asks_twice(found: Found) -> dict[str, Any]:
    *others, last = found.orders
    return {"orders": [*others, msgspec.structs.replace(last, amount_fen=2 * last.amount_fen)]}


def a_decision_that_was_not_taken(found: Found) -> dict[str, Any]:
    return {"taken": dict(found.taken) | {"t100": (Action.WITHHELD, "")}}


def a_command_executed_twice(found: Found) -> dict[str, Any]:
    return {"executed": [*found.executed, found.executed[0]]}


def a_second_command(found: Found) -> dict[str, Any]:
    return {"executed": [*found.executed, found.executed[0].removesuffix("01") + "02"]}


def a_command_never_executed(found: Found) -> dict[str, Any]:
    return {"executed": found.executed[1:]}


def a_broken_chain(_found: Found) -> dict[str, Any]:
    return {"breaches": ["audit chain: entry 3 does not follow"]}


def test_of_a_right_desk_there_is_nothing_to_say() -> None:
    found = right()
    assert faults(STOPS, BLACK, found) == []
    assert [order.kind for order in found.orders] == [OrderKind.PROTECTIVE_STOP] * (HOLDS + 2) + [OrderKind.FREEZE] * 2
    assert [action for action, _ in found.taken.values()].count(Action.ATTACHED) == 2


@pytest.mark.parametrize(
    "harm",
    [
        a_second_order,
        a_forgotten_order,
        a_whole_account_too_soon,
        a_stop_not_in_force,
        a_draft_that_asks_twice,
        a_decision_that_was_not_taken,
        a_command_executed_twice,
        a_second_command,
        a_command_never_executed,
        a_broken_chain,
    ],
)
def test_each_harm_is_seen(harm: Callable[[Found], dict[str, Any]]) -> None:
    found = right()
    assert faults(STOPS, BLACK, found._replace(**harm(found))) != []
