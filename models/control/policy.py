"""From an assessment to what is done about it: stop, record on an existing control, or only advise.

The machine alone may only order the bank's own short, reviewable measure
(Art. 18, ``docs/sources.md#anti-fraud-law``), and only on a ground that is conclusive about an account; risk
without one is shown to people and holds nobody's money. Freezes are drafted
here and wait for two persons.
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
from models.money.types import LATEST_US, AccountId, Transfer, account_id
from models.risk.assessment import Assessment, Band, ListLevel, Reason

DIRECT = "direct_credit"
"""Tracing method of the machine's orders: the suspicious credit itself, no further."""

LISTED = "listed_account"
"""Tracing method where the account itself is named: nothing is traced, all of it is held."""

SAME_INFLOW_US = DAY_US // 2
"""Two transfers so close share most of the 24 hours before them; of a stop further back it is open how much (ours)."""

INFLOW = "inflow_24h"
"""Tracing method where the whole account is suspected: all that came in within 24 hours, this credit included, less
what open stops of the last 12 hours hold."""

PAYEE_FOR_HIRE, PAYER_FOR_HIRE = "C01", "C02"
"""Grounds of the rule book that are conclusive: the one about the payee's account, the other about the payer's."""

NAMED = frozenset({"3004", "victim_report"})
"""Grounds that people gave about the payee: the list of involved accounts, a victim's word. They hold the credit."""

PAYER_LISTED = "3005"
"""The payer is on the list of involved accounts: its bank suspends its business (`docs/sources.md#platform-events`)."""

SUSPENDED = "付款账户在涉案账户名单上，暂停该账户业务"
"""Why a listed payer is held as a whole."""

LEARNED, LEARNED_FROM = "forest", 0.95
"""A detector that learned from verdicts, and the score and risk from which it is taken at its word (ours)."""

BLOCKING = frozenset({ControlKind.FULL_BLOCK, ControlKind.DEBIT_BLOCK})
"""Controls under which no money leaves the account."""

CLEARED = frozenset({OrderState.RELEASED, OrderState.LIFTED})
"""Ends of an order that say its account was doubted without a reason."""

UNRESOLVED = frozenset({OrderState.EXPIRED, OrderState.DECLINED, OrderState.REFUSED, OrderState.FAILED})
"""Ends of an order by a clock or a bank: nobody has said whether it was right."""


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
    HELD_ALREADY = "held_already"
    INCONCLUSIVE = "inconclusive"
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


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The account a stop belongs on, the sum to hold there, and how that sum was traced.

    ``amount_fen`` is 0 for the whole account; ``whole_reason`` then says why.
    """

    bank: str
    account: str
    amount_fen: int
    method: str
    level: ListLevel
    whole_reason: str = ""

    @property
    def key(self) -> AccountId:
        """Key of the account on every topic."""
        return account_id(self.bank, self.account)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of the account that a stop would be on (`target_of`)."""

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
    released = [order for order in stops if is_released(order)]
    return Standing(
        level=level,
        open_orders=tuple(order for order in known if order.state not in terminal_states(order.kind)),
        released_us=max((order.state_since_us for order in released), default=0),
        exempted_us=max((o.state_since_us for o in stops if o.result == ResultCode.WHITE_LISTED), default=0),
    )


def is_released(stop: Order) -> bool:
    """Return whether a person has released a stop, whatever its bank made of that."""
    failed = stop.state is OrderState.RELEASE_FAILED and stop.came_from is OrderState.RELEASING
    return failed or stop.state in (OrderState.RELEASED, OrderState.RELEASING)


def doubted_until_us(orders: Iterable[Order]) -> int:
    """Return the world time up to which an account is in doubt, from all its orders; 0 if it is not.

    `LATEST_US` while an order is open, asked for or in force. One that ended without
    an answer leaves its doubt behind, which a later release or lift takes away.
    """
    known = tuple(orders)
    if any(order.state not in terminal_states(order.kind) for order in known):
        return LATEST_US
    cleared_us = max((order.state_since_us for order in known if order.state in CLEARED), default=0)
    left_us = max((order.state_since_us for order in known if order.state in UNRESOLVED), default=0)
    return left_us if left_us > cleared_us else 0


def target_of(assessment: Assessment) -> Target | None:
    """Return whom the grounds of an assessment convict; ``None`` if none is conclusive.

    The payee where it is for hire, is listed, or a victim named the payment. The
    payer where it is listed itself, or where stolen money leaves a mule to somebody
    who takes it from anybody: a shop, a machine or a dealer has done nothing, what
    is left is on the mule's account. A payer is never stopped on a ground about the
    payment alone, since it may be the victim.
    """
    transfer, grounds = assessment.transfer, {reason.code: reason for reason in assessment.reasons}
    payee = Target(
        bank=transfer.payee_bank,
        account=transfer.payee_account,
        amount_fen=transfer.amount_fen,
        method=DIRECT,
        level=assessment.lists.payee,
    )
    payer = Target(
        bank=transfer.payer_bank,
        account=transfer.payer_account,
        amount_fen=0,
        method=LISTED,
        level=assessment.lists.payer,
        whole_reason=SUSPENDED,
    )
    if NAMED & grounds.keys():
        return payee
    if PAYER_LISTED in grounds:
        return payer
    if PAYEE_FOR_HIRE in grounds:
        return _for_inflow(payee, grounds[PAYEE_FOR_HIRE], "payee_24h_yuan", transfer)
    if PAYER_FOR_HIRE in grounds:
        return _for_inflow(payer, grounds[PAYER_FOR_HIRE], "payer_24h_yuan", transfer)
    return payee if _learned(assessment) else None


def _for_inflow(suspect: Target, ground: Reason, name: str, transfer: Transfer) -> Target:
    """Return the target for all that came into the account within 24 hours, at least this transfer."""
    amount_fen = max(_inflow_fen(ground, name), transfer.amount_fen)
    return msgspec.structs.replace(suspect, amount_fen=amount_fen, method=INFLOW, whole_reason="")


def _inflow_fen(ground: Reason, name: str) -> int:
    """Return a sum of the evidence in fen; it is quoted in yuan with two decimals, so nothing is lost."""
    return round(float(ground.evidence.get(name, 0.0)) * 100)


def _learned(assessment: Assessment) -> bool:
    scores = [score.score for score in assessment.scores if score.name == LEARNED]
    return bool(scores) and min(*scores, assessment.risk) >= LEARNED_FROM


def decide(assessment: Assessment, standing: Standing, settings: PolicySettings, now_us: int) -> Decision:
    """Return what is to be done about one assessed transfer.

    ``standing`` is that of the account of `target_of`. A stop needs a conclusive
    ground, not only a high risk. A white-listed account is never stopped by a
    score, and an account that a person has just released, or that its bank has
    just called exempt, is left alone for the cool-down, unless it is on the
    black list.
    """
    if assessment.band is not Band.STOP:
        return NOTHING
    target = target_of(assessment)
    if target is None:
        return Decision(action=Action.WITHHELD, why=Why.INCONCLUSIVE)
    if ListLevel.WHITE in (standing.level, target.level) and standing.level is not ListLevel.BLACK:
        return Decision(action=Action.WITHHELD, why=Why.WHITE_LISTED)
    blocking = _blocking(standing.open_orders)
    if blocking is not None:
        return Decision(action=Action.ATTACHED, order=blocking, why=Why.BLOCKED_ALREADY)
    return _against(assessment, target, standing, settings, now_us)


def _against(
    assessment: Assessment, target: Target, standing: Standing, settings: PolicySettings, now_us: int
) -> Decision:
    """Return what is to be done about an account that may be stopped and is not blocked."""
    resting = None if standing.level is ListLevel.BLACK else _resting(standing, settings, now_us)
    if resting is not None:
        return Decision(action=Action.WITHHELD, why=resting)
    same_day = _of_the_same_day(assessment.transfer, standing.open_orders) if target.method == INFLOW else []
    left = _less(target, sum(order.amount_fen for order in same_day), assessment.transfer) if same_day else target
    if same_day and left.amount_fen == 0:
        return Decision(action=Action.ATTACHED, order=same_day[-1], why=Why.HELD_ALREADY)
    return Decision(action=Action.ORDER, order=_protective_stop(assessment, left, standing, settings, now_us))


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


def _of_the_same_day(transfer: Transfer, orders: Iterable[Order]) -> list[Order]:
    """Return the stops that hold, or were asked to, most of what came into an account in the day before a transfer."""
    return [
        order
        for order in orders
        if order.kind is OrderKind.PROTECTIVE_STOP
        and order.method == INFLOW
        and order.state in AWAITING_BANK | IN_FORCE
        and order.amount_fen
        and order.victim is not None
        and abs(order.victim.occurred_us - transfer.occurred_us) < SAME_INFLOW_US
    ]


def _less(target: Target, held_fen: int, transfer: Transfer) -> Target:
    """Return the target without what is held already; of a credit to it, at least the credit, which is not."""
    credit_fen = transfer.amount_fen if target.key == transfer.payee else 0
    return msgspec.structs.replace(target, amount_fen=max(target.amount_fen - held_fen, credit_fen, 0))


def _protective_stop(
    assessment: Assessment, target: Target, standing: Standing, settings: PolicySettings, now_us: int
) -> Order:
    transfer = assessment.transfer
    whole_reason = target.whole_reason or _tired_of_parts(standing, settings)
    return Order(
        order_id=order_id_of(OrderKind.PROTECTIVE_STOP, transfer.transfer_id, target.key),
        kind=OrderKind.PROTECTIVE_STOP,
        state=OrderState.PROPOSED,
        bank=target.bank,
        account=target.account,
        amount_fen=0 if whole_reason else target.amount_fen,
        whole_reason=whole_reason,
        currency=transfer.currency,
        transfer_ids=(transfer.transfer_id,),
        victim=victim_of(transfer),
        method=target.method,
        risk=assessment.risk,
        reasons=assessment.reasons,
        maker=MACHINE.name,
        hold_us=settings.hold_us,
        created_us=now_us,
        state_since_us=now_us,
    )


def _tired_of_parts(standing: Standing, settings: PolicySettings) -> str:
    """Return why the next stop asks for the whole account; empty while there are few on parts of it."""
    holds = sum(order.kind is OrderKind.PROTECTIVE_STOP for order in standing.open_orders)
    if holds < settings.max_amount_holds:
        return ""
    return f"该账户已有 {holds} 笔限额止付，可疑资金持续转入，改为整户止付"


def victim_of(transfer: Transfer) -> VictimTransfer:
    """Return the part of a transfer that the bank matches before it acts."""
    return VictimTransfer(
        transfer_id=transfer.transfer_id,
        payer_bank=transfer.payer_bank,
        payer_account=transfer.payer_account,
        amount_fen=transfer.amount_fen,
        occurred_us=transfer.occurred_us,
    )
