"""What a person is told instead of a traceback: which setting is wrong, and never what a secret holds."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError
from pydantic_settings import SettingsError

from cli.settings_page import PROGRAMS, variable_of
from telemetry.misconfigured import Misconfigured

ADVICE: Final = "docs/settings.md, or `sluice settings`, tells what each variable means"


def told(error: Exception) -> str | None:
    """Return what is wrong with the settings, in lines; ``None`` for any other error, which is a bug.

    >>> print(told(Misconfigured("SLUICE_CLOCK: not a clock")))
    SLUICE_CLOCK: not a clock
    docs/settings.md, or `sluice settings`, tells what each variable means
    >>> told(ValueError("a bug")) is None
    True
    """
    if isinstance(error, ValidationError):
        return _told_by_pydantic(error)
    if isinstance(error, Misconfigured | SettingsError):
        return f"{error}\n{ADVICE}"
    return None


def _told_by_pydantic(error: ValidationError) -> str | None:
    """Return a line for each wrong variable; pydantic's own words would hold every value, secrets among them."""
    settings = {each.__name__: each for each in PROGRAMS.values()}.get(error.title)
    if settings is None:
        return None
    known = {variable_of(settings, name): name for name in settings.model_fields}
    lines = []
    for complaint in error.errors(include_input=False, include_url=False, include_context=False):
        place = str(complaint["loc"][0]) if complaint["loc"] else ""
        variable = place if place in known or not place else variable_of(settings, place)
        lines.append(f"{variable}: {complaint['msg']}" if variable else complaint["msg"])
    return "\n".join([*lines, ADVICE])
