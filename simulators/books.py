"""Many banks behind one counter: accounts, transfers under controls, commands. No I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from models.control.messages import AppliedControl, BankCommand, BankFeedback
from models.money.types import AccountId, Transfer
from simulators.commands import BankStyle, CommandDesk
from simulators.controls import ControlBook, JournalEntry, available_fen, credit_blocked, debit_blocked
from simulators.ledger import Ledger, LedgerAccount, LedgerCheck, Opening

MAX_OUTCOMES_KEPT: Final = 500_000
"""Latest transfer ids whose outcome is remembered, so that asking twice does not pay twice."""


class Refusal(StrEnum):
    """Why a bank did not execute a transfer."""

    UNKNOWN_ACCOUNT = "unknown_account"
    DEBIT_BLOCKED = "debit_blocked"
    CREDIT_BLOCKED = "credit_blocked"
    HELD = "held"
    SHORT_FUNDS = "short_funds"


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of a transfer; ``refusal`` empty means executed.

    ``available_fen`` is what the payer may still pay afterwards.
    """

    transfer_id: str
    available_fen: int = 0
    refusal: str = ""

    @property
    def executed(self) -> bool:
        """Return whether the money moved."""
        return not self.refusal


class BankBooks:
    """Ledger, controls and commands of several banks in one consistent state."""

    def __init__(self, styles: Mapping[str, BankStyle]) -> None:
        self.styles = dict(styles)
        self.ledger = Ledger(self.styles)
        self._controls = ControlBook()
        self._desk = CommandDesk(self.ledger, self._controls, self.styles)
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()

    def open(self, openings: Sequence[Opening]) -> list[int]:
        """Open accounts; return what each holds now, in fen. Raises as `Ledger.open`."""
        return [self.ledger.open(opening).balance_fen for opening in openings]

    def execute(self, transfer: Transfer, now_us: int) -> tuple[Outcome, Transfer | None]:
        """Execute one transfer; return its outcome and, if it moved money now, what the payer's bank posts.

        A transfer id seen before gets its first outcome again and moves nothing.
        """
        seen = self._outcomes.get(transfer.transfer_id)
        if seen is not None:
            return seen, None
        outcome, posted = self._execute(transfer, now_us)
        self._outcomes[transfer.transfer_id] = outcome
        if len(self._outcomes) > MAX_OUTCOMES_KEPT:
            self._outcomes.popitem(last=False)
        return outcome, posted

    def _execute(self, transfer: Transfer, now_us: int) -> tuple[Outcome, Transfer | None]:
        payer, payee = self.ledger.find(transfer.payer), self.ledger.find(transfer.payee)
        if payer is None or payee is None or payer is payee:
            return Outcome(transfer.transfer_id, refusal=Refusal.UNKNOWN_ACCOUNT), None
        controls = self._controls.in_force(payer.key, now_us)
        free_fen = available_fen(controls, payer.balance_fen)
        refusal = ""
        if debit_blocked(controls):
            refusal = Refusal.DEBIT_BLOCKED
        elif credit_blocked(self._controls.in_force(payee.key, now_us)):
            refusal = Refusal.CREDIT_BLOCKED
        elif transfer.amount_fen > free_fen:
            refusal = Refusal.HELD if transfer.amount_fen <= payer.balance_fen else Refusal.SHORT_FUNDS
        if refusal:
            return Outcome(transfer.transfer_id, free_fen, refusal), None
        known = payer.knows(payee.key)
        self.ledger.post(
            payer=payer,
            payee=payee,
            amount_fen=transfer.amount_fen,
            transfer_id=transfer.transfer_id,
            occurred_us=transfer.occurred_us,
        )
        payer.remember(payee.key)
        outcome = Outcome(transfer.transfer_id, free_fen - transfer.amount_fen)
        return outcome, self._as_told(transfer, payer, payee, known)

    def _as_told(self, transfer: Transfer, payer: LedgerAccount, payee: LedgerAccount, known: bool | None) -> Transfer:
        """Return the transfer with what the payer's bank knows: of the payee only if it is its own customer."""
        style = self.styles[transfer.payer_bank]
        own = transfer.payer_bank == transfer.payee_bank
        return Transfer(
            transfer_id=transfer.transfer_id,
            payer_bank=transfer.payer_bank,
            payer_account=transfer.payer_account,
            payee_bank=transfer.payee_bank,
            payee_account=transfer.payee_account,
            amount_fen=transfer.amount_fen,
            occurred_us=transfer.occurred_us,
            currency=transfer.currency,
            channel=transfer.channel,
            payer_balance_after_fen=payer.balance_fen,
            payee_balance_after_fen=payee.balance_fen if own else None,
            payer_opened_us=payer.opening.opened_us,
            payee_opened_us=payee.opening.opened_us if own else None,
            payee_known=known,
            in_call=transfer.in_call if style.tells_call else None,
            device_id=transfer.device_id if style.tells_device else "",
            ip=transfer.ip if style.tells_ip else "",
        )

    def command(self, command: BankCommand, now_us: int, *, short: bool = False) -> BankFeedback:
        """Execute a command (`CommandDesk.handle`)."""
        return self._desk.handle(command, now_us, short=short)

    def keep(self, bank: str, feedback: BankFeedback) -> BankFeedback:
        """Remember a feedback as the one given to its application id."""
        return self._desk.keep(bank, feedback)

    def feedback(self, bank: str, application_id: str, now_us: int) -> BankFeedback | None:
        """Return the feedback given to an application id (`CommandDesk.feedback`)."""
        return self._desk.feedback(bank, application_id, now_us)

    def controls_of(self, key: AccountId, now_us: int) -> list[AppliedControl]:
        """Return the controls in force on an account; raises `UnknownAccount`."""
        return self._desk.controls_of(self.ledger.account(key), now_us)

    def available_fen(self, key: AccountId, now_us: int) -> int:
        """Return what an account may pay now; raises `UnknownAccount`."""
        account = self.ledger.account(key)
        return available_fen(self._controls.in_force(key, now_us), account.balance_fen)

    def journal(self, since: int) -> tuple[list[JournalEntry], int]:
        """Return the changes of controls from ``since`` on and the next number to ask for."""
        return self._controls.journal(since)

    def check(self) -> LedgerCheck:
        """Audit the books (`Ledger.check`)."""
        return self.ledger.check()
