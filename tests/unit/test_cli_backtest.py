"""``sluice backtest`` hands on what it was asked, and refuses what makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

HEADER = "tx_id,ts,payer_account,payer_bank,payee_account,payee_bank,amount,currency,channel,is_fraud,typology"


@pytest.fixture
def transfers(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # no processes beside this one
    lines = [f"t{n},2024-01-01T00:{n:02d}:00Z,A{n},b,C{n % 5},b,9.00,CNY,,{int(n == 9)}," for n in range(30)]
    path = tmp_path / "tiny.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def backtest(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def test_selective_labels_are_told_with_the_result(transfers):
    plain = json.loads(backtest(transfers, "--json").stdout)
    assert plain["selection"] is None
    chosen = json.loads(
        backtest(
            transfers, "--json", "--selective", "--reported", 0.25, "--report-delay", "2d", "--sampled", 0.5
        ).stdout
    )
    assert chosen["selection"] == {
        "alerted_budget": 0.005,
        "reported": 0.25,
        "reported_after_us": 172_800_000_000,
        "sampled": 0.5,
    }


def test_fresh_runs_a_kept_file_anew(transfers):
    backtest(transfers, "--json")
    (kept,) = Path(".run/backtest").iterdir()
    made = kept.stat().st_mtime_ns
    assert backtest(transfers, "--json").exit_code == 0
    assert kept.stat().st_mtime_ns == made
    assert backtest(transfers, "--json", "--fresh").exit_code == 0
    assert kept.stat().st_mtime_ns > made


@pytest.mark.parametrize(
    "wrong",
    [
        ("--selective", "--no-labels"),
        ("--report-delay", "soon"),
        ("--labels-delay", "1w"),
        ("--sampled", "2"),
        ("--report", "nowhere/out.html"),
        ("--report", "."),
    ],
)
def test_what_makes_no_sense_is_refused(transfers, wrong):
    assert backtest(transfers, *wrong).exit_code == 2
    assert not Path(".run").exists()


def test_help_says_where_a_run_that_was_cut_short_goes_on():
    told = " ".join(backtest("--help").stdout.split())
    assert "goes on with the next file" in told
    assert "begins anew" in told
