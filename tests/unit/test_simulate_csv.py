from __future__ import annotations

import csv
import gzip
import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from models.money.types import fen_from_yuan, us_from_iso
from simulators.csvfile import CASE_COLUMNS, COLUMNS, simulate_csv
from simulators.plan import DAY_US
from simulators.rehearsal import simulate
from simulators.settings import SimulateSettings

SETTINGS = SimulateSettings(seed=4, customers=300, days=3, fraud_share=0.03)


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("csv")
    out, cases = folder / "a.csv.gz", folder / "a.cases.csv.gz"
    simulate_csv(SETTINGS, out, cases=cases)
    return out, cases


def test_columns_are_those_of_the_contract(written: tuple[Path, Path]) -> None:
    with gzip.open(written[0], "rt") as file:
        assert file.readline() == ",".join(COLUMNS) + "\n"
    with gzip.open(written[1], "rt") as file:
        assert file.readline() == ",".join(CASE_COLUMNS) + "\n"


def test_rows_keep_the_contract(written: tuple[Path, Path]) -> None:
    rows = rows_of(written[0])
    assert [row["tx_id"] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    times = [us_from_iso(row["ts"]) for row in rows]
    assert times == sorted(times)
    assert us_from_iso(SETTINGS.start) <= times[0]
    assert times[-1] < us_from_iso(SETTINGS.start) + SETTINGS.days * DAY_US
    assert all(row["ts"].endswith("Z") for row in rows)
    assert all(fen_from_yuan(row["amount"]) > 0 and len(row["amount"].split(".")[1]) == 2 for row in rows)
    assert {row["currency"] for row in rows} == {"CNY"}
    assert {row["payer_bank"] for row in rows} == set(SETTINGS.banks)
    assert all((row["is_fraud"] == "1") == bool(row["typology"]) for row in rows)


def test_cases_name_exactly_the_fraud_rows(written: tuple[Path, Path]) -> None:
    fraud = [row["tx_id"] for row in rows_of(written[0]) if row["is_fraud"] == "1"]
    assert fraud
    assert [row["tx_id"] for row in rows_of(written[1])] == fraud


def test_rows_are_the_simulated_transfers(written: tuple[Path, Path]) -> None:
    rows = rows_of(written[0])
    for row, item in zip(rows, simulate(SETTINGS), strict=True):
        assert us_from_iso(row["ts"]) == item.transfer.occurred_us
        assert fen_from_yuan(row["amount"]) == item.transfer.amount_fen
        assert row["payee_account"] == item.transfer.payee_account


def test_the_same_seed_writes_the_same_bytes_in_another_process(written: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "b.csv.gz"
    code = (
        "from pathlib import Path; from simulators.csvfile import simulate_csv; "
        "from simulators.settings import SimulateSettings; "
        f"simulate_csv(SimulateSettings(seed=4, customers=300, days=3, fraud_share=0.03), Path({str(out)!r}))"
    )
    env = {"PYTHONHASHSEED": str(random.randrange(1, 10_000)), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=Path(__file__).parents[2])
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(written[0].read_bytes()).digest()


def test_another_seed_writes_other_rows(written: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "c.csv.gz"
    simulate_csv(SETTINGS.model_copy(update={"seed": 5}), out)
    assert rows_of(out)[0] != rows_of(written[0])[0]


def test_a_limit_ends_the_file_and_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.csvfile.PROGRESS_EVERY", 100)
    seen: list[tuple[int, float]] = []
    out = tmp_path / "d.csv"
    settings = SETTINGS.model_copy(update={"limit": 250})
    assert simulate_csv(settings, out, progress=lambda rows, share: seen.append((rows, share))) == 250
    assert len(out.read_text().splitlines()) == 251
    assert [rows for rows, _ in seen] == [100, 200]
    assert all(0 < share < 1 for _, share in seen)
