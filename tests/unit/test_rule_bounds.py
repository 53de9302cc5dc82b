"""No file of rules can break scoring: every number has bounds, and within them every rule gives a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from msgspec import inspect as kinds

from models.risk.rules.book import RULES, RuleBook
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings, rules_from_mapping
from models.risk.thresholds import threshold_for_cost
from stream.rulebook import RulesUnreadable, read_rules
from tests.unit.test_rules import CASES, facts


class Setting(NamedTuple):
    """A number of the rule book: its path in a file, and its kind with its bounds."""

    path: tuple[str, ...]
    kind: kinds.FloatType | kinds.IntType

    @property
    def field(self) -> str:
        return ".".join(self.path)

    def as_toml(self, value: str) -> str:
        *section, key = self.path
        return "".join(f"[{name}]\n" for name in section) + f"{key} = {value}\n"

    def as_mapping(self, value: float) -> dict[str, object]:
        found: dict[str, object] = {self.path[-1]: value}
        return {self.path[0]: found} if len(self.path) > 1 else found


def settings_of(struct: type[msgspec.Struct], *section: str) -> Iterator[Setting]:
    """Yield every number of a struct and of the structs in it."""
    described = kinds.type_info(struct)
    assert isinstance(described, kinds.StructType)
    for field in described.fields:
        kind = field.type.type if isinstance(field.type, kinds.Metadata) else field.type
        if isinstance(kind, kinds.StructType):
            yield from settings_of(kind.cls, *section, field.encode_name)
        elif isinstance(kind, kinds.FloatType | kinds.IntType):
            yield Setting((*section, field.encode_name), kind)
        else:
            assert field.encode_name == "severity", f"{field.encode_name} is neither a section nor a number"


NUMBERS = list(settings_of(RuleSettings))
every_number = pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.field)


def lowest(kind: kinds.FloatType | kinds.IntType) -> float:
    """Return the smallest value within the bounds."""
    if kind.ge is not None:
        return kind.ge
    assert kind.gt is not None
    return math.nextafter(kind.gt, math.inf) if isinstance(kind, kinds.FloatType) else kind.gt + 1


def test_the_numbers_of_every_section_are_found() -> None:
    assert {"base", "bands.stop", "first_large.z", "for_hire.score", "leaves.score"} <= {each.field for each in NUMBERS}
    assert {rule.section for rule in RULES} <= {each.path[0] for each in NUMBERS}


@every_number
def test_it_has_a_lower_and_an_upper_bound(setting: Setting) -> None:
    kind = setting.kind
    assert (kind.ge, kind.gt) != (None, None)
    assert kind.le is not None
    assert math.isfinite(lowest(kind))
    assert lowest(kind) <= kind.le < math.inf


@every_number
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", f"1{'0' * 40}", f"-1{'0' * 40}"])
def test_what_is_no_number_or_has_no_end_is_refused_by_section_and_key(
    tmp_path: Path, setting: Setting, value: str
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(setting.as_toml(value))
    with pytest.raises(RulesUnreadable) as refused:
        read_rules(path)
    assert str(refused.value).endswith(f" - at `$.{setting.field}`")


@every_number
def test_whatever_is_not_refused_can_be_scored_with(setting: Setting) -> None:
    lives = [facts(**fires | changed) for fires, beside in CASES.values() for changed in ({}, beside)]
    bounds = [bound for bound in (setting.kind.ge, setting.kind.gt, setting.kind.le) if bound is not None]
    scored = 0
    for value in (*bounds, -1, 0, 5e-324, 1, 2**53, 10**30, 1e300):
        try:
            rules = rules_from_mapping(setting.as_mapping(value))
        except msgspec.ValidationError:
            continue
        scored += 1
        book = RuleBook(rules)
        assert all(math.isfinite(weight) for life in lives for _, weight in book.hits(life))
        assert 0.0 <= threshold_for_cost(1, rules.costs) <= 1.0
    assert scored


def test_the_release_rules_are_within_their_own_bounds() -> None:
    assert rules_from_mapping(msgspec.to_builtins(DEFAULT_RULES)) == DEFAULT_RULES
