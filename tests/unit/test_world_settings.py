from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from simulators.settings import BankSettings, SimulateSettings, WorldSettings


def test_variables_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLUICE_CLOCK": "1:2:3.0",
        "SLUICE_SLUICE_URL": "http://sluice",
        "SLUICE_BANK_URL": "http://bank",
        "SLUICE_READY_FILE": "/tmp/ready",
        "SLUICE_BANK_BANKS": "a=k1,b=k2",
        "SLUICE_WORLD_BANKS": "a, b",
        "SLUICE_WORLD_SECONDS": "12.5",
        "SLUICE_SIMULATE_BANKS": "x",
    }.items():
        monkeypatch.setenv(name, value)
    bank, world, simulate = BankSettings(), WorldSettings(), SimulateSettings()
    assert bank.bank_keys() == {"a": "k1", "b": "k2"}
    assert world.banks == ("a", "b")
    assert simulate.banks == ("x",)
    assert world.seconds == 12.5
    assert (world.bank_url, world.sluice_url, bank.sluice_url) == ("http://bank", "http://sluice", "http://sluice")
    assert world.clock == bank.clock == "1:2:3.0"
    assert str(world.ready_file) == str(bank.ready_file) == "/tmp/ready"


@pytest.mark.parametrize("banks", ["a,a", "a,,b", ""])
def test_banks_must_be_named_once(banks: str) -> None:
    with pytest.raises(ValueError, match="different names"):
        BankSettings(banks=banks).bank_keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_tps": 0},
        {"rate_tps": float("inf")},
        {"customers": 5},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"banks": ()},
        {"seed": -1},
        {"seed": 2**31},
        {"log_level": "debug"},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WorldSettings.model_validate(wrong)


def test_code_uses_the_names_of_the_fields() -> None:
    world = WorldSettings(clock="1:2:3.0", bank_url="http://b", sluice_url="http://s", log_level="DEBUG")
    assert (world.clock, world.bank_url, world.sluice_url, world.log_level) == (
        "1:2:3.0",
        "http://b",
        "http://s",
        "DEBUG",
    )
    assert SimulateSettings(topic_prefix="here.").topic_prefix == "here."
    assert BankSettings(ready_file=Path("r")).ready_file == Path("r")


@pytest.mark.parametrize("settings", [SimulateSettings, WorldSettings])
@pytest.mark.parametrize(
    "start", ["tomorrow", "", "2026-13-01", "1960-01-01", "2099-06-01", "9999-12-31T23:59:59-23:00"]
)
def test_a_world_begins_at_a_moment_that_can_be_dated(settings: type[BaseSettings], start: str) -> None:
    with pytest.raises(ValidationError, match="start"):
        settings.model_validate({"start": start})


@pytest.mark.parametrize("start", ["2026-03-17T00:30:00Z", "2026-03-17", "2026-03-17T08:30:00+08:00"])
def test_any_way_to_write_a_moment_is_taken(start: str) -> None:
    assert WorldSettings(start=start).start == start
