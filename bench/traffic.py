"""The load: transfers of a simulated town, in order of event time, without end.

The town is the one of ``sluice simulate``: habits, salaries, shops, and a little
fraud, so that features and rules do the work they do in life. Its days repeat
with new ids and later times; accounts go on with what they have learned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from models.money.types import Transfer, iso_from_us
from models.risk.assessment import AccountLists
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.scorer import Draft, Scorer
from models.wire import TransferRecord, encode
from simulators.rehearsal import simulate
from simulators.settings import SimulateSettings

CUSTOMERS: Final = 10_000
DAYS: Final = 4.0
FRAUD_SHARE: Final = 0.003
DAY_US: Final = 86_400_000_000
LAPS: Final = 90
"""How often the days may repeat: they begin that long ago, so that no transfer is dated in the future."""

SEED: Final = 1
NOBODY: Final = AccountLists()


class Payment(NamedTuple):
    """One transfer ready to send."""

    number: int
    bank: str
    key: bytes
    value: bytes


class Traffic:
    """Makes payments; numbers count up from 0 over the whole bench, ids are ``run`` and number."""

    def __init__(self, run: str, now_us: int, *, customers: int = CUSTOMERS, days: float = DAYS) -> None:
        self._run = run
        self._lap_us = int(days * DAY_US)
        self.start_us = now_us - (LAPS + 1) * self._lap_us
        settings = SimulateSettings(
            seed=SEED, customers=customers, days=days, fraud_share=FRAUD_SHARE, start=iso_from_us(self.start_us)
        )
        self._town = [item.transfer for item in simulate(settings)]
        self._endless = self._payments()

    @property
    def lap(self) -> int:
        """How many transfers the days have before they repeat."""
        return len(self._town)

    def take(self, count: int) -> list[Payment]:
        """Return the next payments."""
        return list(islice(self._endless, count))

    def number_of(self, transfer_id: str) -> int:
        """Return the number of a transfer of ours, or -1 for somebody else's."""
        run, _, number = transfer_id.rpartition("-")
        return int(number) if run == self._run else -1

    def _payments(self) -> Iterator[Payment]:
        number = 0
        for lap in range(LAPS):
            for transfer in self._town:
                record = again(transfer, f"{self._run}-{number}", transfer.occurred_us + lap * self._lap_us)
                yield Payment(number, record.payer_bank, record.payer.encode(), encode(record))
                number += 1


def again(transfer: Transfer, transfer_id: str, occurred_us: int) -> TransferRecord:
    """Return a transfer as it goes onto the topic, with another id and time."""
    fields = {name: getattr(transfer, name) for name in Transfer.__struct_fields__}
    return TransferRecord(**{**fields, "transfer_id": transfer_id, "occurred_us": occurred_us})


class Scored(NamedTuple):
    """What scoring a stretch of traffic left behind."""

    transfers: list[Transfer]
    fraud: list[bool]
    drafts: list[Draft]
    profiles: dict[str, AccountProfile]


def scored_town(*, customers: int, days: float, fraud_share: float, seed: int, limit: int | None = None) -> Scored:
    """Simulate a town and draft its transfers with the rules alone."""
    settings = SimulateSettings(seed=seed, customers=customers, days=days, fraud_share=fraud_share)
    scorer, found = Scorer(), Scored([], [], [], defaultdict(lambda: EMPTY_PROFILE))
    for item in islice(simulate(settings), limit):
        transfer, profiles = item.transfer, found.profiles
        debited = scorer.debit(profiles[transfer.payer], transfer)
        if debited.view is None:
            continue
        profiles[transfer.payer] = debited.profile
        credited = scorer.credit(profiles[transfer.payee], transfer, debited.view, NOBODY)
        profiles[transfer.payee] = credited.profile
        found.transfers.append(transfer)
        found.fraud.append(item.label is not None and item.label.fraud)
        found.drafts.append(credited.draft)
    return found
