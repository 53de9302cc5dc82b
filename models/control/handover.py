"""What follows a protective stop: the freeze drafted for its money, and the police order that takes its place."""

from __future__ import annotations

from collections.abc import Container, Sequence

from models.control.messages import VictimTransfer
from models.control.orders import order_id_of
from models.control.policy import BLOCKING, PolicySettings
from models.control.records import MACHINE, Order
from models.control.states import OrderKind, OrderState


def held_fen(order: Order) -> int:
    """Return what an order holds of the money it was made for: the sum asked for, or the less that its bank found."""
    asked = order.amount_fen or (order.victim.amount_fen if order.victim else 0)
    return min(order.executed_fen, asked) if order.executed_fen else asked


def covers(police: Order, other: Order) -> bool:
    """Return whether a police order in force makes another order on the same account superfluous.

    It does if nothing leaves the account under it, or if it holds as much of the same money. What was recorded on a
    stop of a sum later is not held by that; under one of the whole account it is. A deficient order covers none: what
    it lacks may be what the other one holds.
    """
    if police.control in BLOCKING:
        return True
    held = other.transfer_ids if other.control in BLOCKING else other.transfer_ids[:1]
    same_money = set(held) <= set(police.transfer_ids)
    return same_money and not police.deficient and 0 < held_fen(other) <= police.executed_fen


def freeze_draft(
    hold: Order,
    settings: PolicySettings,
    now_us: int,
    reported: Sequence[VictimTransfer] = (),
    drafted: Container[str] = (),
) -> Order | None:
    """Return the draft of a freeze that would follow a protective stop in force; ``None`` if all is ``drafted``.

    It asks for what the stop really covers, at most the stopped amount, and for the credits recorded on it that were
    ``reported``: others are suspected as well, but nobody has asked for them. It stays a draft until two persons
    have signed.
    """
    sums = {hold.transfer_ids[0]: held_fen(hold)}
    for each in reported:
        sums.setdefault(each.transfer_id, each.amount_fen)
    left = {key: fen for key, fen in sums.items() if key not in drafted}
    if not left:
        return None
    first, amount = next(iter(left)), sum(left.values())
    return Order(
        order_id=order_id_of(OrderKind.FREEZE, first, hold.target),
        kind=OrderKind.FREEZE,
        state=OrderState.DRAFT,
        bank=hold.bank,
        account=hold.account,
        amount_fen=amount,
        whole_reason="" if amount else hold.whole_reason,
        currency=hold.currency,
        transfer_ids=tuple(left),
        victim=next((each for each in reported if each.transfer_id == first), hold.victim),
        method=hold.method,
        tier=hold.tier,
        risk=hold.risk,
        reasons=hold.reasons,
        maker=MACHINE.name,
        reporters=hold.reporters,
        case_number=hold.case_number,
        months=settings.freeze_months,
        created_us=now_us,
        state_since_us=now_us,
    )
