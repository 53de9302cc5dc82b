"""An open-loop world, nobody stopped: as a stream of transfers, or as a file of the CSV contract."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TextIO

import msgspec

from models.money.types import Transfer, iso_from_us, us_from_iso, yuan_from_fen
from simulators.bank import style_of
from simulators.books import BankBooks
from simulators.engine import Engine, Pending
from simulators.habits import TRANSFERS_PER_CUSTOMER_DAY
from simulators.ledger import Opening
from simulators.plan import DAY_US, Label
from simulators.population import Account, Population, Role, build_population
from simulators.rings import rings_for
from simulators.settings import SimulateSettings

COLUMNS: Final = (
    "tx_id", "ts", "payer_account", "payer_bank", "payee_account", "payee_bank", "amount", "currency",
    "channel", "is_fraud", "typology",
)  # fmt: skip
"""The CSV contract (architecture, section 5)."""

CASE_COLUMNS: Final = ("tx_id", "case_id")

ROWS_PER_CASE: Final = 18.0
"""Mean rows of a crime over its whole course, measured; turns a share of rows into cases per day."""

PROGRESS_EVERY: Final = 5_000


class Labelled(msgspec.Struct, frozen=True, gc=False):
    """An executed transfer as its bank tells it, and the truth (``None``: honest)."""

    transfer: Transfer
    label: Label | None


def opening_of(account: Account) -> Opening:
    """Return the terms on which a bank opens an account; machines and lenders are on the white list."""
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


def simulate(settings: SimulateSettings) -> Iterator[Labelled]:
    """Yield executed transfers in order of time, for ``settings.days``; the same settings give the same transfers."""
    start_us = us_from_iso(settings.start)
    end_us = start_us + int(settings.days * DAY_US)
    population = build_population(
        seed=settings.seed, customers=settings.customers, banks=settings.banks, start_us=start_us
    )
    books = BankBooks({bank: style_of(place) for place, bank in enumerate(settings.banks)})
    books.open(openings(population))
    engine = Engine(
        population,
        seed=settings.seed,
        start_us=start_us,
        cases_per_day=cases_per_day(settings),
        rings=rings_for(settings.customers),
        prefix="t",
    )
    while engine.next_us() < end_us:
        for pending in engine.due(engine.next_us(), 1):
            if not isinstance(pending, Pending):
                continue
            outcome, told = books.execute(pending.transfer, pending.intent.at_us)
            engine.settle(pending, outcome)
            if told is not None:
                yield Labelled(told, pending.intent.label)


def simulate_csv(
    settings: SimulateSettings,
    out: Path,
    *,
    cases: Path | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> int:
    """Write a file of the CSV contract (gzipped if its name ends so); return the number of rows.

    ``cases`` gets ``tx_id, case_id`` of the fraud rows. ``progress`` is told the
    rows so far and the share of time done. The same settings write the same bytes.
    """
    start_us, rows = us_from_iso(settings.start), 0
    with _create(out) as rows_file, _create(cases) as case_file:
        write, write_case = csv.writer(rows_file, lineterminator="\n"), csv.writer(case_file, lineterminator="\n")
        write.writerow(COLUMNS)
        write_case.writerow(CASE_COLUMNS)
        for rows, item in enumerate(simulate(settings), start=1):
            write.writerow(_row(rows, item))
            if item.label is not None and item.label.fraud:
                write_case.writerow((rows, item.label.case_id))
            if progress is not None and rows % PROGRESS_EVERY == 0:
                progress(rows, (item.transfer.occurred_us - start_us) / (settings.days * DAY_US))
            if rows == settings.limit:
                break
    return rows


def _row(number: int, item: Labelled) -> tuple[object, ...]:
    transfer, label = item.transfer, item.label
    fraud = label is not None and label.fraud
    return (
        number,
        iso_from_us(transfer.occurred_us),
        transfer.payer_account,
        transfer.payer_bank,
        transfer.payee_account,
        transfer.payee_bank,
        yuan_from_fen(transfer.amount_fen),
        transfer.currency,
        transfer.channel,
        int(fraud),
        label.typology if label is not None and fraud else "",
    )


class _GzipText(io.TextIOWrapper):
    """A gzip file without a time stamp or a name inside, so that equal rows are equal bytes."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        super().__init__(gzip.GzipFile("", "wb", 6, self._raw, mtime=0), encoding="utf-8", newline="")

    def close(self) -> None:
        """Close the text, then the file under it."""
        super().close()
        self._raw.close()


def _create(path: Path | None) -> TextIO:
    if path is None:
        return io.StringIO()
    return _GzipText(path) if path.suffix == ".gz" else path.open("w", encoding="utf-8", newline="")
