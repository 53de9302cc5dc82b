"""The discrete-event core of every world: what is due next, and what follows from what happened.

It does no I/O and reads no clock. A driver takes what is due, has a bank
execute it and settles the outcome; the closed loop over HTTP, the file writer
and the tests are three such drivers over the same engine.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final

import msgspec

from models.money.types import Transfer
from simulators.books import Outcome
from simulators.habits import HonestLife
from simulators.plan import DAY_US, HOUR_US, Intent
from simulators.population import Population
from simulators.rings import BackInTime, Case, Script, Underworld, Wait
from simulators.scripts import begin
from simulators.theft import MoneyCount, TheftBook
from simulators.town import SLOT_US, Town, slot_at

TOLD_SHARE: Final = 0.85
"""How often a channel tells its bank the device and the address it was used from."""

OTHER_DEVICE_SHARE: Final = 0.004
"""How often anybody pays from a device never seen before: a new telephone, a colleague's."""


RUN_UP_US: Final = 3 * HOUR_US
"""How far back a world that starts in the middle of a day looks for what is still going on."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A victim speaks up at ``at_us`` about the transfers of a case."""

    at_us: int
    case: Case


class Pending(msgspec.Struct, frozen=True, gc=False):
    """A transfer to execute, with the wish behind it and the script that waits for its outcome."""

    transfer: Transfer
    intent: Intent
    script: Script | None


class Counts(msgspec.Struct, kw_only=True):
    """What has happened so far, in transfers."""

    honest: int = 0
    fraud: int = 0
    refused_honest: int = 0
    refused_fraud: int = 0
    cases: int = 0
    reports: int = 0


class Engine:
    """A town, its underworld, and the queue of everything that is yet to come.

    ``cases_per_day`` is the mean number of crimes begun in a day of the whole
    world, by ``rings`` gangs; ``prefix`` begins every transfer id.
    """

    def __init__(
        self, population: Population, *, seed: int, start_us: int, cases_per_day: float, rings: int, prefix: str
    ) -> None:
        self.town = Town(population, seed)
        self.book = TheftBook()
        self.counts = Counts()
        self._world = Underworld(self.town, self.book, seed, rings)
        self._world.spawn = self._start
        self._world.report = self._report
        self._life = HonestLife(self.town)
        self._cases_per_day = cases_per_day
        self._prefix = prefix
        self._heap: list[tuple[int, int, Intent | Wait | Report, Script | None]] = []
        self._sequence = 0
        self._issued = 0
        self._next_slot_us = start_us // SLOT_US * SLOT_US
        self._start_us = start_us
        self._scale, self._calendar = 1.0, True

    @property
    def population(self) -> Population:
        """Who lives here."""
        return self.town.population

    def next_us(self) -> int:
        """Return the time of the next thing to happen."""
        while not self._heap or self._next_slot_us <= self._heap[0][0]:
            self._plan_slot()
        return self._heap[0][0]

    def due(self, until_us: int, limit: int) -> list[Pending | Report]:
        """Take at most ``limit`` things that happen up to ``until_us``, in order of time."""
        taken: list[Pending | Report] = []
        while len(taken) < limit and self.next_us() <= until_us:
            _, _, wish, script = heapq.heappop(self._heap)
            if isinstance(wish, Intent):
                taken.append(Pending(self._transfer(wish), wish, script))
            elif isinstance(wish, Report):
                self.counts.reports += 1
                taken.append(wish)
            elif script is not None:
                self._go_on(script, None, wish.at_us)
        return taken

    def settle(self, pending: Pending, outcome: Outcome) -> None:
        """Tell the engine what became of a transfer; its script goes on from there."""
        intent = pending.intent
        fraud = intent.label is not None and intent.label.fraud
        if outcome.executed:
            self.town.balances[intent.payer] -= intent.amount_fen
            self.town.balances[intent.payee] += intent.amount_fen
            self.book.observe(intent)
            self.counts.fraud += fraud
            self.counts.honest += not fraud
        else:
            self.counts.refused_fraud += fraud
            self.counts.refused_honest += not fraud
        if pending.script is not None:
            self._go_on(pending.script, outcome, intent.at_us)

    def money(self, immobilised_fen: Mapping[int, int]) -> MoneyCount:
        """Return where the victims' money is (`TheftBook.count`)."""
        return self.book.count(immobilised_fen)

    def describe(self, place: int) -> str:
        """Return whose account it is: a victim's, a kind of customer's, or its role."""
        account = self.town.population.accounts[place]
        if place in self._world.victims:
            return "victim"
        kind = self.town.population.customers[account.owner].kind if account.owner >= 0 else account.role
        return str(kind)

    def set_pace(self, scale: float, *, calendar: bool) -> None:
        """Plan habits at ``scale`` times their rates from the next slot on, with or without wages and rents."""
        self._scale, self._calendar = scale, calendar

    def set_cases(self, per_day: float) -> None:
        """Change how many crimes begin in a day."""
        self._cases_per_day = per_day

    def skip_to(self, at_us: int) -> None:
        """Go on from ``at_us``: nothing earlier happens any more. Only before the first crime.

        What began up to `RUN_UP_US` before and is not over yet (a dinner's shares still to be paid) is
        planned anew at full life, so that the rate is there from the first second.
        """
        self._heap.clear()
        self._start_us = at_us
        self._next_slot_us = (at_us - RUN_UP_US) // SLOT_US * SLOT_US

    def _plan_slot(self) -> None:
        start_us, self._next_slot_us = self._next_slot_us, self._next_slot_us + SLOT_US
        for intent in self._life.slot(start_us, self._scale, calendar=self._calendar):
            if intent.at_us >= self._start_us:
                self._push(intent.at_us, intent, None)
        slot = slot_at(start_us)
        crimes = self.town.count(self._cases_per_day, slot)
        for at_us in self.town.moments(crimes, slot):
            if at_us < self._start_us:
                continue
            self.counts.cases += 1
            self._world.now_us = at_us
            self._start(begin(self._world, at_us))

    def _push(self, at_us: int, wish: Intent | Wait | Report, script: Script | None) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (at_us, self._sequence, wish, script))

    def _start(self, script: Script) -> None:
        wish = next(script, None)
        if wish is not None:
            self._enqueue(wish, script)

    def _go_on(self, script: Script, outcome: Outcome | None, now_us: int) -> None:
        self._world.now_us = now_us
        try:
            wish = script.send(outcome)
        except StopIteration:
            return
        self._enqueue(wish, script)

    def _enqueue(self, wish: Intent | Wait, script: Script) -> None:
        if wish.at_us < self._world.now_us:
            raise BackInTime(f"{wish} after {self._world.now_us}")
        self._push(wish.at_us, wish, script)

    def _report(self, at_us: int, case: Case) -> None:
        self._push(at_us, Report(at_us=at_us, case=case), None)

    def _transfer(self, intent: Intent) -> Transfer:
        accounts, dice = self.town.population.accounts, self.town.dice
        payer, payee = accounts[intent.payer], accounts[intent.payee]
        self._issued += 1
        tells = payer.device and intent.channel not in ("counter", "atm", "batch")
        device = intent.device or payer.device
        if dice.random() < OTHER_DEVICE_SHARE:
            device = f"dev-{dice.getrandbits(48):012x}"
        return Transfer(
            transfer_id=f"{self._prefix}{self._issued:09d}",
            payer_bank=payer.bank,
            payer_account=payer.number,
            payee_bank=payee.bank,
            payee_account=payee.number,
            amount_fen=intent.amount_fen,
            occurred_us=intent.at_us,
            channel=intent.channel,
            in_call=intent.in_call if tells else None,
            device_id=device if tells and dice.random() < TOLD_SHARE else "",
            ip=payer.ip if tells and dice.random() < TOLD_SHARE else "",
        )


def days_between(start_us: int, end_us: int) -> float:
    """Return a span in days.

    >>> days_between(0, 43_200_000_000)
    0.5
    """
    return (end_us - start_us) / DAY_US
