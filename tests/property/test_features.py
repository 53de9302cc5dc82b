"""Facts and features of any sequence of valid transfers: finite, in their ranges, free of labels and of the future."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Band, DebitView
from models.risk.columns import NEVER, RATIO_LIMIT, all_columns
from models.risk.facts import FACTS, PAYEE_FACTS, PAYER_FACTS
from models.risk.features import DEBIT_FEATURES, FEATURE_NAMES, features_of, ln
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.rules.book import RULES
from models.risk.rules.settings import DEFAULT_RULES
from models.risk.scorer import Draft, Scorer
from tests.transfers import any_transfers

NOBODY = AccountLists()
RANGES = {
    "n": (0.0, 40.0),
    "yuan": (0.0, 40.0),
    "s": (0.0, NEVER),
    "ln": (-RATIO_LIMIT, RATIO_LIMIT),
    "share": (0.0, 1.0),
    "flag": (0.0, 1.0),
    "tri": (-1.0, 1.0),
    "z": (-6.0, 6.0),
    "sine": (-1.0, 1.0),
}


def draft_all(transfers: list[Transfer]) -> list[Draft]:
    """Return the drafts of transfers in order of arrival; a re-posted id gives none."""
    scorer, profiles, drafts = Scorer(), dict[str, AccountProfile](), []
    for transfer in transfers:
        debited = scorer.debit(profiles.get(transfer.payer, EMPTY_PROFILE), transfer)
        profiles[transfer.payer] = debited.profile
        if debited.view is None:
            continue
        credited = scorer.credit(profiles.get(transfer.payee, EMPTY_PROFILE), transfer, debited.view, NOBODY)
        profiles[transfer.payee] = credited.profile
        drafts.append(credited.draft)
    return drafts


@given(st.lists(any_transfers, min_size=1, max_size=40))
@settings(max_examples=80, deadline=None)
def test_every_feature_is_finite_and_in_the_range_of_its_scale(transfers: list[Transfer]) -> None:
    scorer = Scorer()
    for assessment in scorer.judge(draft_all(transfers)):
        assert len(assessment.features) == len(FEATURE_NAMES)
        assert 0.0 <= assessment.risk <= 1.0
        assert (assessment.band is Band.ALLOW) == (assessment.risk < 0.5)
        for column, value in zip(all_columns(), assessment.features, strict=True):
            low, high = RANGES[column.scale]
            assert low <= value <= high, column.name
            assert value == round(value, 4), column.name


@given(st.lists(any_transfers, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_facts_are_whole_on_the_wire(transfers: list[Transfer]) -> None:
    """JSON turns whole numbers of a view into floats; no fact may change by it."""
    for draft in draft_all(transfers):
        assert len(draft.facts) == len(FACTS)
        view = DebitView(draft.facts[: len(PAYER_FACTS)], "f")
        told = msgspec.json.decode(msgspec.json.encode(view), type=DebitView)
        assert told.features == view.features
        assert all(np.isfinite(told.features))


@given(st.lists(any_transfers, min_size=2, max_size=30), st.data())
@settings(max_examples=50, deadline=None)
def test_rows_do_not_depend_on_the_batch(transfers: list[Transfer], data: st.DataObject) -> None:
    drafts = draft_all(transfers)
    facts, risks = np.array([draft.facts for draft in drafts], float), np.zeros(len(drafts))
    whole = features_of(facts, risks)
    start = data.draw(st.integers(0, len(drafts) - 1))
    assert features_of(facts[start:], risks[start:]).tobytes() == whole[start:].tobytes()
    assert features_of(facts[start : start + 1], risks[:1]).tobytes() == whole[start : start + 1].tobytes()


@given(st.lists(any_transfers, min_size=2, max_size=30))
@settings(max_examples=50, deadline=None)
def test_no_fact_knows_the_future(transfers: list[Transfer]) -> None:
    whole, half = draft_all(transfers), draft_all(transfers[: len(transfers) // 2])
    assert [draft.facts for draft in whole[: len(half)]] == [draft.facts for draft in half]


@given(st.lists(any_transfers, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_what_a_rule_needs_never_hides_it(transfers: list[Transfer]) -> None:
    """The book asks only rules whose needs are met; asking all must give the same."""
    for draft in draft_all(transfers):
        asked = [(n, rule.weigh(draft.facts, getattr(DEFAULT_RULES, rule.section))) for n, rule in enumerate(RULES)]
        assert draft.hits == tuple((n, weight) for n, weight in asked if weight > 0.0)


@given(st.lists(st.floats(1e-9, 1e15), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_our_logarithm_is_the_logarithm(values: list[float]) -> None:
    ours, theirs = ln(np.array(values)), np.log(np.array(values))
    assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_halves_are_what_their_names_say() -> None:
    debit = set(PAYER_FACTS)
    for column in all_columns()[: len(DEBIT_FEATURES)]:
        sources = {part.strip() for part in column.source.replace("+", "/").split("/") if part.strip()}
        assert sources <= debit, column.name
    assert len(PAYER_FACTS) + len(PAYEE_FACTS) == len(FACTS) == len(set(FACTS))
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) >= 40
