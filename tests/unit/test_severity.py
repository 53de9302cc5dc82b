"""How grave a ground is: set in the rule book, carried by each reason, and the order in which people read."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from api.app import create_app
from api.settings import ApiSettings
from models.control.commands import MAX_REASON_CHARS, reason_text
from models.control.policy import NAMED, PAYEE_FOR_HIRE, PAYER_FOR_HIRE
from models.risk.assessment import AccountLists, ListLevel, Reason, Severity, gravest_first
from models.risk.rules.book import RULES, RuleBook
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings, rules_from_mapping
from models.risk.rules.texts import LISTED, SEVERITY_MEANINGS, SEVERITY_NAMES, UNRULED
from models.risk.scorer import Scorer
from tests.controlkit import order
from tests.transfers import pay
from tests.unit.test_scorer import Fixed, assess

SEVERITIES = dict(zip((rule.code for rule in RULES), RuleBook(DEFAULT_RULES).severities, strict=True))


def reason(code: str, severity: Severity | None, weight: float = 0.1) -> Reason:
    return Reason(code=code, weight=weight, zh=f"理由{code}", en=code, severity=severity)


def listed(level: ListLevel, settings: RuleSettings = DEFAULT_RULES) -> Reason:
    return assess(Scorer(rules=settings, panel=Fixed(0.9)), pay("a", "b", 100), AccountLists(payee=level)).reasons[0]


def test_what_a_stop_rests_on_is_critical_and_some_rules_are_of_every_severity() -> None:
    assert SEVERITIES[PAYEE_FOR_HIRE] is SEVERITIES[PAYER_FOR_HIRE] is SEVERITIES["3002"] is Severity.CRITICAL
    assert {UNRULED[code] for code in NAMED & UNRULED.keys()} == {Severity.CRITICAL}
    assert set(SEVERITIES.values()) == set(Severity)
    assert UNRULED.keys() == LISTED.keys() - {"L002"} | {"9999"}


def test_it_is_not_the_weight_in_other_words() -> None:
    fan_in, in_call = DEFAULT_RULES.fan_in, DEFAULT_RULES.in_call
    assert fan_in.weight > in_call.weight
    assert (fan_in.severity, in_call.severity) == (Severity.ELEVATED, Severity.SERIOUS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_it_is_a_setting_that_moves_no_risk_but_shows_in_the_version(rule) -> None:
    place = RULES.index(rule)
    other = Severity.NOTICE if SEVERITIES[rule.code] is not Severity.NOTICE else Severity.CRITICAL
    book = RuleBook(rules_from_mapping({rule.section: {"severity": other.value}}))
    assert book.severities[place] is other
    assert book.version != RuleBook(DEFAULT_RULES).version
    assert getattr(book.settings, rule.section).weight == getattr(DEFAULT_RULES, rule.section).weight


def test_a_severity_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"grave.*\$\.night\.severity"):
        rules_from_mapping({"night": {"severity": "grave"}})


def test_reasons_carry_the_severity_of_their_rule_book() -> None:
    settings = rules_from_mapping({"large_first": {"severity": "critical"}, "grey": {"severity": "serious"}})
    loud = assess(Scorer(rules=settings, panel=Fixed(0.9)), pay("a", "b", 90_000))
    plain = assess(Scorer(panel=Fixed(0.9)), pay("a", "b", 90_000))
    assert {each.code: each.severity for each in loud.reasons} == {
        each.code: Severity.CRITICAL if each.code == "V08" else each.severity for each in plain.reasons
    }
    assert {each.code for each in plain.reasons} >= {"V08", "9999"}
    assert all(each.severity is (SEVERITIES | UNRULED)[each.code] for each in plain.reasons)
    assert (loud.risk, [each.code for each in loud.reasons]) == (plain.risk, [each.code for each in plain.reasons])
    assert listed(ListLevel.GREY, settings).severity is Severity.SERIOUS
    assert [listed(level).severity for level in (ListLevel.BLACK, ListLevel.GREY)] == ["critical", "elevated"]


def test_a_record_from_before_there_were_severities_says_nothing_of_it_and_keeps_its_bytes() -> None:
    old = '{"code":"V03","weight":0.2,"zh":"夜间","en":"at night"}'.encode()
    found = msgspec.json.decode(old, type=Reason)
    assert found.severity is None
    assert msgspec.json.encode(found) == old
    new = msgspec.json.encode(reason("V03", Severity.NOTICE))
    assert b'"severity":"notice"' in new
    assert msgspec.json.decode(new, type=Reason).severity is Severity.NOTICE


def test_the_gravest_are_read_first_and_equals_stay_as_they_came() -> None:
    came = [
        reason("old", None, 0.5),
        reason("n", Severity.NOTICE, 0.4),
        reason("s1", Severity.SERIOUS, 0.3),
        reason("e", Severity.ELEVATED, 0.2),
        reason("s2", Severity.SERIOUS, 0.1),
        reason("c", Severity.CRITICAL, 0.0),
    ]
    assert [each.code for each in gravest_first(came)] == ["c", "s1", "s2", "e", "n", "old"]


def test_the_ground_of_a_stop_is_not_what_a_bank_sees_cut_off() -> None:
    many = tuple(reason("长" * 40 + str(number), Severity.ELEVATED) for number in range(20))
    text = reason_text(order(reasons=(*many, reason("C01", Severity.CRITICAL))))
    assert text.startswith("理由C01；")
    assert len(text) == MAX_REASON_CHARS


def test_people_and_programs_are_told_all_severities(tmp_path: Path) -> None:
    assert SEVERITY_NAMES.keys() == SEVERITY_MEANINGS.keys() == set(Severity)
    assert all(re.fullmatch("[一-鿿]{2}", zh) and en == each.value for each, (zh, en) in SEVERITY_NAMES.items())
    app = create_app(ApiSettings(broker="127.0.0.1:9", database_url=f"sqlite:///{tmp_path}/x.db", bank_url="http://b"))
    schemas = app.openapi()["components"]["schemas"]
    assert schemas["Severity"]["enum"] == sorted(Severity)
    assert "severity" in schemas["Reason"]["properties"]
    assert "severity" not in schemas["Reason"]["required"]
