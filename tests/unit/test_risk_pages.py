"""The pages on rules and features are what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.risk.features import FEATURE_NAMES
from models.risk.pages import features_page, rules_page
from models.risk.rules.book import RULES
from models.risk.rules.settings import DEFAULT_RULES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), [("rules", rules_page), ("features", features_page)])
def test_page_is_up_to_date(name: str, page: object) -> None:
    assert callable(page)
    anew = f"python -c \"from models.risk.pages import *; print({name}_page(), end='')\" > docs/{name}.md"
    assert (DOCS / f"{name}.md").read_text() == page(), f"write it anew: {anew}"


def test_nothing_is_left_out() -> None:
    assert all(f"| {rule.code} | `{rule.section}` |" in rules_page() for rule in RULES)
    assert all(f"| `{name}` |" in features_page() for name in FEATURE_NAMES)
    for section in ("bands", "costs", "alerts"):
        fields = getattr(DEFAULT_RULES, section).__struct_fields__
        assert all(f"| `{section}` | `{field}` |" in rules_page() for field in fields)


def test_every_default_says_where_it_comes_from() -> None:
    grounds = [
        line.split(" | ")[5] for line in rules_page().splitlines() if re.match(r"\| [A-Z\d]+ \| `\w+` \| ", line)
    ]
    assert len(grounds) == len(RULES)
    assert all(("](sources.md#" in ground) != ground.endswith(" Ours.") for ground in grounds)
    assert all(str(rule.weigh.__doc__).startswith("Fire ") for rule in RULES)
