"""Controls in force on accounts: what they forbid, what they hold, when they end by themselves."""

from __future__ import annotations

from typing import Final

import msgspec

from models.control.messages import AppliedControl, CommandKind, ControlKind
from models.money.types import AccountId

BLOCKS_DEBIT: Final = frozenset({ControlKind.DEBIT_BLOCK, ControlKind.FULL_BLOCK})
"""Controls under which an account pays nothing (只收不付, 不收不付)."""

MAX_JOURNAL: Final = 200_000
"""Journal entries a bank app keeps; older ones are no longer told to a reader that fell behind."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One control on one account. ``wanted_fen`` is the sum an amount hold asks for; 0 for blocks.

    A hold covers what is there up to ``wanted_fen``, later credits included
    (限额冻结). ``start_us`` 0 means queued behind another freeze (轮候冻结).
    """

    application_id: str
    kind: CommandKind
    control: ControlKind
    account: AccountId
    start_us: int
    expire_us: int
    wanted_fen: int = 0
    case_number: str = ""

    def in_force(self, now_us: int) -> bool:
        """Return whether the control works at ``now_us``: from its stop point until just before it expires."""
        return 0 < self.start_us <= now_us < self.expire_us


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of a control, in order of ``seq``: applied, extended, or (with ``ended_us``) lifted early."""

    seq: int
    account: AccountId
    application_id: str
    kind: CommandKind
    control: ControlKind
    start_us: int
    expire_us: int
    wanted_fen: int = 0
    ended_us: int = 0


class ControlBook:
    """All controls of all banks, by account and by application id."""

    def __init__(self) -> None:
        self._by_account: dict[AccountId, dict[str, Control]] = {}
        self._ended: set[tuple[AccountId, str]] = set()
        self._queues: dict[AccountId, list[str]] = {}
        self._stops: dict[AccountId, int] = {}
        self._journal: list[JournalEntry] = []
        self._journal_start = 0

    def in_force(self, account: AccountId, now_us: int) -> list[Control]:
        """Return the controls that work on an account at ``now_us``, oldest first."""
        held = self._by_account.get(account)
        if not held:
            return []
        if account in self._queues:
            self._start_queued(account, now_us)
        return [control for control in held.values() if control.in_force(now_us)]

    def find(self, account: AccountId, application_id: str) -> Control | None:
        """Return a control that was once applied and not lifted early, also if it has expired."""
        return self._by_account.get(account, {}).get(application_id)

    def ended_early(self, account: AccountId, application_id: str) -> bool:
        """Return whether a control was lifted before its time."""
        return (account, application_id) in self._ended

    def put(self, control: Control) -> None:
        """Apply a new control, queue it, or replace one of the same application id (an extension)."""
        if control.start_us == 0:
            self._queues.setdefault(control.account, []).append(control.application_id)
        self._by_account.setdefault(control.account, {})[control.application_id] = control
        self._write(control, ended_us=0)

    def lift(self, control: Control, now_us: int) -> None:
        """End a control before its time."""
        del self._by_account[control.account][control.application_id]
        if control.start_us == 0:
            self._queues[control.account].remove(control.application_id)
        self._ended.add((control.account, control.application_id))
        self._write(control, ended_us=now_us)

    def stops_used(self, account: AccountId) -> int:
        """Return how many emergency stops, extensions included, the account has had."""
        return self._stops.get(account, 0)

    def count_stop(self, account: AccountId) -> None:
        """Count one emergency stop or extension of one."""
        self._stops[account] = self.stops_used(account) + 1

    def journal(self, since: int) -> tuple[list[JournalEntry], int]:
        """Return the entries from sequence number ``since`` on and the next number to ask for."""
        first = max(0, since - self._journal_start)
        return self._journal[first:], self._journal_start + len(self._journal)

    def _start_queued(self, account: AccountId, now_us: int) -> None:
        """Start the queued freezes whose turn has come, at the time the one before them ended (轮候冻结)."""
        held = self._by_account[account]
        queue = self._queues[account]
        while queue:
            freezes = [control for control in held.values() if is_freeze(control) and control.start_us]
            if any(control.in_force(now_us) for control in freezes):
                return
            start_us = max((c.expire_us for c in freezes if c.expire_us <= now_us), default=now_us)
            self.put(msgspec.structs.replace(held[queue.pop(0)], start_us=start_us))
        del self._queues[account]

    def _write(self, control: Control, ended_us: int) -> None:
        self._journal.append(
            JournalEntry(
                seq=self._journal_start + len(self._journal),
                account=control.account,
                application_id=control.application_id,
                kind=control.kind,
                control=control.control,
                start_us=control.start_us,
                expire_us=control.expire_us,
                wanted_fen=control.wanted_fen,
                ended_us=ended_us,
            )
        )
        if len(self._journal) > MAX_JOURNAL:
            drop = len(self._journal) // 2
            del self._journal[:drop]
            self._journal_start += drop


def is_freeze(control: Control) -> bool:
    """Return whether a control is a freeze, queued ones included."""
    return control.kind == CommandKind.FREEZE


def debit_blocked(controls: list[Control]) -> bool:
    """Return whether one of the controls forbids every payment out."""
    return any(control.control in BLOCKS_DEBIT for control in controls)


def credit_blocked(controls: list[Control]) -> bool:
    """Return whether one of the controls forbids payments in."""
    return any(control.control is ControlKind.FULL_BLOCK for control in controls)


def held_fen(controls: list[Control], balance_fen: int) -> int:
    """Return what amount holds cover of a balance.

    >>> held_fen([], 500)
    0
    """
    return min(balance_fen, sum(control.wanted_fen for control in controls))


def covered_fen(controls: list[Control], balance_fen: int) -> int:
    """Return what controls cover of a balance: all of it under a block, else what their holds sum to."""
    return balance_fen if debit_blocked(controls) else held_fen(controls, balance_fen)


def available_fen(controls: list[Control], balance_fen: int) -> int:
    """Return what may leave the account: nothing under a block, else the balance above all holds."""
    return balance_fen - covered_fen(controls, balance_fen)


def as_applied(control: Control, balance_fen: int) -> AppliedControl:
    """Return a control as the bank reports it; a block covers the whole balance."""
    covers = control.wanted_fen if control.control is ControlKind.AMOUNT_HOLD else balance_fen
    return AppliedControl(
        application_id=control.application_id,
        kind=control.kind,
        control=control.control,
        start_us=control.start_us,
        expire_us=control.expire_us,
        executed_fen=min(covers, balance_fen),
    )
