"""The file of rules that an operator names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from models.risk.rules.settings import DEFAULT_RULES
from models.risk.scorer import Scorer
from stream.app import run_worker
from stream.exitcodes import ExitCode
from stream.rulebook import RulesUnreadable, read_rules
from stream.settings import TrainerSettings, WorkerSettings
from stream.trainer import run_trainer

ROOT = Path(__file__).parents[2]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_a_file_the_release_rules() -> None:
    assert read_rules(None) is DEFAULT_RULES


@pytest.mark.parametrize(
    ("name", "text"), [("rules.toml", "[night]\nweight = 0.0\n"), ("rules.json", '{"night": {"weight": 0.0}}')]
)
def test_what_a_file_names_is_taken_and_shows_in_the_version(tmp_path: Path, name: str, text: str) -> None:
    rules = read_rules(written(tmp_path, name, text))
    assert (rules.night.weight, rules.pass_through) == (0.0, DEFAULT_RULES.pass_through)
    assert Scorer(rules=rules).rule_book != Scorer().rule_book


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.toml", "[night"),
        ("r.json", "{"),
        ("r.toml", "[nihgt]\nweight = 1.0\n"),
        ("r.json", '{"night": {"weight": -1}}'),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, name: str, text: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(RulesUnreadable, match=name):
        read_rules(path)
    assert run_worker(WorkerSettings(broker="127.0.0.1:1", rules_file=path)) is ExitCode.MISCONFIGURED
    trainer = TrainerSettings(broker="127.0.0.1:1", rules_file=path, snapshot_key=SecretStr("k"), niceness=0)
    assert run_trainer(trainer) is ExitCode.MISCONFIGURED


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[bands]\nwatch = 0.9\n", r"watch 0\.9 is above stop 0\.8 - at `\$\.bands`"),
        ("[bands]\nwatch = 0\n", r"> 0\.0 - at `\$\.bands\.watch`"),
        ("[bands]\nstop = 1.01\n", r"<= 1\.0 - at `\$\.bands\.stop`"),
        ("[bands]\nstop = nan\n", r"\$\.bands\.stop"),
        ("[bands]\nhold = 0.9\n", r"unknown field `hold` - at `\$\.bands`"),
        ("[costs]\nfalse_stop_fen = 0\n", r"\$\.costs\.false_stop_fen"),
        ("[costs]\nfalse_stop_fen = 0.5\n", r"Expected `int`.*\$\.costs\.false_stop_fen"),
        ("[costs]\nrecoverable = -0.1\n", r"\$\.costs\.recoverable"),
        ("[alerts]\nshare = 0.6\n", r"\$\.alerts\.share"),
        ("[alerts]\nleast = 30_000\n", r"least 30000 is above window 20000 - at `\$\.alerts`"),
        ("[alerts]\nfloor = 0.9\n", r"alerts\.floor 0\.9 is above bands\.stop 0\.8"),
        ("base = nan\n", r"\$\.base"),
        ("[large_first]\nfrom_fen = 0\n", r"\$\.large_first\.from_fen"),
        ("[large_first]\nfrom_fen = 10_000_000\n", r"full_fen 10000000 is not above from_fen 10000000"),
    ],
)
def test_a_threshold_out_of_bounds_is_named_by_its_field(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(RulesUnreadable, match=named):
        read_rules(written(tmp_path, "rules.toml", text))


def test_bands_costs_and_alert_budget_are_read_and_show_in_the_version(tmp_path: Path) -> None:
    text = "[bands]\nwatch = 0.3\nstop = 0.9\n[costs]\nfalse_stop_fen = 100\n[alerts]\nshare = 0.01\n"
    rules = read_rules(written(tmp_path, "rules.toml", text))
    assert (rules.bands.watch, rules.bands.stop) == (0.3, 0.9)
    assert (rules.costs.false_stop_fen, rules.costs.recoverable) == (100, DEFAULT_RULES.costs.recoverable)
    assert (rules.alerts.share, rules.alerts.floor) == (0.01, DEFAULT_RULES.alerts.floor)
    sections = [f"[{part}" for part in text.split("[")[1:]]
    versions = {Scorer(rules=read_rules(written(tmp_path, "r.toml", part))).rule_book for part in sections}
    assert len(versions | {Scorer().rule_book}) == 4


def test_the_file_that_is_deployed_changes_nothing_and_its_examples_are_valid(tmp_path: Path) -> None:
    path = ROOT / "deploy" / "rules.toml"
    assert read_rules(path) == DEFAULT_RULES
    (shown,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "rules.md").read_text(), re.DOTALL)
    for text in (re.sub(r"(?m)^#(?=[a-z\[])", "", path.read_text()), shown):
        rules = read_rules(written(tmp_path, "rules.toml", text))
        assert (rules.bands.stop, rules.costs.false_stop_fen, rules.alerts.share) == (0.85, 50_000, 0.002)
        assert rules.night.severity == "elevated"


def test_a_missing_file_is_no_default(tmp_path: Path) -> None:
    with pytest.raises(RulesUnreadable, match="No such file"):
        read_rules(tmp_path / "none.toml")
