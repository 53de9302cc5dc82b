"""What the banks' controls mean for the world: money that cannot leave, honest people who were stopped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from models.control.messages import CommandKind
from models.money.types import AccountId
from simulators.controls import BLOCKS_DEBIT, JournalEntry
from simulators.engine import Engine
from simulators.population import Role

DEALERS: Final = frozenset({Role.OTC})
"""Accounts of third parties who take stolen money in exchange for coins; no crook controls them."""

NEVER_US: Final = 1 << 62


class StopCounts(msgspec.Struct, kw_only=True):
    """Accounts on which a protective stop became effective, each counted once, at its first.

    ``right`` ones were controlled by crooks. Of all others ``false`` were stopped in the live phase and
    ``in_history`` before it, for transfers of the history. ``false_by`` breaks ``false`` down by whom they hit;
    ``third_party`` of them are dealers who took stolen money in exchange.
    """

    right: int = 0
    false: int = 0
    third_party: int = 0
    in_history: int = 0
    false_by: dict[str, int] = msgspec.field(default_factory=dict)


class ControlWatch:
    """A mirror of the banks' control journal, read against the truth the world knows.

    Which phase a stop belongs to is told by the bank's stop point: the live one begins at ``live_us``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places = {account.key: place for place, account in enumerate(engine.population.accounts)}
        self._controls: dict[AccountId, dict[str, JournalEntry]] = {}
        self._judged: set[AccountId] = set()
        self.stops = StopCounts()
        self.live_us = NEVER_US
        self.next = 0

    def read(self, entries: Iterable[JournalEntry], following: int) -> None:
        """Take in changes of controls."""
        self.next = following
        for entry in entries:
            if entry.account not in self._places:
                continue
            held = self._controls.setdefault(entry.account, {})
            if entry.ended_us:
                held.pop(entry.application_id, None)
                continue
            held[entry.application_id] = entry
            effective = entry.kind == CommandKind.PROTECTIVE_STOP and entry.start_us
            if effective and entry.account not in self._judged:
                self._judged.add(entry.account)
                self._judge(entry)

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

    def _judge(self, entry: JournalEntry) -> None:
        """Count the first protective stop of an account as right or false, by who controls it at that time."""
        place = self._places[entry.account]
        account = self._engine.population.accounts[place]
        if self._engine.book.controls(place):
            self.stops.right += 1
        elif entry.start_us < self.live_us:
            self.stops.in_history += 1
        else:
            self.stops.false += 1
            self.stops.third_party += account.role in DEALERS
            who = self._engine.describe(place)
            self.stops.false_by[who] = self.stops.false_by.get(who, 0) + 1
