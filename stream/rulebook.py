"""The rule book with its bands, costs and alert budget, from the file an operator names."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec

from models.risk.rules.settings import DEFAULT_RULES, RuleSettings, rules_from_mapping


class RulesUnreadable(Exception):
    """A file of rules is missing, no TOML or JSON, or names what is no rule or no value of one."""


def read_rules(path: Path | None) -> RuleSettings:
    """Return the rules of a ``.toml`` or ``.json`` file; those of this release without one. Raise `RulesUnreadable`.

    What the file does not name keeps its default; what is wrong in it is named by its field.
    """
    if path is None:
        return DEFAULT_RULES
    try:
        text = path.read_text(encoding="utf-8")
        return rules_from_mapping(tomllib.loads(text) if path.suffix == ".toml" else json.loads(text))
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise RulesUnreadable(f"{path}: {error}") from error
