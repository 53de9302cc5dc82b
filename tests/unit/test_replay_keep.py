"""Finished files are kept by all that can change their result, and run anew when asked to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from models.risk.rules.settings import DEFAULT_RULES
from models.risk.thresholds import Bands
from simulators.labels import Selection
from simulators.replay import ROOT, BacktestOptions, BacktestResult, code_digest, run_backtest, sources

HEADER = "tx_id,ts,payer_account,payer_bank,payee_account,payee_bank,amount,currency,channel,is_fraud,typology"
LINES = [f"t{n},2024-01-01T00:{n:02d}:00Z,A{n % 7},b,C{n % 5},b,{50 + n}.00,CNY,,{int(n == 9)}," for n in range(30)]

SAME_RESULT = {"state_dir", "processes", "fresh"}
"""Options that change how a result is come by, not what it is."""

OTHER = {
    "rules": msgspec.structs.replace(DEFAULT_RULES, bands=Bands(stop=0.7)),
    "labels_delay_us": None,
    "cases": "cases.csv",
    "seed": 8,
    "selection": Selection(reported=0.5),
    "use_proven": False,
}
"""Another value for each option that a result depends on; a file's name is written when it is used."""


@pytest.fixture
def transfers(tmp_path) -> Path:
    path = tmp_path / "tiny.csv"
    path.write_text("\n".join([HEADER, *LINES]) + "\n")
    (tmp_path / "cases.csv").write_text("tx_id,case_id\nt9,ring\n")
    return path


@pytest.fixture
def options(tmp_path) -> BacktestOptions:
    return BacktestOptions(state_dir=tmp_path / "kept", processes=1)


def kept_in(options: BacktestOptions) -> set[str]:
    assert options.state_dir is not None
    return {path.name for path in options.state_dir.iterdir()}


def spoil(options: BacktestOptions, rows: int) -> None:
    """Make the one kept result tell a number of rows that no run would give."""
    assert options.state_dir is not None
    (kept,) = options.state_dir.iterdir()
    result = msgspec.msgpack.decode(kept.read_bytes(), type=BacktestResult)
    kept.write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(result, rows=rows)))


def test_a_kept_result_is_told_again_unless_a_fresh_one_is_asked_for(transfers, options):
    run_backtest([transfers], options)
    spoil(options, rows=77)
    assert run_backtest([transfers], options)[0].rows == 77
    fresh = msgspec.structs.replace(options, fresh=True)
    assert run_backtest([transfers], fresh)[0].rows == len(LINES)
    assert run_backtest([transfers], options)[0].rows == len(LINES), "and the fresh one is kept in its place"


def test_every_option_is_either_said_to_change_nothing_or_has_a_result_of_its_own(transfers, options):
    assert set(OTHER) | SAME_RESULT == set(BacktestOptions.__struct_fields__)
    run_backtest([transfers], options)
    for count, (name, value) in enumerate(OTHER.items(), start=2):
        other = transfers.with_name(value) if name == "cases" else value
        run_backtest([transfers], msgspec.structs.replace(options, **{name: other}))
        assert len(kept_in(options)) == count, name


def test_other_bytes_of_an_input_have_a_result_of_their_own(transfers, options):
    with_cases = msgspec.structs.replace(options, cases=transfers.with_name("cases.csv"))
    run_backtest([transfers], with_cases)
    with_cases.cases.write_text("tx_id,case_id\nt9,another\n")
    run_backtest([transfers], with_cases)
    transfers.write_text("\n".join([HEADER, *LINES[:-1]]) + "\n")
    run_backtest([transfers], with_cases)
    assert len(kept_in(options)) == 3


def source_of(module: Path) -> Path:
    """Return the source of a module, which may be compiled: ``facts.cpython-311-....so`` is made of ``facts.py``."""
    return module.with_name(f"{module.name.partition('.')[0]}.py")


def test_every_module_that_a_back_test_imports_is_in_the_digest():
    """Found out by importing it in a process of its own."""
    code = (
        "import sys, simulators.replay\n"
        "print(*[m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)], sep='\\n')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {Path(line).resolve() for line in told.stdout.splitlines()}
    ours = {source_of(path) for path in loaded if path.is_relative_to(ROOT) and ".venv" not in path.parts}
    assert ROOT / "simulators" / "transferfile.py" in ours
    assert ours <= set(sources())


@pytest.mark.parametrize("name", ["simulators/transferfile.py", "models/risk/learning/online.py", "telemetry/new.py"])
def test_a_changed_source_changes_the_digest(tmp_path, name):
    for source in sources():
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    before = code_digest(tmp_path)
    assert before == code_digest()
    with (tmp_path / name).open("a") as source:
        source.write("\n")
    assert code_digest(tmp_path) != before
