"""One way to score: called by the stream, by the back-test and by the tests.

No clock, no I/O, no randomness. A transfer goes through three calls: `debit`
with the payer's profile, `credit` with the payee's, `judge` for a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, starmap
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.money.types import Transfer
from models.risk.assessment import (
    AccountLists,
    Assessment,
    Band,
    DebitView,
    DetectorScore,
    ListLevel,
    Reason,
    StageTimes,
)
from models.risk.columns import RULE_RISK
from models.risk.facts import PAYER_FACTS, Facts, payee_facts, payer_facts
from models.risk.features import FEATURE_SET, features_of, matrix_of, packed, unpacked
from models.risk.panel import Panel, RulesOnly
from models.risk.peers import peer_hash
from models.risk.profile import AccountProfile, id_digest
from models.risk.rules.book import RULES, Hit, RuleBook, raised_by, risk_of, shares
from models.risk.rules.settings import DEFAULT_RULES, RuleSettings
from models.risk.rules.texts import listed_reason, panel_reason, reason_of
from models.risk.thresholds import threshold_for_cost


class ForeignFeaturesError(ValueError):
    """A payer's view was made with another feature set than this scorer's."""


RULES_ONLY: Final = RulesOnly()
NO_TIMES: Final = StageTimes()

Row = npt.NDArray[np.float64]
"""Features of one transfer."""


class Debited(msgspec.Struct, frozen=True, gc=False):
    """Payer's side of a transfer: its profile now, and its view; no view for a re-posted transfer."""

    profile: AccountProfile
    view: DebitView | None
    late: bool


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A transfer with all facts of both sides and the rules' hits, before the panel has spoken.

    The facts wait for the rest of the batch as bytes, since a batch's worth of small objects is more than a
    processor's cache holds.
    """

    transfer: Transfer
    packed_facts: bytes
    lists: AccountLists
    hits: tuple[Hit, ...]
    rule_risk: float

    @property
    def facts(self) -> Facts:
        """The facts of both sides, as floats."""
        return unpacked(self.packed_facts)


class Credited(msgspec.Struct, frozen=True, gc=False):
    """Payee's side of a transfer: its profile now, and the draft to judge."""

    profile: AccountProfile
    draft: Draft
    late: bool


class Scorer:
    """Rules, bands, costs and a panel at one version; immutable."""

    def __init__(self, *, rules: RuleSettings = DEFAULT_RULES, panel: Panel = RULES_ONLY) -> None:
        self._book = RuleBook(rules)
        self._bands, self._costs = rules.bands, rules.costs
        self._panel = panel
        self.feature_set = FEATURE_SET
        self.rule_book = self._book.version

    @property
    def panel(self) -> Panel:
        """The panel in use."""
        return self._panel

    def with_panel(self, panel: Panel) -> Scorer:
        """Return a scorer with the same rules and another panel."""
        return Scorer(rules=self._book.settings, panel=panel)

    def debit(self, profile: AccountProfile, transfer: Transfer) -> Debited:
        """Return the payer's profile after the transfer, and what it knew before."""
        late = profile.is_late(transfer.occurred_us)
        digest = id_digest(transfer.transfer_id)
        if profile.has_debit(digest):
            return Debited(profile, None, late)
        peer = peer_hash(transfer.payee_bank, transfer.payee_account)
        view = DebitView(payer_facts(profile, transfer, peer), FEATURE_SET)
        return Debited(profile.after_debit(transfer, peer, digest), view, late)

    def credit(self, profile: AccountProfile, transfer: Transfer, view: DebitView, lists: AccountLists) -> Credited:
        """Return the payee's profile after the transfer, and the draft; raise `ForeignFeaturesError`."""
        if view.feature_set != FEATURE_SET or len(view.features) != len(PAYER_FACTS):
            raise ForeignFeaturesError(f"view of feature set {view.feature_set!r}, scorer of {FEATURE_SET!r}")
        facts = view.features + payee_facts(profile, transfer, lists)
        hits = self._book.hits(facts)
        risk = risk_of(hits, self._book.settings.base)
        draft = Draft(transfer, packed(facts), lists, hits, risk)
        return Credited(profile.observe_credit(transfer, risk), draft, profile.is_late(transfer.occurred_us))

    def judge(self, drafts: Sequence[Draft]) -> list[Assessment]:
        """Return one assessment for each draft; the result does not depend on the batching."""
        return list(self.judged(drafts, repeat(NO_TIMES, len(drafts))))

    def judged(self, drafts: Sequence[Draft], times: Iterable[StageTimes]) -> Iterator[Assessment]:
        """Let the panel speak of all drafts, then make each assessment, with its times, as it is asked for.

        Who sends one before asking for the next keeps few small objects alive at once.
        """
        if not drafts:
            return iter(())
        facts = matrix_of([draft.packed_facts for draft in drafts])
        rows = features_of(facts, np.array([draft.rule_risk for draft in drafts], dtype=np.float64))
        spoken = self._panel.score(rows, rows[:, RULE_RISK])
        return starmap(self._assess, zip(drafts, rows, spoken.risks, spoken.scores, times, strict=True))

    def _assess(
        self, draft: Draft, row: Row, risk: float, scores: tuple[DetectorScore, ...], times: StageTimes
    ) -> Assessment:
        lists = draft.lists
        listed_risk, band, listed = self.decide(risk, lists, draft.transfer.amount_fen)
        return Assessment(
            transfer=draft.transfer,
            risk=listed_risk,
            band=band,
            reasons=listed if band is Band.ALLOW else listed + self._reasons(draft, risk, scores),
            features=tuple(row.tolist()),
            feature_set=FEATURE_SET,
            rule_book=self.rule_book,
            scores=scores,
            lists=lists,
            stages=times,
        )

    def grounds(self, draft: Draft, assessment: Assessment) -> tuple[Reason, ...]:
        """Return every reason of an assessment, also those that `judge` saves itself where nothing is done."""
        if assessment.band is not Band.ALLOW:
            return assessment.reasons
        return assessment.reasons + self._reasons(draft, assessment.risk, assessment.scores)

    def decide(self, risk: float, lists: AccountLists, amount_fen: int) -> tuple[float, Band, tuple[Reason, ...]]:
        """Return risk, band and reasons after the lists: black stops at once, white beats any score, grey raises it."""
        payer, payee = lists.payer, lists.payee
        if payer is ListLevel.NONE and payee is ListLevel.NONE:
            return risk, self._band(risk, amount_fen), ()
        if ListLevel.BLACK in (payer, payee):
            return 1.0, Band.STOP, (listed_reason("3004" if payee is ListLevel.BLACK else "3005", 1.0),)
        if ListLevel.WHITE in (payer, payee):
            return risk, Band.ALLOW, (listed_reason("0302", 1.0),)
        if ListLevel.GREY in (payer, payee):
            raised = raised_by(risk, self._book.settings.grey.weight)
            reason = listed_reason("L002", raised - risk, self._book.settings.grey.severity)
            return raised, self._band(raised, amount_fen), (reason,)
        return risk, self._band(risk, amount_fen), ()

    def _band(self, risk: float, amount_fen: int) -> Band:
        bands, watch_from = self._bands, self._panel.watch_from
        if risk >= bands.stop and risk >= threshold_for_cost(amount_fen, self._costs):
            return Band.STOP
        return Band.WATCH if risk >= (bands.watch if watch_from is None else watch_from) else Band.ALLOW

    def _reasons(self, draft: Draft, risk: float, scores: tuple[DetectorScore, ...]) -> tuple[Reason, ...]:
        """Return the grounds of ``risk`` by weight; what the detectors add to the rules has a ground of its own."""
        by_rules = min(draft.rule_risk, risk)
        reasons = [
            reason_of(RULES[index].code, by_rules * share, draft.facts, self._book.severities[index])
            for (index, _), share in zip(draft.hits, shares(draft.hits), strict=True)
        ]
        if risk > by_rules and scores:
            reasons.append(panel_reason(risk - by_rules, scores))
        return tuple(sorted(reasons, key=lambda reason: (-reason.weight, reason.code)))
