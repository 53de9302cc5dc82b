"""How a bank answers a command: who may be stopped, by which control, with which result code.

Codes and fields follow ``docs/sources.md#platform-messages`` and
``docs/sources.md#platform-results``. Where the platform leaves a bank free
(which control executes a stop, what a short balance means) each bank has a
`BankStyle`, since real banks differ and a gateway must not assume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from models.control.messages import (
    AppliedControl,
    BankCommand,
    BankFeedback,
    CommandKind,
    ControlKind,
    ResultCode,
)
from models.money.types import AccountId, account_id
from simulators.controls import (
    Control,
    ControlBook,
    as_applied,
    available_fen,
    covered_fen,
    debit_blocked,
    held_fen,
    is_freeze,
)
from simulators.ledger import Ledger, LedgerAccount

HOUR_US: Final = 3_600_000_000
STOP_SPAN_US: Final = 48 * HOUR_US
"""A stop lasts 48 h from the bank's stop point (``docs/sources.md#notice-86``)."""

MAX_STOPS: Final = 2
"""At most two emergency stops per account; an extension counts as one (the conservative reading)."""

MAX_FREEZE_US: Final = 365 * 24 * HOUR_US
"""The longest freeze of deposits: one year (``docs/sources.md#procedure-rules``, Art. 243)."""

PAPER_TYPES: Final = frozenset({"04", "05"})
"""Application types of a paper that follows a stop already made; it must not execute again."""

BANK_FIRST_TYPES: Final = frozenset({"02", "03"})
"""Application types of a stop on a victim's report to the bank; the legal document follows."""

BAD_AMOUNT: Final = "0200"
OUTSIDE_LEGAL_FORCE: Final = "0801"
ALREADY_HANDLED: Final = "0900"

QUEUED: Final = "queued behind the freeze in force"
"""Remark on a freeze without a start time that waits for its turn (轮候冻结)."""

LIFTS: Final = {
    CommandKind.PROTECTIVE_RELEASE: CommandKind.PROTECTIVE_STOP,
    CommandKind.STOP_LIFT: CommandKind.STOP,
    CommandKind.UNFREEZE: CommandKind.FREEZE,
}
EXTENSIONS: Final = {
    CommandKind.STOP_EXTENSION: CommandKind.STOP,
    CommandKind.FREEZE_EXTENSION: CommandKind.FREEZE,
}


class BankStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How one bank works: the control that executes a stop, and what it tells about a payment."""

    stop_by: ControlKind = ControlKind.DEBIT_BLOCK
    tells_device: bool = True
    tells_ip: bool = True
    tells_call: bool = True


STYLES: Final = (
    BankStyle(stop_by=ControlKind.DEBIT_BLOCK),
    BankStyle(stop_by=ControlKind.FULL_BLOCK, tells_device=False),
    BankStyle(stop_by=ControlKind.AMOUNT_HOLD, tells_call=False),
    BankStyle(stop_by=ControlKind.DEBIT_BLOCK, tells_ip=False, tells_call=False),
)


def style_of(place: int) -> BankStyle:
    """Return the style of the bank at a place of the list of banks; styles repeat in turn."""
    return STYLES[place % len(STYLES)]


class Refused(Exception):
    """A command the bank answers with a code other than success; nothing was changed."""

    def __init__(self, code: str, remark: str) -> None:
        super().__init__(f"{code} {remark}")
        self.code = code
        self.remark = remark


class CommandDesk:
    """Executes commands on the controls of all banks, each application id once."""

    def __init__(self, ledger: Ledger, controls: ControlBook, styles: Mapping[str, BankStyle]) -> None:
        self._ledger = ledger
        self._controls = controls
        self._styles = styles
        # Never forgotten: a bank that forgets an application id would execute it twice.
        self._feedbacks: dict[tuple[str, str], BankFeedback] = {}
        self._acts: dict[CommandKind, Callable[[BankCommand, LedgerAccount, int, bool], BankFeedback]] = {
            CommandKind.PROTECTIVE_STOP: self._protect,
            CommandKind.STOP: self._stop,
            CommandKind.FREEZE: self._freeze,
            **dict.fromkeys(LIFTS, self._lift),
            **dict.fromkeys(EXTENSIONS, self._extend),
        }

    def feedback(self, bank: str, application_id: str, now_us: int) -> BankFeedback | None:
        """Return the feedback to an application id, or ``None``; a freeze that waited in the queue gets its start."""
        given = self._feedbacks.get((bank, application_id))
        if given is None or given.start_us or given.control is None:
            return given
        account = account_id(bank, given.account_number)
        self._controls.in_force(account, now_us)
        control = self._controls.find(account, application_id)
        if control is not None and control.start_us and given.feedback_remark == QUEUED:
            return msgspec.structs.replace(given, start_us=control.start_us)
        return given

    def handle(self, command: BankCommand, now_us: int, *, short: bool = False) -> BankFeedback:
        """Execute a command, or return the first feedback if its application id was seen before.

        ``short`` makes the bank find only half of the money it holds (a fault on demand).
        """
        seen = self._feedbacks.get((command.bank_id, command.application_id))
        if seen is not None:
            return seen
        try:
            check_fields(command, now_us)
            feedback = self._acts[command.kind](command, self._account(command), now_us, short)
        except Refused as refusal:
            feedback = refused(command, now_us, refusal.code, refusal.remark)
        return self.keep(command.bank_id, feedback)

    def keep(self, bank: str, feedback: BankFeedback) -> BankFeedback:
        """Remember a feedback under its application id."""
        self._feedbacks[(bank, feedback.application_id)] = feedback
        return feedback

    def controls_of(self, account: LedgerAccount, now_us: int) -> list[AppliedControl]:
        """Return the controls in force on an account, as the bank reports them."""
        return [as_applied(c, account.balance_fen) for c in self._controls.in_force(account.key, now_us)]

    def _account(self, command: BankCommand) -> LedgerAccount:
        account = self._ledger.find(account_id(command.bank_id, command.account_number))
        if account is None:
            raise Refused(ResultCode.ACCOUNT_UNKNOWN, "no such account at this bank")
        if account.opening.white_listed:
            raise Refused(ResultCode.WHITE_LISTED, "account is on the white list")
        return account

    def _protect(self, command: BankCommand, account: LedgerAccount, now_us: int, short: bool) -> BankFeedback:
        in_force = self._controls.in_force(account.key, now_us)
        if debit_blocked([c for c in in_force if is_freeze(c)]):
            raise Refused(ResultCode.ALREADY_FULLY_FROZEN, "account is fully frozen")
        if debit_blocked([c for c in in_force if c.kind == CommandKind.STOP]):
            raise Refused(ResultCode.ALREADY_STOPPED, "account is stopped as a whole")
        kind = ControlKind.AMOUNT_HOLD if command.amount_fen else ControlKind.DEBIT_BLOCK
        return self._apply(command, account, now_us, short, kind=kind, expire_us=command.expire_us)

    def _stop(self, command: BankCommand, account: LedgerAccount, now_us: int, short: bool) -> BankFeedback:
        if command.application_type in PAPER_TYPES:
            return self._link_paper(command, account, now_us)
        in_force = self._controls.in_force(account.key, now_us)
        freezes = [c for c in in_force if is_freeze(c)]
        if debit_blocked(freezes):
            raise Refused(ResultCode.ALREADY_FULLY_FROZEN, "account is fully frozen")
        if freezes:
            raise Refused(ResultCode.ALREADY_LIMITED_FROZEN, "account is frozen for a sum")
        if any(c.kind == CommandKind.STOP for c in in_force):
            raise Refused(ResultCode.ALREADY_STOPPED, "account is under a stop")
        if self._controls.stops_used(account.key) >= MAX_STOPS:
            raise Refused(ResultCode.TOO_MANY_STOPS, "account has had two stops")
        check_match(command, account)
        kind = self._styles[command.bank_id].stop_by
        if kind is ControlKind.AMOUNT_HOLD and not command.amount_fen:
            kind = ControlKind.DEBIT_BLOCK
        self._controls.count_stop(account.key)
        return self._apply(command, account, now_us, short, kind=kind, expire_us=now_us + STOP_SPAN_US)

    def _freeze(self, command: BankCommand, account: LedgerAccount, now_us: int, short: bool) -> BankFeedback:
        kind = ControlKind.AMOUNT_HOLD if command.amount_fen else self._whole_block(command.bank_id)
        expire_us = min(command.expire_us, now_us + MAX_FREEZE_US)
        prior = [c for c in self._controls.in_force(account.key, now_us) if is_freeze(c)]
        if not prior:
            return self._apply(command, account, now_us, short, kind=kind, expire_us=expire_us)
        self._controls.put(control_of(command, account.key, kind, start_us=0, expire_us=expire_us))
        return BankFeedback(
            application_id=command.application_id,
            result=ResultCode.OK,
            feedback_time_us=now_us,
            account_number=command.account_number,
            control=kind,
            expire_us=expire_us,
            account_balance_fen=account.balance_fen,
            executed_fen=0,
            prior_freeze_fen=covered_fen(prior, account.balance_fen),
            feedback_remark=QUEUED,
        )

    def _apply(
        self,
        command: BankCommand,
        account: LedgerAccount,
        now_us: int,
        short: bool,
        *,
        kind: ControlKind,
        expire_us: int,
    ) -> BankFeedback:
        before = self._controls.in_force(account.key, now_us)
        free_fen = account.balance_fen - held_fen(before, account.balance_fen)
        if short:
            free_fen = min(free_fen, command.amount_fen or free_fen) // 2
        control = control_of(command, account.key, kind, start_us=now_us, expire_us=expire_us)
        if short and kind is ControlKind.AMOUNT_HOLD:
            control = msgspec.structs.replace(control, wanted_fen=min(control.wanted_fen, free_fen))
        self._controls.put(control)
        executed_fen = min(command.amount_fen, free_fen) if command.amount_fen else free_fen
        after = self._controls.in_force(account.key, now_us)
        return BankFeedback(
            application_id=command.application_id,
            result=ResultCode.DEFICIENT if executed_fen < command.amount_fen else ResultCode.OK,
            feedback_time_us=now_us,
            account_number=command.account_number,
            control=kind,
            start_us=now_us,
            expire_us=expire_us,
            account_balance_fen=account.balance_fen,
            available_balance_fen=available_fen(after, account.balance_fen),
            executed_fen=executed_fen,
            prior_freeze_fen=covered_fen([c for c in before if is_freeze(c)], account.balance_fen),
        )

    def _link_paper(self, command: BankCommand, account: LedgerAccount, now_us: int) -> BankFeedback:
        original = self._original(command, account, CommandKind.STOP)
        given = self._feedbacks[(command.bank_id, original.application_id)]
        return msgspec.structs.replace(
            given,
            application_id=command.application_id,
            feedback_time_us=now_us,
            feedback_remark=f"linked to {original.application_id}, not executed again",
        )

    def _lift(self, command: BankCommand, account: LedgerAccount, now_us: int, _short: bool) -> BankFeedback:
        control = self._original(command, account, LIFTS[command.kind])
        if control.start_us and now_us >= control.expire_us:
            raise Refused(ResultCode.LIFT_EXPIRED, "it had expired by itself")
        self._controls.lift(control, now_us)
        return self._changed(command, account, now_us, msgspec.structs.replace(control, expire_us=now_us))

    def _extend(self, command: BankCommand, account: LedgerAccount, now_us: int, _short: bool) -> BankFeedback:
        control = self._original(command, account, EXTENSIONS[command.kind])
        if now_us >= control.expire_us:
            raise Refused(ResultCode.EXTENSION_EXPIRED, "it had expired by itself")
        if control.kind == CommandKind.STOP:
            if self._controls.stops_used(account.key) >= MAX_STOPS:
                raise Refused(ResultCode.TOO_MANY_STOPS, "account has had two stops")
            self._controls.count_stop(account.key)
            expire_us = control.expire_us + STOP_SPAN_US
        else:
            expire_us = min(command.expire_us, control.expire_us + MAX_FREEZE_US)
        longer = msgspec.structs.replace(control, expire_us=max(expire_us, control.expire_us))
        self._controls.put(longer)
        return self._changed(command, account, now_us, longer)

    def _original(self, command: BankCommand, account: LedgerAccount, kind: CommandKind) -> Control:
        control = self._controls.find(account.key, command.original_application_id)
        if control is not None and control.kind == kind:
            return control
        if self._controls.ended_early(account.key, command.original_application_id):
            raise Refused(ALREADY_HANDLED, "it was lifted before")
        raise Refused(ResultCode.ORIGINAL_UNKNOWN, "no such control on this account")

    def _changed(self, command: BankCommand, account: LedgerAccount, now_us: int, control: Control) -> BankFeedback:
        after = self._controls.in_force(account.key, now_us)
        return BankFeedback(
            application_id=command.application_id,
            result=ResultCode.OK,
            feedback_time_us=now_us,
            account_number=command.account_number,
            control=control.control,
            start_us=control.start_us,
            expire_us=control.expire_us,
            account_balance_fen=account.balance_fen,
            available_balance_fen=available_fen(after, account.balance_fen),
        )

    def _whole_block(self, bank: str) -> ControlKind:
        style = self._styles[bank].stop_by
        return ControlKind.FULL_BLOCK if style is ControlKind.FULL_BLOCK else ControlKind.DEBIT_BLOCK


def control_of(
    command: BankCommand, account: AccountId, kind: ControlKind, *, start_us: int, expire_us: int
) -> Control:
    """Return the control a command asks for."""
    return Control(
        application_id=command.application_id,
        kind=command.kind,
        control=kind,
        account=account,
        start_us=start_us,
        expire_us=expire_us,
        wanted_fen=command.amount_fen if kind is ControlKind.AMOUNT_HOLD else 0,
        case_number=command.case_number,
    )


def refused(command: BankCommand, now_us: int, code: str, remark: str) -> BankFeedback:
    """Return a feedback that says no."""
    return BankFeedback(
        application_id=command.application_id,
        result=code,
        feedback_time_us=now_us,
        account_number=command.account_number,
        feedback_remark=remark,
    )


def check_fields(command: BankCommand, now_us: int) -> None:
    """Raise `Refused` for a field that is missing, a paper that is missing or a period that is over."""
    missing = [name for name in ("application_id", "account_number", "reason") if not getattr(command, name)]
    if command.kind in LIFTS or command.kind in EXTENSIONS or command.application_type in PAPER_TYPES:
        missing += [] if command.original_application_id else ["original_application_id"]
    if command.kind is not CommandKind.PROTECTIVE_STOP and command.kind is not CommandKind.PROTECTIVE_RELEASE:
        missing += [name for name in ("operator", "investigator") if not getattr(command, name)]
        missing += ["a second person"] if command.operator and command.operator == command.investigator else []
    if command.kind is CommandKind.STOP and command.transfer_out is None:
        missing.append("transfer_out")
    if missing:
        raise Refused(ResultCode.FIELD_MISSING, "missing: " + ", ".join(missing))
    if command.amount_fen < 0:
        raise Refused(BAD_AMOUNT, "a negative amount")
    bank_first = command.application_type in BANK_FIRST_TYPES
    if command.kind in (CommandKind.STOP, CommandKind.FREEZE) and not command.legal_document and not bank_first:
        raise Refused(ResultCode.DOCUMENT_MISSING, "no legal document")
    if command.kind in (CommandKind.PROTECTIVE_STOP, CommandKind.FREEZE) and command.expire_us <= now_us:
        raise Refused(OUTSIDE_LEGAL_FORCE, "the period asked for is over")


def check_match(command: BankCommand, account: LedgerAccount) -> None:
    """Raise `Refused` if the bank's own record of the victim's transfer shows another amount.

    A bank compares before it stops, and on a mismatch must not (``docs/sources.md#notice-86``). The transfer need not
    touch this account: the account may lie tiers below the victim's payee.
    """
    victim = command.transfer_out
    if victim is None or not victim.transfer_id:
        return
    for entry in account.entries:
        if entry.transfer_id == victim.transfer_id and abs(entry.amount_fen) != victim.amount_fen:
            raise Refused(BAD_AMOUNT, "the victim's transfer has another amount on the bank's books")
