"""An order, the acts done to it, and the errors of doing them. Frozen; times are UTC microseconds of the world."""

from __future__ import annotations

import msgspec

from models.control.messages import BankFeedback, ControlKind, VictimTransfer
from models.control.states import ActorKind, OrderEvent, OrderKind, OrderState, Purpose, RequestKind
from models.money.types import AccountId, account_id
from models.risk.assessment import Reason

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class OrderError(Exception):
    """The order does not allow this.

    - `WrongState`: this cannot happen in the state the order is in
    - `GuardFailed`: a condition of the law or of the house is not met
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WrongState(OrderError):
    """The order is not in a state in which this can happen."""

    def __init__(self, state: OrderState, event: OrderEvent) -> None:
        super().__init__("wrong_state", f"an order that is {state} does not take {event}")


class GuardFailed(OrderError):
    """A condition of the law or of the house is not met; ``code`` names it."""


class Actor(msgspec.Struct, frozen=True):
    """Who acts: a person or bank by the name of its key, or the machine."""

    name: str
    kind: ActorKind = ActorKind.PERSON


MACHINE = Actor(name="sluice", kind=ActorKind.MACHINE)


class LegalDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The paper an order rests on; Sluice keeps its number and digest, not its content."""

    number: str
    kind: str
    sha256: str


class Signature(msgspec.Struct, frozen=True):
    """One person's act that carries responsibility."""

    name: str
    act: str
    at_us: int


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A lift or an extension that waits for its second person."""

    kind: RequestKind
    maker: str
    at_us: int
    reason: str


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order on one account at one bank.

    ``amount_fen`` limits it to a sum; 0 asks for the whole account and then
    ``whole_reason`` says why. ``stop_point_us`` is the bank's own time of
    taking effect and the start of every legal clock; 0 means "not in force".
    """

    order_id: str
    kind: OrderKind
    state: OrderState
    bank: str
    account: str
    amount_fen: int
    maker: str
    created_us: int
    state_since_us: int
    version: int = 1
    currency: str = "CNY"
    whole_reason: str = ""
    transfer_ids: tuple[str, ...] = ()
    victim: VictimTransfer | None = None
    method: str = ""
    """How the money was traced to this account; every traced figure names it (``docs/sources.md#tracing-methods``)."""
    tier: int = 0
    risk: float = 0.0
    reasons: tuple[Reason, ...] = ()
    reporters: tuple[str, ...] = ()
    """Who reported the money the order is about; none of them gives the second signature."""
    case_number: str = ""
    hold_us: int = 0
    """Length of the control from its stop point: 48 h of a stop, a setting for a hold."""
    months: int = 0
    """Term of a freeze in months."""
    document: LegalDocument | None = None
    signatures: tuple[Signature, ...] = ()
    request: ChangeRequest | None = None
    came_from: OrderState | None = None
    command_seq: int = 0
    purpose: Purpose | None = None
    """What the command that waits for an answer is for; ``None`` while none waits."""
    feedback_due_us: int = 0
    applied_application_id: str = ""
    control: ControlKind | None = None
    stop_point_us: int = 0
    expire_us: int = 0
    executed_fen: int = 0
    deficient: bool = False
    extended: int = 0
    result: str = ""
    cause: str = ""
    end_reason: str = ""
    reminders: int = 0
    attempts: int = 0

    @property
    def target(self) -> AccountId:
        """Key of the account the order is about."""
        return account_id(self.bank, self.account)

    @property
    def application_id(self) -> str:
        """Identifier of the latest command to the bank; empty before the first."""
        return f"{self.order_id}-{self.command_seq:02d}" if self.command_seq else ""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one event brings along.

    ``feedback_us`` is how long the bank may take to answer a command that the
    event makes. ``earlier_stops`` counts stops that took or may yet take effect on the account,
    this order's own left out. ``control_gone`` says that the bank was asked and no
    longer reports the control.
    """

    actor: Actor
    at_us: int
    reason: str = ""
    document: LegalDocument | None = None
    feedback: BankFeedback | None = None
    feedback_us: int = 60_000_000
    earlier_stops: int = 0
    control_gone: bool = False
    level: str = ""
    amount_fen: int = 0
    transfer_ids: tuple[str, ...] = ()
    reporters: tuple[str, ...] = ()
