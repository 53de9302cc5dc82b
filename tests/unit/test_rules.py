"""Each rule fires on its case and is silent just beside it; words quote the numbers; weights add up."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import combinations

import msgspec
import pytest

from models.risk.assessment import Severity
from models.risk.facts import FACTS, NOT_KNOWN, Facts
from models.risk.rules.book import RULES, RuleBook, risk_of, shares
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings, rules_from_mapping
from models.risk.rules.texts import EVIDENCE, LISTED, TEXTS, reason_of

DAY_S = 86_400
SEVERITY = Severity.NOTICE
NEVER = ("since_in_s", "since_out_s")
QUIET = {f"{side}_{name}": NOT_KNOWN for side in ("payer", "payee") for name in NEVER} | {
    "amount_fen": 2_000_000,
    "day_second": 12 * 3_600,
    "match_s": NOT_KNOWN,
    "payer_balance_fen": NOT_KNOWN,
    "payee_balance_fen": NOT_KNOWN,
    "pair_age_s": 30 * DAY_S,
    "reverse_s": NOT_KNOWN,
    "payer_age_s": 400 * DAY_S,
    "payee_age_s": 400 * DAY_S,
    "payer_seen_s": 60 * DAY_S,
    "payee_seen_s": 60 * DAY_S,
}
NEW = {"pair_age_s": NOT_KNOWN}
PASSING = NEW | {
    "payer_in_n_7d": 1,
    "payer_in_fen_1h": 2_050_000, "payer_in_fen_24h": 2_050_000, "payer_since_in_s": 300, "last_in_fen": 2_050_000,
    "match": 0.9, "match_n": 1, "match_s": 300, "payer_new_payers_24h": 1,
}  # fmt: skip

OUT_ONCE = {"payer_out_n_1h": 0}

CASES: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "M01": (PASSING, {"match_s": 3_601}),
    "M02": (PASSING | {"match_s": 40_000}, {"match": 0.2}),
    "M03": (PASSING | {"amount_fen": 700_000, "payer_out_fen_1h": 1_300_000, "payer_out_n_1h": 1}, OUT_ONCE),
    "M04": (PASSING | {"match_n": 3}, {"match_n": 1}),
    "M05": (PASSING | {"payer_taint": 0.6}, {"payer_taint": 0.01}),
    "M06": (NEW | {"payee_new_payers_24h": 4, "payee_payers_ever": 6}, {"payee_new_payers_24h": 0}),
    "M07": (NEW | {"payer_new_payees_24h": 4, "payer_payees_ever": 6}, {"pair_age_s": 60}),
    "M08": ({"payer_balance_fen": 10, "payer_since_in_s": 500, "payer_in_n_7d": 1}, {"payer_balance_fen": 900_000}),
    "M09": (NEW | {"payee_since_in_s": 200 * DAY_S}, {"payee_since_out_s": 20 * DAY_S}),
    "M10": (NEW | {"payee_age_s": DAY_S, "payee_opening_told": 1}, {"payee_age_s": 30 * DAY_S}),
    "M11": (PASSING | {"payer_quick": 0.8, "payer_out_n_7d": 9}, {"payer_out_n_7d": 2}),
    "M12": (PASSING | {"cash_channel": 1}, {"cash_channel": 0}),
    "M13": (PASSING | {"reverse_s": 4_000}, {"reverse_s": 2 * DAY_S}),
    "M14": (NEW | {"alike_out": 4}, {"alike_out": 1}),
    "M15": (NEW | {"payer_out_n_24h": 3, "payer_out_fen_24h": 6_000_000}, {"payer_out_fen_24h": 2_000_000}),
    "M16": (NEW | {"alike_in": 4, "payee_new_payers_24h": 4}, {"alike_in": 2}),
    "M17": (
        NEW | {"payee_in_n_24h": 2, "payee_in_fen_24h": 900_000, "payee_out_fen_24h": 850_000},
        {"payee_out_fen_24h": 100_000},
    ),
    "M18": (NEW | {"payee_taint": 0.5, "payee_in_fen_24h": 900_000}, {"payee_taint": 0.02}),
    "M19": (PASSING, {"payer_since_in_s": 4_000}),
    "M20": ({"payee_quick": 0.6}, {"payee_quick": 0.1}),
    "V01": (NEW | {"payer_z": 2.5, "payer_max_fen": 500_000}, {"payer_z": 1.0, "payer_max_fen": 3_000_000}),
    "V02": (NEW | {"in_call": 1}, {"in_call": -1}),
    "V03": (NEW | {"day_second": 3 * 3_600}, {"day_second": 5 * 3_600}),
    "V04": ({"pair_age_s": 3_600, "last_pair_fen": 500_000}, {"last_pair_fen": 1_500_000}),
    "V05": (NEW | {"least_1h_fen": 20_000}, {"least_1h_fen": 900_000}),
    "V06": (NEW | {"device_changed": 1}, {"device_changed": -1}),
    "V07": (NEW | {"payer_balance_fen": 100_000}, {"payer_balance_fen": 4_000_000}),
    "V08": (NEW, {"amount_fen": 90_000}),
    "3002": (NEW | {"payee_proven_received": 2}, {"payee_proven_received": 0}),
    "3006": (
        {"payer_in_n_7d": 9, "payer_in_fen_7d": 2_050_000, "payer_out_n_7d": 0, "amount_fen": 2_000_000},
        {"payer_out_n_7d": 2},
    ),
    "3007": (
        {"payer_in_n_7d": 1, "payer_in_fen_7d": 6_000_000, "payer_out_n_7d": 2, "payer_out_fen_7d": 4_000_000},
        {"payer_in_fen_7d": 3_000_000},
    ),
    "3008": ({"pair_out_5d": 2, "pair_in_5d": 3}, {"pair_in_5d": 2}),
    "C01": (
        NEW | {"payee_taint": 0.5, "payee_quick": 0.9, "payee_in_fen_24h": 900_000, "payee_in_n_1h": 1,
               "payee_payers_1h": 1, "payee_payers_ever": 1, "payee_since_in_s": 60},
        {"reverse_s": 60},
    ),
    "C02": (
        NEW | {"cash_channel": 1, "payer_taint": 0.6, "payer_quick": 0.5, "payer_since_in_s": 60,
               "payer_in_fen_24h": 2_500_000, "payer_in_n_7d": 2, "payer_in_n_1h": 2, "payer_payers_1h": 1,
               "payer_payers_ever": 1},
        {"payer_taint": 0.04},
    ),
}  # fmt: skip


def facts(**changed: float) -> Facts:
    """Return quiet facts with some changed."""
    known = QUIET | changed
    assert known.keys() <= set(FACTS)
    return tuple(known.get(name, 0.0) for name in FACTS)


def fired(found: Facts, settings: RuleSettings = DEFAULT_RULES) -> dict[str, float]:
    """Return code and weight of the rules that fire."""
    return {RULES[index].code: weight for index, weight in RuleBook(settings).hits(found)}


def test_every_rule_has_a_case_and_words() -> None:
    codes = [rule.code for rule in RULES]
    assert len(codes) == len(set(codes)) >= 15
    assert set(codes) == CASES.keys() == TEXTS.keys()
    assert {"3004", "3005", "0302"} <= LISTED.keys()
    assert not set(codes) & LISTED.keys()


def test_nothing_fires_on_a_quiet_transfer() -> None:
    assert fired(facts()) == {}


@pytest.mark.parametrize("code", CASES)
def test_it_fires_on_its_case_and_not_beside_it(code: str) -> None:
    case, beside = CASES[code]
    weight = fired(facts(**case)).get(code, 0.0)
    (section,) = (getattr(DEFAULT_RULES, rule.section) for rule in RULES if rule.code == code)
    assert 0.0 < weight <= section.weight
    assert code not in fired(facts(**case | beside))


@pytest.mark.parametrize("code", CASES)
def test_the_words_quote_the_numbers_that_fired(code: str) -> None:
    reason = reason_of(code, 0.5, facts(**CASES[code][0]), SEVERITY)
    assert reason.evidence
    assert re.search("[一-鿿]", reason.zh)
    assert not re.search("[一-鿿]", reason.en)
    for text in (reason.zh, reason.en):
        assert "{" not in text
        for number in reason.evidence.values():
            assert str(number) in text
    assert {type(number) for number in reason.evidence.values()} <= {int, float}


@pytest.mark.parametrize("code", CASES)
def test_words_are_the_same_after_the_hop(code: str) -> None:
    """A view that has been JSON has floats where the profile gave whole numbers."""
    found = facts(**CASES[code][0])
    told = msgspec.json.decode(msgspec.json.encode(found), type=tuple[float, ...])
    before, after = (msgspec.json.encode(reason_of(code, 0.5, each, SEVERITY)) for each in (found, told))
    assert before == after


def test_no_word_is_unused() -> None:
    assert {key for wording in TEXTS.values() for key in wording.keys} == EVIDENCE.keys()


def test_a_weight_of_nothing_switches_a_rule_off() -> None:
    for rule in RULES:
        off = rules_from_mapping({rule.section: {"weight": 0.0}})
        assert rule.code not in fired(facts(**CASES[rule.code][0]), off)
        assert RuleBook(off).version != RuleBook(DEFAULT_RULES).version


def test_settings_come_from_toml_and_json_and_nothing_unknown_passes() -> None:
    toml = "base = -4.0\n[pass_through]\nwithin_s = 900\n[night]\nweight = 0.0\n"
    settings = rules_from_mapping(tomllib.loads(toml))
    assert (settings.base, settings.pass_through.within_s, settings.night.weight) == (-4.0, 900, 0.0)
    assert settings.pass_through.fit == DEFAULT_RULES.pass_through.fit
    assert rules_from_mapping(json.loads(msgspec.json.encode(settings))) == settings
    for wrong in ({"nihgt": {}}, {"night": {"wieght": 1}}, {"night": {"weight": -1.0}}, {"transit": {"fit": 1.1}}):
        with pytest.raises(msgspec.ValidationError):
            rules_from_mapping(wrong)


def test_thresholds_are_read() -> None:
    found = facts(**PASSING | {"match_s": 1_000})
    assert "M01" in fired(found)
    assert "M01" not in fired(found, rules_from_mapping({"pass_through": {"within_s": 900}}))


def test_risk_grows_with_every_ground_and_stays_below_one() -> None:
    hits = tuple(enumerate((0.2, 1.0, 2.5, 4.0)))
    for size in range(4):
        for some in combinations(hits, size):
            for more in hits:
                if more not in some:
                    assert risk_of((*some, more), -6.0) > risk_of(some, -6.0)
    assert risk_of(tuple((n, 20.0) for n in range(30)), 0.0) <= 1.0
    assert sum(shares(hits)) == pytest.approx(1.0)
