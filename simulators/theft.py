"""Where the victims' money is, to the fen.

Money is followed through the accounts crooks control, first in first out
(Clayton's Case): each account holds lots in the order they came, what it owned
before it was recruited first. At any moment

    stolen = stopped + cashed_out + in_flight

* ``stolen``: what victims paid, less stolen money that was paid back to them as bait;
* ``cashed_out``: stolen lots that went to an account crooks do not control
  (a machine, a shop, a dealer, anybody), which ends the trail;
* ``stopped``: on each controlled account, the smaller of the stolen money on it
  and the sum its bank keeps from leaving (all of it under a block, the held sum
  under an amount hold);
* ``in_flight``: the rest of the stolen money on controlled accounts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from simulators.plan import Intent


class Lot(msgspec.Struct, frozen=True, gc=False):
    """A sum in an account; ``case_id`` empty is clean money."""

    case_id: str
    amount_fen: int


class MoneyCount(msgspec.Struct, frozen=True, kw_only=True):
    """The victims' money by where it is, in fen; ``stolen`` is the sum of the others."""

    stolen: int
    stopped: int
    cashed_out: int
    in_flight: int


class TheftBook:
    """Lots on every account that crooks control."""

    def __init__(self) -> None:
        self.stolen_fen = 0
        self.cashed_out_fen = 0
        self._lots: dict[int, deque[Lot]] = {}
        self._tainted: dict[int, int] = {}

    def controls(self, account: int) -> bool:
        """Return whether crooks control an account."""
        return account in self._lots

    def recruit(self, account: int, balance_fen: int) -> None:
        """Note that an account is now in crooks' hands, with a clean balance."""
        self._lots[account] = deque([Lot("", balance_fen)] if balance_fen else [])
        self._tainted[account] = 0

    def tainted_fen(self, account: int) -> int:
        """Return the stolen money on an account."""
        return self._tainted.get(account, 0)

    def observe(self, intent: Intent) -> None:
        """Follow one executed transfer."""
        label = intent.label
        if intent.payer in self._lots:
            lots = self._take(intent.payer, intent.amount_fen)
        elif label is not None and label.from_victim:
            self.stolen_fen += intent.amount_fen
            lots = [Lot(label.case_id, intent.amount_fen)]
        else:
            lots = [Lot("", intent.amount_fen)]
        if intent.payee in self._lots:
            self._put(intent.payee, lots)
            return
        gone_fen = sum(lot.amount_fen for lot in lots if lot.case_id)
        if label is not None and label.to_victim:
            self.stolen_fen -= gone_fen
        else:
            self.cashed_out_fen += gone_fen

    def count(self, immobilised_fen: Mapping[int, int]) -> MoneyCount:
        """Return where the money is, given what banks keep from leaving each account."""
        on_accounts = sum(self._tainted.values())
        stopped = sum(min(self.tainted_fen(account), held) for account, held in immobilised_fen.items())
        return MoneyCount(
            stolen=self.stolen_fen,
            stopped=stopped,
            cashed_out=self.cashed_out_fen,
            in_flight=on_accounts - stopped,
        )

    def _take(self, account: int, amount_fen: int) -> list[Lot]:
        lots, taken, open_fen = self._lots[account], [], amount_fen
        while open_fen:
            lot = lots.popleft()
            part = min(lot.amount_fen, open_fen)
            if part < lot.amount_fen:
                lots.appendleft(Lot(lot.case_id, lot.amount_fen - part))
            taken.append(Lot(lot.case_id, part))
            open_fen -= part
            if lot.case_id:
                self._tainted[account] -= part
        return taken

    def _put(self, account: int, lots: list[Lot]) -> None:
        held = self._lots[account]
        for lot in lots:
            if held and held[-1].case_id == lot.case_id:
                held[-1] = Lot(lot.case_id, held[-1].amount_fen + lot.amount_fen)
            else:
                held.append(lot)
            if lot.case_id:
                self._tainted[account] += lot.amount_fen
