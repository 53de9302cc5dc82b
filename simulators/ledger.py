"""Double-entry books of many banks, in integer fen.

Each bank keeps its customers' accounts (what it owes), a vault (what was paid
in when accounts were opened) and a clearing account (what other banks owe it).
Every transfer posts the same sum twice, so a bank's books sum to zero at any
moment, and the clearing accounts of all banks sum to zero together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from models.money.types import AccountId, split_account_id

MAX_ENTRIES_KEPT: Final = 32
"""Latest entries an account can show; its totals cover all of them."""

MAX_PAYEES_KEPT: Final = 256
"""Payees a bank remembers per account; beyond, it no longer says whether a payee is known."""


class UnknownAccount(KeyError):
    """No such account on the books."""


class AccountExists(ValueError):
    """An account of that number is open already, with other terms."""


class ShortFunds(ValueError):
    """The balance does not cover the amount."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One posting on a customer's account; ``amount_fen`` is negative for a debit."""

    transfer_id: str
    amount_fen: int
    balance_after_fen: int
    counterparty: AccountId
    occurred_us: int


class Opening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Terms of a new account. ``white_listed`` accounts are beyond any control (code 0302)."""

    bank: str
    account: str
    opened_us: int
    balance_fen: int = 0
    white_listed: bool = False
    known_payees: tuple[AccountId, ...] = ()


class LedgerAccount:
    """A customer's account: balance, totals, latest entries and the payees it has paid."""

    __slots__ = ("balance_fen", "credited_fen", "debited_fen", "entries", "key", "opening", "payees")

    def __init__(self, key: AccountId, opening: Opening) -> None:
        self.key = key
        self.opening = opening
        self.balance_fen = opening.balance_fen
        self.debited_fen = 0
        self.credited_fen = 0
        self.entries: deque[Entry] = deque(maxlen=MAX_ENTRIES_KEPT)
        self.payees: dict[AccountId, None] = dict.fromkeys(opening.known_payees)

    def knows(self, payee: AccountId) -> bool | None:
        """Return whether this account has paid ``payee`` before; ``None`` once too many are known to tell."""
        if payee in self.payees:
            return True
        return None if len(self.payees) >= MAX_PAYEES_KEPT else False

    def remember(self, payee: AccountId) -> None:
        """Note a payee, within the limit."""
        if len(self.payees) < MAX_PAYEES_KEPT:
            self.payees[payee] = None


class BankTotals(msgspec.Struct, frozen=True, kw_only=True):
    """One bank's books in sums: they balance when the three add up to zero."""

    customers_fen: int
    vault_fen: int
    clearing_fen: int
    accounts: int


class LedgerCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an audit of all books; ``faults`` names what does not add up."""

    balanced: bool
    transfers: int
    moved_fen: int
    banks: dict[str, BankTotals]
    faults: tuple[str, ...] = ()


class Ledger:
    """The books of several banks."""

    def __init__(self, banks: Iterable[str]) -> None:
        self._accounts: dict[AccountId, LedgerAccount] = {}
        self._vault = dict.fromkeys(banks, 0)
        self._clearing = dict.fromkeys(self._vault, 0)
        self._transfers = 0
        self._moved_fen = 0

    @property
    def banks(self) -> tuple[str, ...]:
        """Names of the banks."""
        return tuple(self._vault)

    def open(self, opening: Opening) -> LedgerAccount:
        """Open an account with its balance paid in; the same opening again changes nothing.

        Raises `UnknownAccount` for an unknown bank and `AccountExists` for other terms.
        """
        if opening.bank not in self._vault:
            raise UnknownAccount(opening.bank)
        if opening.balance_fen < 0:
            raise ShortFunds(f"an account opens with its balance paid in, not with {opening.balance_fen} fen")
        key = AccountId(f"{opening.bank}/{opening.account}")
        present = self._accounts.get(key)
        if present is not None:
            if present.opening != opening:
                raise AccountExists(key)
            return present
        account = self._accounts[key] = LedgerAccount(key, opening)
        self._vault[opening.bank] -= opening.balance_fen
        return account

    def find(self, key: AccountId) -> LedgerAccount | None:
        """Return an account, or ``None``."""
        return self._accounts.get(key)

    def account(self, key: AccountId) -> LedgerAccount:
        """Return an account; raise `UnknownAccount`."""
        try:
            return self._accounts[key]
        except KeyError:
            raise UnknownAccount(key) from None

    def post(
        self, *, payer: LedgerAccount, payee: LedgerAccount, amount_fen: int, transfer_id: str, occurred_us: int
    ) -> None:
        """Move ``amount_fen`` from payer to payee, through clearing if their banks differ.

        Raises `ShortFunds`, before anything is posted, if the payer's balance does not cover it.
        """
        if not 0 < amount_fen <= payer.balance_fen:
            raise ShortFunds(f"{amount_fen} fen of {payer.balance_fen}")
        payer.balance_fen -= amount_fen
        payer.debited_fen += amount_fen
        payee.balance_fen += amount_fen
        payee.credited_fen += amount_fen
        paying, receiving = payer.opening.bank, payee.opening.bank
        if paying != receiving:
            self._clearing[paying] += amount_fen
            self._clearing[receiving] -= amount_fen
        self._transfers += 1
        self._moved_fen += amount_fen
        payer.entries.append(Entry(transfer_id, -amount_fen, payer.balance_fen, payee.key, occurred_us))
        payee.entries.append(Entry(transfer_id, amount_fen, payee.balance_fen, payer.key, occurred_us))

    def check(self) -> LedgerCheck:
        """Recompute every balance from its totals and every bank's books from its accounts."""
        faults: list[str] = []
        sums = dict.fromkeys(self._vault, 0)
        counts = dict.fromkeys(self._vault, 0)
        debited = credited = 0
        for key, account in self._accounts.items():
            bank, _ = split_account_id(key)
            sums[bank] += account.balance_fen
            counts[bank] += 1
            debited += account.debited_fen
            credited += account.credited_fen
            recomputed = account.opening.balance_fen + account.credited_fen - account.debited_fen
            if account.balance_fen != recomputed or account.balance_fen < 0:
                faults.append(f"{bank}: an account stands at {account.balance_fen} fen, its entries say {recomputed}")
        faults += [f"{bank}: books are off by {off} fen" for bank in sums if (off := self._off(bank, sums[bank]))]
        if sum(self._clearing.values()):
            faults.append(f"clearing is off by {sum(self._clearing.values())} fen")
        if not debited == credited == self._moved_fen:
            faults.append(f"debits {debited}, credits {credited} and moved {self._moved_fen} fen differ")
        return LedgerCheck(
            balanced=not faults,
            transfers=self._transfers,
            moved_fen=self._moved_fen,
            banks={bank: self._totals(bank, sums[bank], counts[bank]) for bank in sums},
            faults=tuple(faults),
        )

    def _off(self, bank: str, customers_fen: int) -> int:
        return customers_fen + self._vault[bank] + self._clearing[bank]

    def _totals(self, bank: str, customers_fen: int, accounts: int) -> BankTotals:
        return BankTotals(
            customers_fen=customers_fen,
            vault_fen=self._vault[bank],
            clearing_fen=self._clearing[bank],
            accounts=accounts,
        )
