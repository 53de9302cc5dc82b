"""The scorer's contract: re-posts, lateness, lists, bands, panels, foreign views."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band, DebitView, DetectorScore, ListLevel
from models.risk.features import FEATURE_NAMES, FEATURE_SET
from models.risk.panel import PanelScores
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.rules.settings import rules_from_mapping
from models.risk.scorer import ForeignFeaturesError, Scorer
from tests.transfers import HOUR_US, NOON_US, pay

NOBODY = AccountLists()
BLACK, WHITE, GREY = ListLevel.BLACK, ListLevel.WHITE, ListLevel.GREY


class Fixed:
    """A panel that always says the same."""

    version = "fixed-1"

    def __init__(self, risk: float, watch_from: float | None = None) -> None:
        self.risk = risk
        self.watch_from = watch_from
        self.seen: list[tuple[int, ...]] = []

    def score(self, rows: npt.NDArray[np.float64], rule_risks: npt.NDArray[np.float64]) -> PanelScores:
        self.seen.append(rows.shape)
        assert rule_risks.tolist() == rows[:, FEATURE_NAMES.index("rule_risk")].tolist()
        scores = (DetectorScore("fixed", "1", self.risk),)
        return PanelScores([self.risk] * len(rows), [scores] * len(rows))


def assess(scorer: Scorer, transfer: Transfer, lists: AccountLists = NOBODY) -> Assessment:
    debited = scorer.debit(EMPTY_PROFILE, transfer)
    assert debited.view is not None
    (assessment,) = scorer.judge([scorer.credit(EMPTY_PROFILE, transfer, debited.view, lists).draft])
    return assessment


def test_a_reposted_transfer_counts_once() -> None:
    scorer, transfer = Scorer(), pay("a", "b", 100)
    first = scorer.debit(EMPTY_PROFILE, transfer)
    again = scorer.debit(first.profile, transfer)
    assert first.view is not None
    assert again.view is None
    assert again.profile == first.profile
    assert first.profile.outflow.count == 1


def test_amounts_of_any_currency_count_as_cny() -> None:
    """What docs/features.md and `Transfer.currency` tell banks: a currency moves no profile and no score."""

    def seen(currency: str) -> tuple[AccountProfile, Assessment]:
        scorer, profile = Scorer(), EMPTY_PROFILE
        for hour in range(3):
            told = pay("a", "b", 9_000, at_us=NOON_US + hour * HOUR_US, currency=currency if hour else "CNY")
            profile = scorer.debit(profile, told).profile
        return profile, assess(scorer, pay("c", "b", 9_000, currency=currency))

    (yuan_profile, yuan), (dollar_profile, dollar) = seen("CNY"), seen("USD")
    assert dollar_profile == yuan_profile
    assert dollar_profile.outflow.fen == 2_700_000
    assert dollar.transfer.currency == "USD"
    assert msgspec.structs.replace(dollar, transfer=yuan.transfer) == yuan


def test_a_late_transfer_is_flagged_scored_and_in_no_window() -> None:
    scorer = Scorer()
    now = scorer.debit(EMPTY_PROFILE, pay("a", "b", 100)).profile
    late = scorer.debit(now, pay("a", "c", 900, at_us=NOON_US - HOUR_US - 1))
    assert late.late
    assert late.view is not None
    assert late.profile.outflow.count == 2
    assert late.profile.outflow.fen == now.outflow.fen
    assert late.profile.debits == now.debits
    assert late.profile.latest_us == now.latest_us
    assert not scorer.debit(now, pay("a", "c", 900, at_us=NOON_US - HOUR_US)).late
    assert scorer.debit(late.profile, pay("a", "c", 900, at_us=NOON_US - HOUR_US - 1)).view is None


def test_a_late_credit_is_flagged_too() -> None:
    scorer, view = Scorer(), Scorer().debit(EMPTY_PROFILE, pay("a", "b", 1)).view
    assert view is not None
    now = scorer.credit(EMPTY_PROFILE, pay("a", "b", 100), view, NOBODY)
    late = scorer.credit(now.profile, pay("c", "b", 5, at_us=NOON_US - 2 * HOUR_US), view, NOBODY)
    assert (now.late, late.late) == (False, True)
    assert late.profile.inflow.count == 2
    assert late.profile.credits == now.profile.credits


@pytest.mark.parametrize(
    ("lists", "risk", "band", "code"),
    [
        (AccountLists(payee=BLACK), 0.01, Band.STOP, "3004"),
        (AccountLists(payer=BLACK), 0.01, Band.STOP, "3005"),
        (AccountLists(payer=BLACK, payee=WHITE), 0.01, Band.STOP, "3005"),
        (AccountLists(payee=WHITE), 0.99, Band.ALLOW, "0302"),
        (AccountLists(payer=WHITE, payee=GREY), 0.99, Band.ALLOW, "0302"),
        (AccountLists(payee=GREY), 0.4, Band.STOP, "L002"),
        (AccountLists(payer=GREY), 0.2, Band.WATCH, "L002"),
    ],
)
def test_lists_come_before_scores(lists: AccountLists, risk: float, band: Band, code: str) -> None:
    assessment = assess(Scorer(panel=Fixed(risk)), pay("a", "b", 100), lists)
    assert assessment.band is band
    assert assessment.reasons[0].code == code
    assert assessment.lists == lists
    expected = {"3004": 1.0, "3005": 1.0, "0302": risk}.get(code)
    assert assessment.risk > risk if expected is None else assessment.risk == expected


@pytest.mark.parametrize(
    ("risk", "band"), [(0.0, Band.ALLOW), (0.4999, Band.ALLOW), (0.5, Band.WATCH), (0.8, Band.STOP), (1.0, Band.STOP)]
)
def test_bands_begin_at_their_thresholds(risk: float, band: Band) -> None:
    assert assess(Scorer(panel=Fixed(risk)), pay("a", "b", 1_000)).band is band


def test_bands_are_settings() -> None:
    lower = rules_from_mapping({"bands": {"watch": 0.1, "stop": 0.3}})
    scorer = Scorer(rules=lower, panel=Fixed(0.3))
    assert assess(scorer, pay("a", "b", 1_000)).band is Band.STOP
    assert assess(scorer.with_panel(Fixed(0.1)), pay("a", "b", 1_000)).band is Band.WATCH
    assert scorer.rule_book != Scorer().rule_book


def test_costs_are_settings() -> None:
    dear = rules_from_mapping({"costs": {"false_stop_fen": 2_000_000}})
    assert assess(Scorer(panel=Fixed(0.8)), pay("a", "b", 100)).band is Band.STOP
    assert assess(Scorer(rules=dear, panel=Fixed(0.8)), pay("a", "b", 100)).band is Band.WATCH
    assert Scorer(rules=dear).rule_book != Scorer().rule_book


@pytest.mark.parametrize(("yuan", "band"), [(1, Band.WATCH), (62.49, Band.WATCH), (62.5, Band.STOP)])
def test_a_sum_that_is_not_worth_a_false_stop_needs_more_certainty(yuan: float, band: Band) -> None:
    assert assess(Scorer(panel=Fixed(0.8)), pay("a", "b", yuan)).band is band
    assert assess(Scorer(panel=Fixed(0.999)), pay("a", "b", yuan)).band is Band.STOP


@pytest.mark.parametrize(("risk", "band"), [(0.19, Band.ALLOW), (0.2, Band.WATCH), (0.8, Band.STOP)])
def test_a_panel_with_a_threshold_says_from_where_to_watch(risk: float, band: Band) -> None:
    assert assess(Scorer(panel=Fixed(risk, watch_from=0.2)), pay("a", "b", 1_000)).band is band


def test_what_the_detectors_add_has_a_ground_of_its_own() -> None:
    assessment = assess(Scorer(panel=Fixed(0.9)), pay("a", "b", 1))
    (reason,) = assessment.reasons
    assert reason.code == "9999"
    assert reason.evidence == {"fixed": 0.9}
    assert "0.9" in reason.zh
    assert assessment.scores == (DetectorScore("fixed", "1", 0.9),)


def test_reasons_come_by_weight_and_sum_to_the_risk() -> None:
    scorer, profile = Scorer(), EMPTY_PROFILE
    for n in range(6):
        profile = profile.observe_debit(pay("v", "shop", 30 + n, at_us=NOON_US - (9 - n) * 24 * HOUR_US))
    transfer = pay("v", "m", 80_000, in_call=True, device_id="x", payer_balance_after_fen=0)
    debited = scorer.debit(profile, transfer)
    assert debited.view is not None
    draft = scorer.credit(EMPTY_PROFILE, transfer, debited.view, NOBODY).draft
    (assessment,) = scorer.judge([draft])
    assert assessment.band is not Band.ALLOW
    weights = [reason.weight for reason in assessment.reasons]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(assessment.risk, abs=1e-4)
    assert {"V01", "V02", "V07", "V08"} <= {reason.code for reason in assessment.reasons}


def test_an_allowed_transfer_carries_no_reasons() -> None:
    assessment = assess(Scorer(), pay("a", "b", 30))
    assert (assessment.band, assessment.reasons) == (Band.ALLOW, ())


def test_a_view_of_another_feature_set_is_refused() -> None:
    scorer, transfer = Scorer(), pay("a", "b", 1)
    view = scorer.debit(EMPTY_PROFILE, transfer).view
    assert view is not None
    for foreign in (DebitView(view.features, "f0"), DebitView(view.features[1:], FEATURE_SET)):
        with pytest.raises(ForeignFeaturesError):
            scorer.credit(EMPTY_PROFILE, transfer, foreign, NOBODY)


def test_versions_name_rules_and_features() -> None:
    scorer = Scorer()
    assessment = assess(scorer, pay("a", "b", 1))
    assert (assessment.feature_set, assessment.rule_book) == (scorer.feature_set, scorer.rule_book)
    other = Scorer(rules=rules_from_mapping({"base": -5.0}))
    assert other.rule_book != scorer.rule_book
    panel = Fixed(0.1)
    swapped = other.with_panel(panel)
    assert swapped.panel is panel
    assert swapped.rule_book == other.rule_book


def test_nothing_to_judge() -> None:
    assert Scorer(panel=Fixed(0.1)).judge([]) == []


def test_profiles_and_drafts_are_frozen() -> None:
    profile: AccountProfile = Scorer().debit(EMPTY_PROFILE, pay("a", "b", 1)).profile
    with pytest.raises(AttributeError):
        profile.quick = 1.0  # type: ignore[misc]
    assert AccountProfile() == EMPTY_PROFILE
    assert msgspec.structs.asdict(EMPTY_PROFILE)["latest_us"] == 0
