"""A decision's grounds are told in the order in which a person reads them."""

from __future__ import annotations

import msgspec

from cli.explain import Told, as_text
from models.risk.assessment import Reason, Severity
from models.risk.explain import explain
from models.risk.scorer import Scorer
from tests.transfers import pay
from tests.unit.test_scorer import assess


def test_grounds_are_told_gravest_first_with_their_severity() -> None:
    decided = assess(Scorer(), pay("a", "b", 90_000))
    reasons = (
        Reason("V03", 0.5, "夜间付款", "at night", severity=Severity.NOTICE),
        Reason("old", 0.3, "旧理由", "old ground"),
        Reason("V02", 0.2, "通话中付款", "in a call", severity=Severity.SERIOUS),
    )
    one = Told(
        assessment=decided,
        explanation=explain(msgspec.structs.replace(decided, reasons=reasons), None),
        signature="none",
    )
    assert "理由：\n  - 【严重】通话中付款\n  - 【提示】夜间付款\n  - 旧理由" in as_text(one, "zh")
    assert "reasons:\n  - [serious] in a call\n  - [notice] at night\n  - old ground" in as_text(one, "en")
