"""Compares what an api has made of the stop band with what one that was never interrupted would have made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import msgspec

from models.control.messages import ControlKind
from models.control.orders import order_id_of
from models.control.policy import Action, PolicySettings, decide, standing_from, target_of
from models.control.records import Order
from models.control.states import IN_FORCE, OrderKind, OrderState
from models.money.types import AccountId
from models.risk.assessment import Assessment, ListLevel

Taken = Mapping[str, tuple[Action, str]]
"""What was done about each transfer of the stop band, and by which order."""


class Found(NamedTuple):
    """What the store and the bank say after the last blow; ``stored`` counts assessments."""

    stored: int
    taken: Taken
    orders: Sequence[Order]
    executed: Sequence[str]
    """Application id of every control that the bank put in force, as often as it did."""
    breaches: Sequence[str]
    """What ``sluice verify`` has against it: the chain of the audit, orders against the bank's controls."""


class Replay:
    """The policy over the stop band, with a bank that does at once what it is asked."""

    def __init__(self, stops: Iterable[Assessment], black: Set[AccountId]) -> None:
        self._black = black
        self.taken: dict[str, tuple[Action, str]] = {}
        self.orders: dict[str, Order] = {}
        for each in stops:
            self._take(each)

    def _take(self, assessment: Assessment) -> None:
        target, transfer_id = target_of(assessment), assessment.transfer.transfer_id
        known = [order for order in self.orders.values() if target and order.target == target.key]
        level = ListLevel.BLACK if target and target.key in self._black else ListLevel.NONE
        decision = decide(assessment, standing_from(known, level), PolicySettings(), now_us=1)
        order = decision.order
        self.taken[transfer_id] = decision.action, order.order_id if order else ""
        if order is not None:
            self.orders[order.order_id] = (
                in_force(order) if decision.action is Action.ORDER else with_transfer(order, transfer_id)
            )

    @property
    def drafts(self) -> dict[AccountId, int]:
        """By account what the one draft of a freeze asks for: the sums that its stops are about, each once."""
        sums: Counter[AccountId] = Counter()
        for order in self.orders.values():
            assert order.victim is not None
            sums[order.target] += order.victim.amount_fen
        return dict(sums)


def in_force(order: Order) -> Order:
    """Return a new stop as the bank executes it."""
    control = ControlKind.AMOUNT_HOLD if order.amount_fen else ControlKind.DEBIT_BLOCK
    return msgspec.structs.replace(order, state=OrderState.APPLIED, control=control, stop_point_us=1, command_seq=1)


def with_transfer(order: Order, transfer_id: str) -> Order:
    """Return an order with one more transfer recorded on it."""
    return msgspec.structs.replace(order, transfer_ids=(*order.transfer_ids, transfer_id))


def faults(stops: Iterable[Assessment], black: Set[AccountId], found: Found) -> list[str]:
    """Return in words where an api's work differs from the replay's; ``stops`` is each transfer's first assessment."""
    replay = Replay(stops, black)
    holds = [order for order in found.orders if order.kind is OrderKind.PROTECTIVE_STOP]
    drafts = [order for order in found.orders if order.kind is OrderKind.FREEZE]
    return [
        *differences("decision on", replay.taken, found.taken),
        *differences("stop", _by_id(replay.orders.values()), _by_id(holds)),
        *differences("drafts of", {key: [fen] for key, fen in replay.drafts.items()}, _sums(drafts)),
        *(f"no order has the cause of {each.order_id}" for each in found.orders if each.order_id != _id_of_cause(each)),
        *(f"made {times} times: {cause}" for cause, times in _causes(found.orders).items() if times > 1),
        *(f"not in force: {order.order_id}, {order.state}" for order in holds if order.state not in IN_FORCE),
        *differences(
            "executions of", {order.application_id: 1 for order in replay.orders.values()}, Counter(found.executed)
        ),
        *found.breaches,
    ]


def differences(what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[str]:
    """Return in words the keys whose values differ."""
    keys = expected.keys() | found.keys()
    return [
        f"{what} {key}: {found.get(key)} instead of {expected.get(key)}"
        for key in sorted(keys)
        if expected.get(key) != found.get(key)
    ]


def _by_id(holds: Iterable[Order]) -> dict[str, tuple[AccountId, int, tuple[str, ...]]]:
    return {order.order_id: (order.target, order.amount_fen, order.transfer_ids) for order in holds}


def _sums(drafts: Iterable[Order]) -> dict[AccountId, list[int]]:
    """Return by account what each of its drafts asks for."""
    found: dict[AccountId, list[int]] = {}
    for order in drafts:
        found.setdefault(order.target, []).append(order.amount_fen)
    return found


def _id_of_cause(order: Order) -> str:
    return order_id_of(order.kind, order.transfer_ids[0], order.target)


def _causes(orders: Iterable[Order]) -> Counter[tuple[str, str, AccountId]]:
    """Return how often each cause, a transfer and an account, has made an order of a kind."""
    return Counter((order.kind.value, order.transfer_ids[0], order.target) for order in orders)
