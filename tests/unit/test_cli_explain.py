"""A decision under an operator's own rules is computed again by that file, and told gravest ground first."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cli.explain import NOT_EXPLAINED, ExplainOptions, Told, as_text, explained, run_explain
from models.risk.assessment import Assessment, Band, Reason, Severity
from models.risk.rules.settings import rules_from_mapping
from models.risk.scorer import Scorer
from models.wire import ModelSnapshot
from tests.transfers import pay
from tests.unit.test_scorer import assess

OWN = Scorer(rules=rules_from_mapping({"base": 0.0, "bands": {"watch": 0.2, "stop": 0.4}}))


class Kept:
    """Holds one assessment by rules alone."""

    def __init__(self, assessment: Assessment) -> None:
        self.kept = assessment

    def assessment(self, transfer_id: str) -> Assessment:
        assert transfer_id == self.kept.transfer.transfer_id
        return self.kept

    def snapshot(self, version: str) -> ModelSnapshot:
        raise AssertionError(version)


@pytest.fixture
def decided() -> Assessment:
    found = assess(OWN, pay("a", "b", 90_000))
    assert found.band is Band.STOP
    return found


def told(decided: Assessment, scorer: Scorer) -> Told:
    return explained(Kept(decided), decided.transfer.transfer_id, "", scorer)


def test_the_file_of_rules_that_decided_finds_the_same_band(decided: Assessment) -> None:
    found = told(decided, OWN).explanation
    assert (found.complete, found.agrees, found.recomputed_band) == (True, True, Band.STOP)
    forged = msgspec.structs.replace(decided, band=Band.WATCH)
    assert not told(forged, OWN).explanation.agrees


@pytest.mark.parametrize("change", [{"bands": {"watch": 0.2, "stop": 0.5}}, {"costs": {"false_stop_fen": 1}}])
def test_other_bands_or_costs_are_another_rule_book(decided: Assessment, change: dict[str, object]) -> None:
    settings = rules_from_mapping({"base": 0.0, "bands": {"watch": 0.2, "stop": 0.4}} | change)
    found = told(decided, Scorer(rules=settings)).explanation
    assert (found.complete, found.recomputed_band) == (False, None)


def test_grounds_are_told_gravest_first_with_their_severity(decided: Assessment) -> None:
    reasons = (
        Reason("V03", 0.5, "夜间付款", "at night", severity=Severity.NOTICE),
        Reason("old", 0.3, "旧理由", "old ground"),
        Reason("V02", 0.2, "通话中付款", "in a call", severity=Severity.SERIOUS),
    )
    one = told(msgspec.structs.replace(decided, reasons=reasons), OWN)
    zh, en = (as_text(one, lang).partition(head)[2] for lang, head in (("zh", "理由：\n"), ("en", "reasons:\n")))
    assert zh.splitlines()[:3] == [
        "  - 【严重】通话中付款（风险中占 0.200）",
        "  - 【提示】夜间付款（风险中占 0.500）",
        "  - 旧理由（风险中占 0.300）",
    ]
    assert en.splitlines()[:3] == [
        "  - [serious] in a call (0.200 of the risk)",
        "  - [notice] at night (0.500 of the risk)",
        "  - old ground (0.300 of the risk)",
    ]


def test_rules_that_cannot_be_read_explain_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[bands]\nstop = 1.5\n")
    options = ExplainOptions(
        transfer_id="t", api_url="http://127.0.0.1:1", key="", broker="", snapshot_key="", lang="zh", as_json=False,
        rules=path,
    )  # fmt: skip
    assert run_explain(options) == NOT_EXPLAINED
    assert "$.bands.stop" in capsys.readouterr().err
