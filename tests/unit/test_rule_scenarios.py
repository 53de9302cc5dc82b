"""What the rules alone make of whole stories: honest life is left alone, stolen money on the run is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, Band
from models.risk.profile import EMPTY_PROFILE, AccountProfile
from models.risk.scorer import Scorer
from tests.flows import Flow, make_town
from tests.transfers import DAY_US, HOUR_US, MINUTE_US, NOON_US, pay

SECOND_US = 1_000_000
NOBODY = AccountLists()


def assess_all(transfers: list[Transfer]) -> list[Assessment]:
    """Return assessments by the rules alone, in order of time."""
    scorer, profiles, drafts = Scorer(), dict[str, AccountProfile](), []
    for transfer in sorted(transfers, key=lambda transfer: transfer.occurred_us):
        debited = scorer.debit(profiles.get(transfer.payer, EMPTY_PROFILE), transfer)
        profiles[transfer.payer] = debited.profile
        assert debited.view is not None
        credited = scorer.credit(profiles.get(transfer.payee, EMPTY_PROFILE), transfer, debited.view, NOBODY)
        profiles[transfer.payee] = credited.profile
        drafts.append(credited.draft)
    return scorer.judge(drafts)


def habit(person: str, days: int = 60) -> Iterator[Transfer]:
    """Yield two months of a quiet life: wages, shops, rent, a little to family; everyone has hours of one's own."""
    own = sum(person.encode())
    for day in range(days, 0, -1):
        at_us = NOON_US - day * DAY_US + own * MINUTE_US
        yield pay(person, f"shop{(day + own) % 6}", 20 + day % 7 * 15, at_us=at_us)
        if day % 7 == 0:
            yield pay(person, f"sister of {person}".replace(" ", "-"), 300 + day, at_us=at_us + HOUR_US)
        if day % 30 == own % 30:
            yield pay("employer", person, 9_000, at_us=at_us + 2 * HOUR_US)
            yield pay(person, f"landlord{own % 5}", 2_500 + own, at_us=at_us + 3 * HOUR_US)


def crowd(shop: str, days: int = 60) -> Iterator[Transfer]:
    """Yield the trade of an established shop."""
    for day in range(days, 0, -1):
        for guest in range(4):
            at_us = NOON_US - day * DAY_US + guest * HOUR_US
            yield pay(f"guest{(day * 7 + guest * 13) % 150}", shop, 40 + guest * 10, at_us=at_us)


def new(payer: str, payee: str, yuan: float, at_us: int = NOON_US, **more: Any) -> list[Transfer]:
    return [pay(payer, payee, yuan, at_us=at_us, name=f"new-{payer}-{payee}-{at_us}", **more)]


def parts(payers: list[str], payee: str, yuan: float, gap_us: int) -> list[Transfer]:
    return [t for n, payer in enumerate(payers) for t in new(payer, payee, yuan, NOON_US + n * gap_us)]


WANGS_LANDLORD = f"landlord{sum(b'wang') % 5}"
FRIENDS = [f"friend{n}" for n in range(8)]
HONEST: dict[str, list[Transfer]] = {
    "wages, then rent": new("employer", "wang", 9_000) + new("wang", WANGS_LANDLORD, 2_500, NOON_US + HOUR_US),
    "wages to savings": new("employer", "wang", 9_000) + new("wang", "wang2", 6_000, NOON_US + 5 * MINUTE_US),
    "shopping": new("wang", "shop9", 260),
    "a first hospital bill": [*crowd("hospital"), *new("wang", "hospital", 12_000)],
    "family": new("wang", "sister-of-wang", 5_000),
    "payday of fifty": [t for n in range(50) for t in new("firm", f"staff{n}", 7_000, NOON_US + n * SECOND_US)],
    "dinner": new("wang", "shop1", 1_300) + parts(FRIENDS, "wang", 144, 4 * MINUTE_US),
    "class fund": [
        *crowd("school"),
        *parts([f"parent{n}" for n in range(15)], "wang", 200, 9 * MINUTE_US),
        *new("wang", "school", 3_000, NOON_US + 9 * HOUR_US),
    ],
    "second hand": new("stranger", "wang", 2_800),
    "a new home": new("wang", "landlady", 7_500),
    "help for a friend": new("wang", "li", 3_000),
    "first day of a shop": parts([f"guest{n}" for n in range(30)], "noodles", 25, 10 * MINUTE_US),
    "refund": new("shop3", "wang", 180),
}


@pytest.mark.parametrize("story", HONEST)
def test_honest_life_is_not_stopped(story: str) -> None:
    past = [t for person in ("wang", "li", *FRIENDS) for t in habit(person)]
    past += [
        t
        for month in (30, 60)
        for n in range(50)
        for t in new("firm", f"staff{n}", 7_000, NOON_US - month * DAY_US + n)
    ]
    names = {transfer.transfer_id for transfer in HONEST[story] if transfer.transfer_id.startswith("new-")}
    found = assess_all(past + HONEST[story])
    for assessment in (assessment for assessment in found if assessment.transfer.occurred_us > NOON_US - 30 * DAY_US):
        assert assessment.band is not Band.STOP, (assessment.transfer, assessment.reasons)
        if assessment.transfer.transfer_id in names and story != "wages to savings":
            assert assessment.band is Band.ALLOW, (assessment.risk, assessment.transfer, assessment.reasons)


def chain(gap_us: int, hops: int) -> list[Transfer]:
    """Return a victim's payment of 60,000 yuan and how it runs on."""
    money = new("wang", "mule1", 60_000)
    for hop in range(1, hops + 1):
        money += new(f"mule{hop}", f"mule{hop + 1}", 60_000 * 0.98**hop, NOON_US + hop * gap_us)
    return money


@pytest.mark.parametrize("gap_us", [12 * SECOND_US, 72 * SECOND_US, 384 * SECOND_US, 15 * MINUTE_US])
def test_money_on_the_run_is_stopped_at_its_first_hop_and_at_every_one(gap_us: int) -> None:
    found = assess_all([*habit("wang"), *chain(gap_us, 4)])[-5:]
    assert found[0].risk > 0.05, "a first payment of many times the habit is no everyday payment"
    assert [assessment.band for assessment in found[1:]] == [Band.STOP] * 4
    assert found[-1].reasons[0].code in {"C01", "M01", "M05", "M19"}


def test_a_split_is_stopped_part_by_part() -> None:
    money = new("wang", "mule1", 60_000)
    for part in range(4):
        money += new("mule1", f"mule1{part}", 14_700, NOON_US + (3 + part) * MINUTE_US)
    bands = [assessment.band for assessment in assess_all([*habit("wang"), *money])[-4:]]
    assert bands.count(Band.STOP) >= 2
    assert Band.ALLOW not in bands


def test_pooled_money_of_three_victims_is_stopped() -> None:
    victims = ["wang", "li", "friend1"]
    money = parts(victims, "mule1", 30_000, 10 * MINUTE_US) + new("mule1", "mule2", 88_000, NOON_US + HOUR_US)
    found = assess_all([t for person in victims for t in habit(person)] + money)
    assert found[-1].band is Band.STOP
    assert found[-2].risk > found[-4].risk, "the third victim is more suspicious than the first"


EVIDENCE: dict[str, dict[str, Any]] = {
    "in a call": {"in_call": True},
    "young payee": {"payee_opened_us": NOON_US - 2 * DAY_US},
    "savings gone": {"payer_balance_after_fen": 40_00},
    "another device": {"device_id": "other"},
}


def test_a_victims_first_payment_is_stopped_when_the_evidence_allows() -> None:
    past = [*habit("wang"), pay("wang", "shop1", 30, at_us=NOON_US - HOUR_US, device_id="own")]

    def risk(**told: Any) -> float:
        return assess_all([*past, *new("wang", "mule1", 60_000, **told)])[-1].risk

    bare = risk()
    for name, told in EVIDENCE.items():
        assert risk(**told) > bare, name
    assert risk(**EVIDENCE["in a call"] | EVIDENCE["young payee"] | EVIDENCE["savings gone"]) >= 0.8
    assert risk(in_call=False, payee_known=True) < bare < 0.5


def test_growing_payments_to_a_new_payee_grow_suspicious() -> None:
    money = [
        t for n, yuan in enumerate((1_000, 5_000, 20_000)) for t in new("wang", "guru", yuan, NOON_US + n * HOUR_US)
    ]
    risks = [assessment.risk for assessment in assess_all([*habit("wang"), *money])[-3:]]
    assert risks[2] > risks[0]


@pytest.fixture(scope="module")
def town() -> list[tuple[Flow, Assessment]]:
    flows = make_town(seed=3, customers=300, days=50, cases=25, fraud_from=35)
    found = assess_all([flow.transfer for flow in flows])
    return list(zip(flows, found, strict=True))[len(flows) * 7 // 10 :]


def test_in_a_town_hops_are_found_and_honest_people_left_in_peace(town: list[tuple[Flow, Assessment]]) -> None:
    honest = [assessment.band for flow, assessment in town if not flow.fraud]
    hops = [assessment.band for flow, assessment in town if flow.kind == "hop"]
    assert len(hops) > 80
    assert honest.count(Band.STOP) <= len(honest) * 0.001
    assert hops.count(Band.STOP) >= len(hops) * 0.3
    assert hops.count(Band.ALLOW) <= len(hops) * 0.6


def test_the_highest_risks_of_a_town_are_fraud(town: list[tuple[Flow, Assessment]]) -> None:
    ranked = sorted(town, key=lambda pair: -pair[1].risk)[:50]
    assert sum(flow.fraud for flow, _ in ranked) >= 45
