"""The file of rules that an operator names."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.risk.rules.settings import DEFAULT_RULES
from models.risk.scorer import Scorer
from stream.app import run_worker
from stream.exitcodes import ExitCode
from stream.rulebook import RulesUnreadable, read_rules
from stream.settings import WorkerSettings


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


def test_a_missing_file_is_no_default(tmp_path: Path) -> None:
    with pytest.raises(RulesUnreadable, match="No such file"):
        read_rules(tmp_path / "none.toml")
