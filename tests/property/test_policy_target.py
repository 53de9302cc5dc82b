"""Whom a stop belongs on: for any grounds, lists and sums."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.control.orders import order_id_of
from models.control.policy import (
    NAMED,
    PAYEE_FOR_HIRE,
    PAYER_FOR_HIRE,
    PAYER_LISTED,
    Action,
    PolicySettings,
    Standing,
    decide,
    target_of,
)
from models.control.states import OrderKind
from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band, DetectorScore, ListLevel, Reason

HOUSE, NOW_US = PolicySettings(), 1_773_707_400_000_000
CODES = (
    "M01",
    "M19",
    "V01",
    "3002",
    "3006",
    "9999",
    "L002",
    PAYEE_FOR_HIRE,
    PAYER_FOR_HIRE,
    PAYER_LISTED,
    *sorted(NAMED),
)

yuan = st.integers(0, 10**11).map(lambda fen: fen / 100)
grounds = st.builds(
    lambda code, payer, payee: Reason(
        code=code, weight=0.5, zh="因", en="why", evidence={"payer_24h_yuan": payer, "payee_24h_yuan": payee}
    ),
    st.sampled_from(CODES),
    yuan,
    yuan,
)
transfers = st.builds(
    lambda fen: Transfer(
        transfer_id="t1",
        payer_bank="a",
        payer_account="1",
        payee_bank="b",
        payee_account="2",
        amount_fen=fen,
        occurred_us=NOW_US,
    ),
    st.integers(1, 10**11),
)
scores = st.lists(st.builds(DetectorScore, st.sampled_from(("forest", "linear")), st.just("v"), st.floats(0, 1)))
assessments = st.builds(
    lambda transfer, risk, band, reasons, said, payer, payee: Assessment(
        transfer=transfer,
        risk=risk,
        band=band,
        reasons=tuple(reasons),
        features=(),
        feature_set="f",
        rule_book="r",
        scores=tuple(said),
        lists=AccountLists(payer=payer, payee=payee),
    ),
    transfers,
    st.floats(0, 1),
    st.sampled_from(Band),
    st.lists(grounds, max_size=4),
    scores,
    st.sampled_from(ListLevel),
    st.sampled_from(ListLevel),
)


@given(assessments)
def test_a_stop_is_on_one_of_the_two_accounts_for_at_least_this_sum_or_on_all_of_it_with_a_reason(
    assessment: Assessment,
) -> None:
    target = target_of(assessment)
    transfer = assessment.transfer
    if target is not None:
        assert target.key in (transfer.payer, transfer.payee)
        assert (target.amount_fen == 0) == bool(target.whole_reason)
        assert target.amount_fen >= transfer.amount_fen or target.whole_reason


@given(assessments)
def test_the_payer_is_stopped_only_on_grounds_about_the_payer(assessment: Assessment) -> None:
    codes = {reason.code for reason in assessment.reasons}
    target = target_of(assessment)
    on_payer = target is not None and target.key == assessment.transfer.payer
    for_hire = PAYER_FOR_HIRE in codes and PAYEE_FOR_HIRE not in codes
    assert on_payer == ((PAYER_LISTED in codes or for_hire) and not NAMED & codes)


@given(assessments)
def test_an_order_names_its_target_in_its_id_and_needs_the_stop_band(assessment: Assessment) -> None:
    made, target = decide(assessment, Standing(), HOUSE, NOW_US), target_of(assessment)
    if made.action is Action.ORDER:
        assert assessment.band is Band.STOP
        assert target is not None
        assert made.order is not None
        assert made.order.target == target.key
        assert made.order.order_id == order_id_of(OrderKind.PROTECTIVE_STOP, "t1", target.key)
        assert target.level is not ListLevel.WHITE
    elif assessment.band is Band.STOP:
        assert target is None or target.level is ListLevel.WHITE
