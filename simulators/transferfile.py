"""Files of the CSV contract (``docs/architecture.md#files-of-transfers``), read row by row in arrival order."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple

from models.money.types import MAX_AMOUNT_FEN, Transfer, us_from_iso

REQUIRED: Final = ("tx_id", "ts", "payer_account", "payer_bank", "payee_account", "payee_bank", "amount")
LABEL_COLUMN: Final = "is_fraud"
DIGEST_BLOCK: Final = 1 << 20
TEXT: Final = "utf-8-sig"
"""Spreadsheets put a byte order mark before UTF-8."""


class TransferFileError(ValueError):
    """A file does not follow the CSV contract; the message names file, line and fault."""


class FileRow(NamedTuple):
    """One line: the transfer, and what only the judge may see."""

    transfer: Transfer
    fraud: bool
    typology: str


class TransferFile:
    """Rows of one file; `share` tells how much of it has been read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw: io.BufferedReader | None = None
        self._size = max(path.stat().st_size, 1)

    @property
    def share(self) -> float:
        """Share of the file's bytes read so far, 0-1 (by blocks)."""
        return 1.0 if self._raw is None or self._raw.closed else min(self._raw.tell() / self._size, 1.0)

    def labelled(self) -> bool:
        """Return whether there is a column of labels; raise `TransferFileError` for a header without others."""
        with self._open() as text:
            return LABEL_COLUMN in self._header(csv.reader(text))

    def rows(self) -> Iterator[FileRow]:
        """Yield the rows in order; raise `TransferFileError` at the first bad one. Empty lines are passed over."""
        with self._open() as text:
            lines = csv.reader(text)
            places = self._header(lines)
            while True:
                with _named(self.path, lines):
                    line = next(lines, None)
                    row = _row(line, places) if line else None
                if line is None:
                    return
                if row is not None:
                    yield row

    def _header(self, lines: Any) -> dict[str, int]:
        with _named(self.path, lines):
            header: list[str] = next(lines, [])
        places = {name.strip(): place for place, name in enumerate(header)}
        missing = [name for name in REQUIRED if name not in places]
        if missing:
            raise TransferFileError(f"{self.path.name}: no column {', '.join(missing)}")
        return places

    @contextmanager
    def _open(self) -> Iterator[io.TextIOBase]:
        with self.path.open("rb") as raw:
            self._raw = raw
            binary = gzip.GzipFile(fileobj=raw) if self.path.suffix == ".gz" else raw
            with io.TextIOWrapper(binary, encoding=TEXT, newline="") as text:
                yield text


@contextmanager
def _named(path: Path, lines: Any) -> Iterator[None]:
    """Raise `TransferFileError` with file and line for what cannot be read there; ``lines`` is a ``csv.reader``."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TransferFileError(f"{path.name}, after line {lines.line_num}: cut short or no gzip: {error}") from error
    except IndexError as error:
        raise TransferFileError(f"{path.name}, line {lines.line_num}: too few columns") from error
    except (ValueError, InvalidOperation, csv.Error) as error:
        raise TransferFileError(f"{path.name}, line {lines.line_num}: {error}") from error


def _row(line: list[str], places: dict[str, int]) -> FileRow:
    def text(name: str) -> str:
        place = places.get(name)
        return line[place] if place is not None else ""

    transfer = Transfer(
        transfer_id=_named_id(line[places["tx_id"]]),
        payer_bank=line[places["payer_bank"]],
        payer_account=line[places["payer_account"]],
        payee_bank=line[places["payee_bank"]],
        payee_account=line[places["payee_account"]],
        amount_fen=read_amount_fen(line[places["amount"]]),
        occurred_us=us_from_iso(line[places["ts"]]),
        currency=text("currency") or "CNY",
        channel=text("channel"),
    )
    return FileRow(transfer, _flag(text(LABEL_COLUMN)), text("typology"))


def _named_id(text: str) -> str:
    """Return an id; rows without one would all be taken for one transfer that is posted again and again."""
    if not text:
        raise ValueError("tx_id is empty")
    return text


def _flag(text: str) -> bool:
    if text in ("0", ""):
        return False
    if text == "1":
        return True
    raise ValueError(f"is_fraud is {text!r}, not 0 or 1")


def read_amount_fen(text: str) -> int:
    """Return the amount in fen, to the nearest fen, at least one and at most `MAX_AMOUNT_FEN`.

    Public sets hold amounts of nothing, of more than two decimals, and in currencies
    of another scale; a back-test must not lose their rows. Raise ``ValueError`` for what is no amount.

    >>> [read_amount_fen(text) for text in ("680.23", "0.0", "12.345", "1e14")]
    [68023, 1, 1234, 10000000000000]
    """
    whole, point, cents = text.partition(".")
    if point and len(cents) == 2 and whole.isdigit() and cents.isdigit():
        fen = int(whole + cents)
    else:
        exact = Decimal(text)
        if not exact.is_finite() or exact < 0:
            raise ValueError(f"amount is {text!r}")
        fen = int((exact * 100).to_integral_value(ROUND_HALF_EVEN))
    return min(max(fen, 1), MAX_AMOUNT_FEN)


def read_cases(path: Path) -> dict[str, str]:
    """Return the case of each fraud row by ``tx_id``; raise `TransferFileError`."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding=TEXT, newline="") as text:
        lines = csv.DictReader(text)
        with _named(path, lines):
            if not {"tx_id", "case_id"} <= set(lines.fieldnames or ()):
                raise TransferFileError(f"{path.name}: columns must be tx_id, case_id")
            return {line["tx_id"]: line["case_id"] for line in lines}


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as raw:
        while block := raw.read(DIGEST_BLOCK):
            digest.update(block)
    return digest.hexdigest()
