"""One way to score: called by the stream, by the back-test and by the tests.

No clock, no I/O, no randomness. A transfer goes through three calls: `debit`
with the payer's profile, `credit` with the payee's, `judge` for a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band, DebitView, DetectorScore, ListLevel, Reason
from models.risk.features import DEBIT_FEATURES, FEATURE_SET
from models.risk.panel import Panel, RulesOnly
from models.risk.payee_side import credit_features
from models.risk.payer_side import debit_features
from models.risk.profile import AccountProfile, id_digest
from models.risk.rules.book import EDITION, RULES, Hit, hits_of, noisy_or, shares
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings, rule_book_version
from models.risk.rules.texts import reason_of


class ForeignFeaturesError(ValueError):
    """A payer's view was made with another feature set than this scorer's."""


class Bands(msgspec.Struct, frozen=True, kw_only=True):
    """Risks from which a transfer is watched, and stopped."""

    watch: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.5
    stop: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.8


DEFAULT_BANDS: Final = Bands()
RULES_ONLY: Final = RulesOnly()


class Debited(msgspec.Struct, frozen=True, gc=False):
    """Payer's side of a transfer: its profile now, and its view; no view for a re-posted transfer."""

    profile: AccountProfile
    view: DebitView | None
    late: bool


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A transfer with all its features and rule hits, before the panel has spoken."""

    transfer: Transfer
    features: tuple[float, ...]
    lists: AccountLists
    hits: tuple[Hit, ...]
    rule_risk: float


class Credited(msgspec.Struct, frozen=True, gc=False):
    """Payee's side of a transfer: its profile now, and the draft to judge."""

    profile: AccountProfile
    draft: Draft
    late: bool


class Scorer:
    """Rules, bands and a panel at one version; immutable."""

    def __init__(
        self, *, rules: RuleSettings = DEFAULT_RULES, bands: Bands = DEFAULT_BANDS, panel: Panel = RULES_ONLY
    ) -> None:
        self._rules = rules
        self._bands = bands
        self._panel = panel
        self.feature_set = FEATURE_SET
        self.rule_book = rule_book_version(rules, EDITION)

    @property
    def panel(self) -> Panel:
        """The panel in use."""
        return self._panel

    def with_panel(self, panel: Panel) -> Scorer:
        """Return a scorer with the same rules and another panel."""
        return Scorer(rules=self._rules, bands=self._bands, panel=panel)

    def debit(self, profile: AccountProfile, transfer: Transfer) -> Debited:
        """Return the payer's profile after the transfer, and what it knew before."""
        late = profile.is_late(transfer.occurred_us)
        if profile.has_debit(id_digest(transfer.transfer_id)):
            return Debited(profile, None, late)
        view = DebitView(debit_features(profile, transfer), FEATURE_SET)
        return Debited(profile.observe_debit(transfer), view, late)

    def credit(self, profile: AccountProfile, transfer: Transfer, view: DebitView, lists: AccountLists) -> Credited:
        """Return the payee's profile after the transfer, and the draft; raise `ForeignFeaturesError`."""
        if view.feature_set != FEATURE_SET or len(view.features) != len(DEBIT_FEATURES):
            raise ForeignFeaturesError(f"view of feature set {view.feature_set!r}, scorer of {FEATURE_SET!r}")
        features = view.features + credit_features(profile, transfer)
        hits = hits_of(features, self._rules)
        risk = noisy_or(hits)
        draft = Draft(transfer, features, lists, hits, risk)
        return Credited(profile.observe_credit(transfer, risk), draft, profile.is_late(transfer.occurred_us))

    def judge(self, drafts: Sequence[Draft]) -> list[Assessment]:
        """Return one assessment for each draft; the result does not depend on the batching."""
        if not drafts:
            return []
        rows = np.array([draft.features for draft in drafts], dtype=np.float64)
        spoken = self._panel.score(rows, np.array([draft.rule_risk for draft in drafts], dtype=np.float64))
        return [
            self._assess(draft, risk, scores)
            for draft, risk, scores in zip(drafts, spoken.risks, spoken.scores, strict=True)
        ]

    def _assess(self, draft: Draft, risk: float, scores: tuple[DetectorScore, ...]) -> Assessment:
        lists = draft.lists
        risk, band, listed = self._decide(risk, lists)
        return Assessment(
            transfer=draft.transfer,
            risk=risk,
            band=band,
            reasons=listed if band is Band.ALLOW else listed + self._reasons(draft, risk, scores),
            features=draft.features,
            feature_set=FEATURE_SET,
            rule_book=self.rule_book,
            scores=scores,
            lists=lists,
        )

    def _decide(self, risk: float, lists: AccountLists) -> tuple[float, Band, tuple[Reason, ...]]:
        payer, payee = lists.payer, lists.payee
        if payee is ListLevel.BLACK:
            return (
                1.0,
                Band.STOP,
                (_listed("3004", "收款账户在涉案账户名单上", "the payee is on the list of involved accounts"),),
            )
        if payer is ListLevel.BLACK:
            return (
                1.0,
                Band.STOP,
                (_listed("3005", "付款账户在涉案账户名单上", "the payer is on the list of involved accounts"),),
            )
        if ListLevel.WHITE in (payer, payee):
            return (
                risk,
                Band.ALLOW,
                (_listed("0302", "账户在白名单上，不予止付", "an account is on the white list: not stopped"),),
            )
        reasons: tuple[Reason, ...] = ()
        if ListLevel.GREY in (payer, payee):
            risk = 1.0 - (1.0 - risk) * (1.0 - self._rules.grey.weight)
            reasons = (_listed("L003", "账户在可疑账户名单上", "an account is on the list of suspicious accounts"),)
        return risk, self._band(risk), reasons

    def _band(self, risk: float) -> Band:
        if risk >= self._bands.stop:
            return Band.STOP
        return Band.WATCH if risk >= self._bands.watch else Band.ALLOW

    def _reasons(self, draft: Draft, risk: float, scores: tuple[DetectorScore, ...]) -> tuple[Reason, ...]:
        hits = draft.hits
        reasons = [
            reason_of(RULES[index].code, share * min(draft.rule_risk, risk), draft.features)
            for (index, _), share in zip(hits, shares(hits), strict=True)
        ]
        if risk > draft.rule_risk and scores:
            reasons.append(_panel_reason(risk - draft.rule_risk, scores))
        return tuple(sorted(reasons, key=lambda reason: (-reason.weight, reason.code)))


def _listed(code: str, zh: str, en: str) -> Reason:
    return Reason(code=code, weight=1.0, zh=zh, en=en)


def _panel_reason(weight: float, scores: tuple[DetectorScore, ...]) -> Reason:
    """Return the platform's code 9999 (other, free text) for risk that detectors add to the rules'."""
    evidence: dict[str, float | int | str] = {score.name: round(score.score, 4) for score in scores}
    named_zh = "、".join(f"{name} {value}" for name, value in evidence.items())
    named_en = ", ".join(f"{name} {value}" for name, value in evidence.items())
    return Reason(
        code="9999",
        weight=weight,
        zh=f"检测模型评分偏高：{named_zh}",
        en=f"detectors score high: {named_en}",
        evidence=evidence,
    )
