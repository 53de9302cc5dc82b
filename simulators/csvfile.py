"""An open-loop world, nobody stopped, as a file of the CSV contract."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from models.money.types import iso_from_us, us_from_iso, yuan_from_fen
from simulators.plan import DAY_US
from simulators.rehearsal import Labelled, simulate
from simulators.settings import SimulateSettings

COLUMNS: Final = (
    "tx_id", "ts", "payer_account", "payer_bank", "payee_account", "payee_bank", "amount", "currency",
    "channel", "is_fraud", "typology",
)  # fmt: skip
"""The CSV contract (``docs/architecture.md#files-of-transfers``)."""

CASE_COLUMNS: Final = ("tx_id", "case_id")

PROGRESS_EVERY: Final = 5_000


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
