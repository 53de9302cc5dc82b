"""The back-test is honest: labels reach the judge, and the learner only when they are due."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from cli.backtest import EXIT_BAD_FILE, backtest_files
from models.risk.rules.settings import rules_from_mapping
from models.risk.scorer import Scorer
from simulators.csvfile import simulate_csv
from simulators.labels import Selection
from simulators.plan import DAY_US
from simulators.replay import BacktestOptions, BacktestResult, run_backtest
from simulators.replay_engine import Engine, EngineSettings
from simulators.settings import SimulateSettings
from simulators.transferfile import FileRow, TransferFile, TransferFileError, read_amount_fen, read_cases

HEADER = "tx_id,ts,payer_account,payer_bank,payee_account,payee_bank,amount,currency,channel,is_fraud,typology"
ROWS = 4_500
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("world")
    out, cases = folder / "small.csv.gz", folder / "cases.csv"
    settings = SimulateSettings(seed=5, customers=600, days=6.0, fraud_share=0.03, limit=ROWS)
    simulate_csv(settings, out, cases=cases)
    return out, cases


@pytest.fixture(scope="module")
def rows(world) -> list[FileRow]:
    return list(TransferFile(world[0]).rows())


def risks_of(rows: list[FileRow], delay_us: int | None, **settings: object) -> list[float]:
    engine = Engine(EngineSettings(labels_delay_us=delay_us, seed=1, **settings))
    risks: list[float] = []
    engine.run(rows, lambda chunk: risks.extend(0.0 if one is None else one.risk for one in chunk.assessments))
    return risks


def poisoned(rows: list[FileRow], since: int = 0) -> list[FileRow]:
    """Return rows whose labels and typologies are shuffled from ``since`` on."""
    order = np.random.default_rng(1).permutation(np.arange(since, len(rows)))
    moved = [FileRow(row.transfer, rows[place].fraud, "poison") for row, place in zip(rows[since:], order, strict=True)]
    return rows[:since] + moved


def test_without_labels_a_poisoned_label_column_moves_no_score(rows):
    assert risks_of(poisoned(rows), None) == risks_of(rows, None)


def test_with_labels_a_score_depends_on_due_labels_alone(rows):
    """Labels from the middle on are poisoned; nothing may move until the first of them is due."""
    middle = len(rows) // 2
    honest, hurt = risks_of(rows, 6 * HOUR_US), risks_of(poisoned(rows, middle), 6 * HOUR_US)
    due_us = min(row.transfer.occurred_us for row in rows[middle:]) + 6 * HOUR_US
    first_due = next(place for place, row in enumerate(rows) if row.transfer.occurred_us >= due_us)
    assert middle < first_due < len(rows) - 1_000
    assert hurt[:first_due] == honest[:first_due]
    assert hurt[first_due:] != honest[first_due:], (
        "the poison must reach the learner in the end, or this proves nothing"
    )


def test_learning_in_another_process_gives_the_same_scores(rows):
    here = risks_of(rows, HOUR_US)
    engine = Engine(EngineSettings(labels_delay_us=HOUR_US, seed=1), beside=True)
    beside: list[float] = []
    engine.run(rows, lambda chunk: beside.extend(0.0 if one is None else one.risk for one in chunk.assessments))
    assert engine.health.refits > 0
    assert beside == here


def test_selective_labels_teach_from_fewer_rows(rows):
    whole = Engine(EngineSettings(labels_delay_us=HOUR_US, seed=1))
    whole.run(rows, lambda _: None)
    chosen = Engine(
        EngineSettings(labels_delay_us=HOUR_US, seed=1, selection=Selection(reported=0.5, reported_after_us=HOUR_US))
    )
    chosen.run(rows, lambda _: None)
    all_labels, some = whole.health.learned, chosen.health.learned
    assert 0.3 * all_labels["fraud"] < some["fraud"] < all_labels["fraud"]
    assert some["honest"] < 0.1 * all_labels["honest"]


def test_the_result_has_the_contracts_json(world):
    out, cases = world
    (result,) = run_backtest([out], BacktestOptions(cases=cases, processes=1))
    found = msgspec.to_builtins(result.public())
    assert (found["set"], found["rows"], found["labels_delay_days"]) == ("small", ROWS, 1.0)
    assert found["fraud"] == len(read_cases(cases))
    figures = {"auc_pr", "auc_pr_ci95", "roc_auc", "recall", "precision", "case_recall", "money_recall"}
    for part in ("last40", "stream"):
        assert set(found[part]) == figures
        assert set(found[part]["recall"]) == {"0.1%", "0.5%", "1%"}
    assert set(found["us_per_transfer"]) == {"features", "rules", "detectors", "total"}
    assert found["us_per_transfer"]["total"] == pytest.approx(
        sum(found["us_per_transfer"][part] for part in ("features", "rules", "detectors")), abs=0.1
    )
    assert found["learning_us"] > 0
    assert found["by_typology"]
    for part in ("last40", "stream"):
        assert found[part]["case_recall"].keys() == found[part]["recall"].keys(), "the cases reach the judge"


def test_the_judged_parts_are_the_last_40_percent_and_all_but_the_first_5(world, rows):
    (result,) = run_backtest([world[0]], BacktestOptions(labels_delay_us=None, processes=1, seed=1))
    risks, fraud = np.array(risks_of(rows, None)), np.array([row.fraud for row in rows])
    for part, first in ((result.last40, int(ROWS * 0.6)), (result.stream, int(ROWS * 0.05))):
        wanted = average_precision_score(fraud[first:], risks[first:])
        assert part.auc_pr == pytest.approx(wanted, abs=1e-4)
    assert result.last40.auc_pr != result.stream.auc_pr


def test_no_score_knows_what_comes_later(rows):
    short = len(rows) // 2 + 100
    assert risks_of(rows[:short], 6 * HOUR_US) == risks_of(rows, 6 * HOUR_US)[:short]


def test_several_files_run_side_by_side_and_come_back_in_order_and_from_the_kept(world, tmp_path):
    out, _ = world
    second = tmp_path / "second.csv"
    second.write_bytes(b"\n".join(gzip.decompress(out.read_bytes()).splitlines()[:2_001]) + b"\n")
    told: dict[str, float] = {}
    options = BacktestOptions(labels_delay_us=None, state_dir=tmp_path / "kept", processes=2)
    fresh = run_backtest([out, second], options, lambda path, rows, share: told.update({path.name: share}))
    assert [(result.set, result.rows) for result in fresh] == [("small", ROWS), ("second", 2_000)]
    assert told == {"small.csv.gz": 1.0, "second.csv": 1.0}
    assert len(list((tmp_path / "kept").iterdir())) == 2
    kept = run_backtest([second, out], options)
    assert kept == [fresh[1], fresh[0]]
    assert isinstance(kept[0], BacktestResult)
    other = BacktestOptions(labels_delay_us=DAY_US, state_dir=tmp_path / "kept", processes=1)
    assert run_backtest([second], other)[0].labels_delay_days == 1.0


def test_an_operators_rules_move_scores_and_make_a_result_of_their_own(world, tmp_path):
    path, kept = tmp_path / "short.csv", tmp_path / "kept"
    path.write_bytes(b"\n".join(gzip.decompress(world[0].read_bytes()).splitlines()[:1_001]) + b"\n")
    own = rules_from_mapping({"base": -1.0, "bands": {"watch": 0.3}})
    short = list(TransferFile(path).rows())
    assert risks_of(short, None, rules=own) != risks_of(short, None)
    plain = BacktestOptions(labels_delay_us=None, state_dir=kept, processes=1)
    options = (plain, msgspec.structs.replace(plain, rules=own))
    books = [run_backtest([path], each)[0].rule_book for each in options]
    assert books == [Scorer().rule_book, Scorer(rules=own).rule_book]
    assert len(list(kept.iterdir())) == 2


def test_rules_that_cannot_be_read_are_named(world, tmp_path, capsys):
    wrong = tmp_path / "rules.toml"
    wrong.write_text("[costs]\nrecoverable = 2.0\n")
    plain = {"labels_delay": "1d", "no_labels": True, "cases": None, "seed": 1, "as_json": True, "report": None}
    assert backtest_files([world[0]], rules=wrong, **plain) == EXIT_BAD_FILE
    assert "$.costs.recoverable" in capsys.readouterr().err


ODD = {
    "nothing but the header": lambda lines: [],
    "a single row": lambda lines: lines[:1],
    "all fraud": lambda lines: [{**line, "is_fraud": "1"} for line in lines],
    "no fraud": lambda lines: [{**line, "is_fraud": "0"} for line in lines],
    "one bank, one moment, no channel": lambda lines: [
        {**line, "payer_bank": "b", "payee_bank": "b", "ts": "2024-01-01T00:00:00Z", "channel": ""} for line in lines
    ],
    "currency of another scale": lambda lines: [
        {**line, "amount": f"{float(line['amount']) * 1e10}"} for line in lines
    ],
    "to itself, for nothing": lambda lines: [
        {**line, "payee_account": line["payer_account"], "payee_bank": line["payer_bank"], "amount": "0"}
        for line in lines
    ],
    "backwards in time": lambda lines: lines[::-1],
    "each row posted twice": lambda lines: [line for line in lines for _ in range(2)],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("delay_us", [None, HOUR_US])
def test_odd_files_are_scored_and_judged(world, tmp_path, kind, delay_us):
    with gzip.open(world[0], "rt", newline="") as text:
        lines = [line for line, _ in zip(csv.DictReader(text), range(700), strict=False)]
    path = tmp_path / "odd.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0].keys())
        writer.writeheader()
        writer.writerows(ODD[kind](lines))
    (result,) = run_backtest([path], BacktestOptions(labels_delay_us=delay_us, processes=1))
    assert result.rows == len(ODD[kind](lines))
    assert msgspec.json.encode(result)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1,yesterday,A,b,C,d,1.00,CNY,,0,", "isoformat"),
        ("1,2024-01-01T00:00:00Z,A,b,C,d,-5,CNY,,0,", "amount"),
        ("1,2024-01-01T00:00:00Z,A,b,C,d,1.00,CNY,,maybe,", "is_fraud"),
        ("1,2024-01-01T00:00:00Z,A", "line 2: too few columns"),
        (",2024-01-01T00:00:00Z,A,b,C,d,1.00,CNY,,0,", "tx_id is empty"),
        (f"1,2024-01-01T00:00:00Z,{'A' * 140_000},b,C,d,1.00,CNY,,0,", "larger than field limit"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, fault):
    path = tmp_path / "bad.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(TransferFileError, match=fault):
        list(TransferFile(path).rows())


LINE = "1,2024-01-01T00:00:00Z,A,b,C,d,1.00,CNY,,0,"


def test_empty_lines_and_a_byte_order_mark_are_no_fault(tmp_path):
    path = tmp_path / "saved.csv"
    path.write_text(f"{HEADER}\n{LINE}\n\n{LINE}\n\n", encoding="utf-8-sig")
    assert [row.transfer.transfer_id for row in TransferFile(path).rows()] == ["1", "1"]
    cases = tmp_path / "cases.csv"
    cases.write_text("tx_id,case_id\n1,ring\n", encoding="utf-8-sig")
    assert read_cases(cases) == {"1": "ring"}


HURT = {
    "cut short": lambda raw: raw[: len(raw) // 2],
    "a byte changed": lambda raw: raw[:200] + bytes([raw[200] ^ 255]) + raw[201:],
    "no gzip": lambda raw: b"tx_id,ts\n",
    "no UTF-8": lambda raw: gzip.compress(f"{HEADER}\n{LINE}\n".encode() + b"\xff\n"),
}


@pytest.mark.parametrize("hurt", HURT)
def test_a_hurt_file_is_named_and_never_a_traceback(world, tmp_path, capsys, hurt):
    path, cases = tmp_path / "hurt.csv.gz", tmp_path / "hurt_cases.csv.gz"
    path.write_bytes(HURT[hurt](world[0].read_bytes()))
    cases.write_bytes(HURT[hurt](gzip.compress(world[1].read_bytes())))
    plain = {"labels_delay": "1d", "no_labels": True, "seed": 1, "as_json": True, "report": None, "rules": None}
    for files, of_cases in (([path], None), ([world[0]], cases)):
        assert backtest_files(files, cases=of_cases, **plain) == EXIT_BAD_FILE
        assert "hurt" in capsys.readouterr().err


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "short.csv"
    with path.open("w") as file:
        csv.writer(file).writerow(["tx_id", "ts"])
    with pytest.raises(TransferFileError, match="payer_account"):
        list(TransferFile(path).rows())


def test_amounts_of_public_sets_lose_no_row():
    assert [read_amount_fen(text) for text in ("0.0", "0", "7", "7.5", "1e3", "0.005")] == [1, 1, 700, 750, 100_000, 1]
