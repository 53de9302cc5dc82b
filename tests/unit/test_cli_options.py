"""Options and the variables behind them reach the programs; what no program could take is refused at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli.backtest
import cli.simulate
import cli.up
from cli.main import app
from cli.settings_page import variable_of
from cli.up import UpOptions
from simulators.bounds import MAX_SEED
from simulators.settings import SimulateSettings, WorldSettings

SIMULATED: dict[str, tuple[str, object]] = {
    "seed": ("77", 77),
    "customers": ("123", 123),
    "days": ("2.5", 2.5),
    "fraud_share": ("0.02", 0.02),
    "start": ("2027-01-02T03:04:05Z", "2027-01-02T03:04:05Z"),
    "banks": ("east,west", ("east", "west")),
    "rate_tps": ("12.5", 12.5),
    "limit": ("9", 9),
    "topic_prefix": ("here.", "here."),
}
LIVE: dict[str, tuple[str, object]] = {
    "seed": ("77", 77),
    "customers": ("123", 123),
    "rate_tps": ("12.5", 12.5),
    "seconds": ("7.5", 7.5),
}


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let no program run; return with what each would have."""
    for name in os.environ:
        if name.startswith("SLUICE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("")
    found: list[Any] = []

    def run(first: Any, *_more: object, **options: object) -> int:
        found.append(options if isinstance(first, list) else first)
        return 0

    monkeypatch.setattr(cli.simulate, "simulate_to_file", run)
    monkeypatch.setattr(cli.simulate, "simulate_to_broker", run)
    monkeypatch.setattr(cli.backtest, "backtest_files", run)
    monkeypatch.setattr(cli.up, "run_up", run)
    return found


def sluice(*arguments: str, **variables: str) -> Result:
    done = CliRunner().invoke(app, arguments, env=variables)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def simulated(asked: list[Any], *arguments: str, **variables: str) -> SimulateSettings:
    assert sluice("simulate", "--out", "x.csv", *arguments, **variables).exit_code == 0
    assert isinstance(asked[-1], SimulateSettings)
    return asked[-1]


def live(asked: list[Any], *arguments: str, **variables: str) -> UpOptions:
    assert sluice("up", *arguments, **variables).exit_code == 0
    assert isinstance(asked[-1], UpOptions)
    return asked[-1]


def test_without_options_the_settings_are_the_defaults_on_their_page(asked: list[Any]) -> None:
    assert simulated(asked) == SimulateSettings()
    ours, theirs = live(asked), WorldSettings()
    assert {name: getattr(ours, name) for name in LIVE} == {name: getattr(theirs, name) for name in LIVE}


@pytest.mark.parametrize("name", SimulateSettings.model_fields)
def test_every_variable_on_the_page_reaches_simulate(asked: list[Any], name: str) -> None:
    text, value = SIMULATED[name]
    found = simulated(asked, **{variable_of(SimulateSettings, name): text})
    assert found == SimulateSettings.model_validate({name: value})
    assert found != SimulateSettings()


@pytest.mark.parametrize("name", LIVE)
def test_what_up_tells_the_world_can_come_from_the_worlds_variables(asked: list[Any], name: str) -> None:
    text, value = LIVE[name]
    assert getattr(live(asked, **{variable_of(WorldSettings, name): text}), name) == value


def test_an_option_goes_before_its_variable(asked: list[Any]) -> None:
    assert simulated(asked, "--seed", "5", SLUICE_SIMULATE_SEED="6").seed == 5
    assert live(asked, "--rate", "50", SLUICE_WORLD_RATE_TPS="60").rate_tps == 50


def test_help_names_the_variables() -> None:
    shown = sluice("simulate", "--help", COLUMNS="200").stdout
    for name in ("SEED", "CUSTOMERS", "DAYS", "FRAUD_SHARE", "RATE_TPS"):
        assert f"SLUICE_SIMULATE_{name}" in shown


SEEDED = [("simulate", "--out", "x.csv"), ("backtest", "t.csv"), ("up",)]
seeded = pytest.mark.parametrize("command", SEEDED, ids=lambda command: command[0])


@seeded
@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 5_000_000_000])
def test_a_seed_that_a_generator_refuses_is_refused_first(
    asked: list[Any], command: tuple[str, ...], seed: int
) -> None:
    done = sluice(*command, "--seed", str(seed))
    assert done.exit_code == 2
    assert "--seed" in done.stderr
    assert not asked


@seeded
@pytest.mark.parametrize("seed", [0, MAX_SEED])
def test_the_first_and_the_last_seed_are_taken(asked: list[Any], command: tuple[str, ...], seed: int) -> None:
    assert sluice(*command, "--seed", str(seed)).exit_code == 0
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "--to", "127.0.0.1:9", "--cases", "c.csv"), "--cases goes with --out"),
        (("simulate", "--out", "x.csv", "--days", "nan"), "--days"),
        (("simulate", "--out", "x.csv", "--fraud-share", "nan"), "--fraud-share"),
        (("simulate", "--to", "127.0.0.1:9", "--rate", "inf"), "finite"),
        (("simulate", "--out", "x.csv", "--days", "1e6"), "--days"),
        (("simulate", "--out", "x.csv", "--customers", "5000000"), "--customers"),
        (("up", "--customers", "5000000"), "--customers"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    asked: list[Any], arguments: tuple[str, ...], said: str
) -> None:
    done = sluice(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not asked
