"""A world in one process: people, crooks and banks without HTTP, open loop or behind a gate.

The same settings give the same transfers. ``sluice simulate`` runs it without
a gate, so nobody is stopped; tests and studies give it one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from models.control.messages import BankCommand, BankFeedback
from models.money.types import Transfer, us_from_iso
from simulators.books import BankBooks
from simulators.commands import style_of
from simulators.engine import Engine, Pending
from simulators.habits import TRANSFERS_PER_CUSTOMER_DAY
from simulators.ledger import Opening
from simulators.plan import DAY_US, Label
from simulators.population import Account, Population, Role, build_population
from simulators.rings import rings_for
from simulators.settings import SimulateSettings
from simulators.theft import MoneyCount
from simulators.watch import ControlWatch

ROWS_PER_CASE: Final = 18.0
"""Mean rows of a crime over its whole course, measured; turns a share of rows into cases per day."""


class Labelled(msgspec.Struct, frozen=True, gc=False):
    """An executed transfer as its bank tells it, and the truth (``None``: honest)."""

    transfer: Transfer
    label: Label | None


Gate = Callable[[Labelled], list[BankCommand]]
"""Sees each executed transfer and answers with the commands a bank is to get because of it."""


def opening_of(account: Account) -> Opening:
    """Return the terms on which a bank opens an account; machines and lenders are on its white list."""
    return Opening(
        bank=account.bank,
        account=account.number,
        opened_us=account.opened_us,
        balance_fen=account.opening_fen,
        white_listed=account.role in (Role.ATM, Role.LENDER),
    )


def openings(population: Population) -> list[Opening]:
    """Return the openings of all accounts, with the payees their owners have paid for years."""
    known: dict[int, set[int]] = {}
    for person in population.customers:
        regular = {*person.friends, *person.family, *person.shops, person.landlord, person.lender, person.second}
        known[person.main] = regular - {-1, person.main}
    accounts = population.accounts
    return [
        msgspec.structs.replace(
            opening_of(account), known_payees=tuple(accounts[payee].key for payee in sorted(known.get(place, ())))
        )
        for place, account in enumerate(accounts)
    ]


def cases_per_day(settings: SimulateSettings) -> float:
    """Return how many crimes begin in a day so that about ``fraud_share`` of the rows are fraud."""
    honest = settings.customers * TRANSFERS_PER_CUSTOMER_DAY
    return honest * settings.fraud_share / (1 - settings.fraud_share) / ROWS_PER_CASE


class Rehearsal:
    """One run of a world. ``reaction_us`` is the time from a transfer to the bank's receipt of a gate's command."""

    def __init__(self, settings: SimulateSettings, *, gate: Gate | None = None, reaction_us: int = 0) -> None:
        self.start_us = us_from_iso(settings.start)
        self.end_us = self.start_us + int(settings.days * DAY_US)
        population = build_population(
            seed=settings.seed, customers=settings.customers, banks=settings.banks, start_us=self.start_us
        )
        self.books = BankBooks({bank: style_of(place) for place, bank in enumerate(settings.banks)})
        self.books.open(openings(population))
        self.engine = Engine(
            population,
            seed=settings.seed,
            start_us=self.start_us,
            cases_per_day=cases_per_day(settings),
            rings=rings_for(settings.customers),
            prefix="t",
        )
        self.watch = ControlWatch(self.engine)
        self.watch.live_us = self.start_us
        self.feedbacks: list[BankFeedback] = []
        self._gate = gate
        self._reaction_us = reaction_us
        self._commands: list[tuple[int, int, BankCommand]] = []
        self._given = 0

    def run(self) -> Iterator[Labelled]:
        """Yield executed transfers in order of time until the end."""
        engine = self.engine
        while engine.next_us() < self.end_us:
            now_us = engine.next_us()
            self._deliver(now_us)
            for item in engine.due(now_us, 1):
                if not isinstance(item, Pending):
                    continue
                outcome, told = self.books.execute(item.transfer, now_us)
                engine.settle(item, outcome)
                if told is not None:
                    labelled = Labelled(told, item.intent.label)
                    self._ask(labelled)
                    yield labelled
        self._deliver(self.end_us)

    def money(self) -> MoneyCount:
        """Return where the victims' money is at the end."""
        entries, following = self.books.journal(self.watch.next)
        self.watch.read(entries, following)
        return self.engine.money(self.watch.immobilised(self.end_us))

    def _ask(self, labelled: Labelled) -> None:
        if self._gate is None:
            return
        for command in self._gate(labelled):
            self._given += 1
            due_us = labelled.transfer.occurred_us + self._reaction_us
            heapq.heappush(self._commands, (due_us, self._given, command))

    def _deliver(self, now_us: int) -> None:
        """Hand the banks the commands that have arrived by now, and let the world see what they did."""
        delivered = False
        while self._commands and self._commands[0][0] <= now_us:
            due_us, _, command = heapq.heappop(self._commands)
            self.feedbacks.append(self.books.command(command, due_us))
            delivered = True
        if delivered:
            entries, following = self.books.journal(self.watch.next)
            self.watch.read(entries, following)


def simulate(settings: SimulateSettings) -> Iterator[Labelled]:
    """Yield executed transfers in order of time, for ``settings.days``, with nobody stopped."""
    return Rehearsal(settings).run()
