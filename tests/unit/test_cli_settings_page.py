"""The page of settings is what the programs really read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from cli.settings_page import PROGRAMS, settings_page, variables

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == settings_page(), "write it anew: sluice settings > docs/settings.md"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_says_what_it_means(program: str) -> None:
    silent = [name for name, field in PROGRAMS[program].model_fields.items() if not field.description]
    assert not silent


def read(settings: type[BaseSettings]) -> dict[str, object]:
    return settings().model_dump()


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_variable_is_read_that_is_not_sluices(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PROGRAMS[program]
    assert [name for name in variables(settings) if not name.startswith("SLUICE_")] == []
    monkeypatch.setenv("SLUICE_BROKER", "127.0.0.1:9")
    before = read(settings)
    for name in settings.model_fields:
        monkeypatch.setenv(name.upper(), "STRAY")
    assert read(settings) == before
