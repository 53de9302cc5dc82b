"""The page of settings is what the programs really read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.settings_page import PROGRAMS, settings_page

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == settings_page(), "write it anew: sluice settings > docs/settings.md"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_says_what_it_means(program: str) -> None:
    silent = [name for name, field in PROGRAMS[program].model_fields.items() if not field.description]
    assert not silent
