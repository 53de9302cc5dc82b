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


def last_line(done: Result) -> str:
    return done.stderr.strip().splitlines()[-1]


def no_replay(monkeypatch) -> None:
    monkeypatch.setattr("cli.backtest.run_backtest", lambda *_: pytest.fail("replayed before it was refused"))


def test_a_report_that_cannot_be_written_is_refused_before_the_replay(transfers, monkeypatch):
    no_replay(monkeypatch)
    done = backtest(transfers, "--report", "/proc/x.html")
    assert done.exit_code == 2
    assert last_line(done).startswith("/proc/x.html cannot be written (")
    assert last_line(done).endswith("): give --report a file in a folder that you may write to")


def test_a_folder_that_can_keep_nothing_is_refused_before_the_replay(transfers, monkeypatch):
    no_replay(monkeypatch)
    Path(".run").write_text("in the way")
    done = backtest(transfers)
    assert done.exit_code == 2
    assert last_line(done).startswith(".run/backtest cannot be written (")
    assert last_line(done).endswith("): go to a folder that you may write to; finished files are kept there")


def test_a_report_is_tried_without_a_trace(transfers):
    Path("old.html").write_text("an old report")
    Path("bad.csv").write_text("no,columns\n")
    for report in ("old.html", "new.html"):
        assert backtest("bad.csv", "--report", report).exit_code == 2
    assert Path("old.html").read_text() == "an old report"
    assert not Path("new.html").exists()


def without_labels(transfers: Path) -> Path:
    path = transfers.with_name("unlabelled.csv")
    rows = [line.split(",") for line in transfers.read_text().splitlines()]
    path.write_text("\n".join(",".join(row[:-2]) for row in rows) + "\n")
    return path


def test_a_file_without_labels_is_neither_judged_nor_learned_from(transfers):
    done = backtest(without_labels(transfers), "--json", "--selective", "--report", "out.html")
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert "unlabelled: no column is_fraud" in done.stderr
    assert (found["labelled"], found["labels_delay_days"], found["selection"]) == (False, None, None)
    assert set(found["health"]["learned"].values()) <= {0}
    for part in ("last40", "stream"):
        for name in ("recall", "precision", "money_recall"):
            assert set(found[part][name].values()) == {None}
    assert (found["calibration"]["brier"], found["calibration"]["ece"]) == (None, None)
    page = Path("out.html").read_text()
    assert "no column is_fraud" in page
    assert "Precision and recall" not in page


def test_the_table_has_a_dash_where_nothing_can_be_judged(transfers):
    shown = backtest(without_labels(transfers)).stdout
    assert "fraud unknown" in shown
    assert "0.1%: -  0.5%: -  1%: -" in shown
    assert "0.0 %" not in shown


def test_a_file_of_a_header_alone_is_told_so(transfers):
    path = transfers.with_name("bare.csv")
    path.write_text(HEADER + "\n")
    done = backtest(path)
    assert done.exit_code == 0
    assert "bare: no transfers" in done.stderr
    assert "0.0 %" not in done.stdout


def test_a_judged_part_without_fraud_is_told_so(transfers):
    done = backtest(transfers)
    assert "tiny: no fraud in the last 40 %" in done.stderr
    assert "30 transfers, 1 fraud" in " ".join(done.stdout.split())
    transfers.write_text(transfers.read_text().replace(",0,\n", ",1,\n"))
    assert "tiny: " not in backtest(transfers).stderr


def test_a_kept_result_warns_again(transfers):
    path = without_labels(transfers)
    assert backtest(path).stderr.count("no column is_fraud") == 1
    assert backtest(path).stderr.count("no column is_fraud") == 1


def test_one_day_is_no_days(transfers):
    assert "labels after 1 day;" in " ".join(backtest(transfers).stdout.split())


def test_help_says_where_a_run_that_was_cut_short_goes_on():
    told = " ".join(backtest("--help").stdout.split())
    assert "goes on with the next file" in told
    assert "begins anew" in told
