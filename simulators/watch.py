"""What the banks' controls mean for the world: money that cannot leave, honest people who were stopped."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from models.control.messages import CommandKind
from models.money.types import AccountId
from simulators.controls import BLOCKS_DEBIT, JournalEntry
from simulators.engine import Engine
from simulators.population import Role

THIRD_PARTIES = frozenset({Role.OTC})
"""Accounts whose stop is neither right nor false: dealers who took stolen money in exchange."""


class StopCounts(msgspec.Struct, kw_only=True):
    """Accounts that protective stops have touched, each once; ``right`` means crooks controlled it."""

    right: int = 0
    false: int = 0
    third_party: int = 0


class ControlWatch:
    """A mirror of the banks' control journal, read against the truth the world knows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places = {account.key: place for place, account in enumerate(engine.population.accounts)}
        self._controls: dict[AccountId, dict[str, JournalEntry]] = {}
        self._judged: set[AccountId] = set()
        self.stops = StopCounts()
        self.false_accounts: list[AccountId] = []
        self.next = 0

    def read(self, entries: Iterable[JournalEntry], following: int) -> None:
        """Take in changes of controls."""
        self.next = following
        for entry in entries:
            held = self._controls.setdefault(entry.account, {})
            if entry.ended_us:
                held.pop(entry.application_id, None)
                continue
            held[entry.application_id] = entry
            if entry.kind == CommandKind.PROTECTIVE_STOP:
                self._judge(entry.account)

    def immobilised(self, now_us: int) -> dict[int, int]:
        """Return, per account, the sum that cannot leave it at ``now_us``."""
        sums: dict[int, int] = {}
        for key, held in self._controls.items():
            place = self._places[key]
            balance = self._engine.town.balances[place]
            live = [entry for entry in held.values() if 0 < entry.start_us <= now_us < entry.expire_us]
            if any(entry.control in BLOCKS_DEBIT for entry in live):
                sums[place] = balance
            elif live:
                sums[place] = min(balance, sum(entry.wanted_fen for entry in live))
        return sums

    def _judge(self, key: AccountId) -> None:
        """Count the first protective stop of an account as right or false, by who controls it at that time."""
        if key in self._judged:
            return
        self._judged.add(key)
        place = self._places[key]
        if self._engine.book.controls(place):
            self.stops.right += 1
        elif self._engine.population.accounts[place].role in THIRD_PARTIES:
            self.stops.third_party += 1
        else:
            self.stops.false += 1
            self.false_accounts.append(key)
