"""``sluice settings``: every ``SLUICE_*`` variable of every program, as a page of Markdown."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from simulators.settings import BankSettings, SimulateSettings, WorldSettings
from stream.settings import TrainerSettings, WorkerSettings

PROGRAMS: dict[str, type[BaseSettings]] = {
    "worker": WorkerSettings,
    "trainer": TrainerSettings,
    "api": ApiSettings,
    "bank": BankSettings,
    "world": WorldSettings,
    "simulate": SimulateSettings,
}


def variable_of(settings: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a field."""
    alias = settings.model_fields[name].validation_alias
    if isinstance(alias, str):
        return alias
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def variables(settings: type[BaseSettings]) -> list[str]:
    """Return the environment variables of a program."""
    return [variable_of(settings, name) for name in settings.model_fields]


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is PydanticUndefined:
        return "**required**"
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(str(part) for part in value)
    return f"`{value}`" if value not in ("", None) else "-"


def settings_page() -> str:
    """Return the page: one table a program."""
    lines = [
        "# Settings",
        "",
        "Every program reads `SLUICE_*` environment variables when it starts; nothing else configures it. Secrets",
        "(keys, tokens, database passwords) are never printed. This page is the output of `sluice settings`.",
    ]
    for program, settings in PROGRAMS.items():
        lines += ["", f"## `sluice {program}`", "", "| variable | default | meaning |", "|---|---|---|"]
        for name, field in settings.model_fields.items():
            meaning = (field.description or "").replace("|", "\\|")
            lines.append(f"| `{variable_of(settings, name)}` | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"
