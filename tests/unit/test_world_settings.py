from __future__ import annotations

import pytest
from pydantic import ValidationError

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


@pytest.mark.parametrize("wrong", [{"rate_tps": 0}, {"customers": 5}, {"seconds": -1}, {"banks": ()}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WorldSettings.model_validate(wrong)
