"""Live equals replay, byte for byte: the same transfers give the same assessments however they are fed."""

from __future__ import annotations

import msgspec
import pytest

from models.money.types import Transfer
from models.risk.assessment import AccountLists, Assessment, DebitView
from models.risk.profile import EMPTY_PROFILE, decode_profile, encode_profile
from models.risk.scorer import Draft, Scorer
from tests.flows import make_town

NOBODY = AccountLists()
COUNT = 20_000
encode = msgspec.json.Encoder().encode


@pytest.fixture(scope="module")
def transfers() -> list[Transfer]:
    flows = make_town(seed=5, customers=300, days=45, cases=15, fraud_from=8)
    assert len(flows) >= COUNT
    return [flow.transfer for flow in flows[:COUNT]]


def drafts_in_memory(transfers: list[Transfer]) -> list[Draft]:
    """Score with profiles as objects, as the back-test does."""
    scorer, profiles, drafts = Scorer(), {}, []
    for transfer in transfers:
        debited = scorer.debit(profiles.get(transfer.payer, EMPTY_PROFILE), transfer)
        profiles[transfer.payer] = debited.profile
        assert debited.view is not None
        credited = scorer.credit(profiles.get(transfer.payee, EMPTY_PROFILE), transfer, debited.view, NOBODY)
        profiles[transfer.payee] = credited.profile
        drafts.append(credited.draft)
    return drafts


def drafts_through_bytes(transfers: list[Transfer]) -> list[Draft]:
    """Score with profiles and views as bytes between all steps, as stages do after a restart; each is posted twice."""
    scorer, profiles, drafts = Scorer(), {}, []
    empty = encode_profile(EMPTY_PROFILE)
    for transfer in transfers:
        debited = scorer.debit(decode_profile(profiles.get(transfer.payer, empty)), transfer)
        profiles[transfer.payer] = encode_profile(debited.profile)
        again = scorer.debit(decode_profile(profiles[transfer.payer]), transfer)
        assert again.view is None
        assert encode_profile(again.profile) == profiles[transfer.payer]
        view = msgspec.json.decode(encode(debited.view), type=DebitView)
        told = msgspec.json.decode(encode(transfer), type=Transfer)
        credited = scorer.credit(decode_profile(profiles.get(transfer.payee, empty)), told, view, NOBODY)
        profiles[transfer.payee] = encode_profile(credited.profile)
        drafts.append(credited.draft)
    return drafts


def judged(drafts: list[Draft], batch: int) -> list[bytes]:
    scorer, found = Scorer(), list[Assessment]()
    for start in range(0, len(drafts), batch):
        found += scorer.judge(drafts[start : start + batch])
    return [encode(assessment) for assessment in found]


@pytest.mark.slow
def test_live_equals_replay_on_twenty_thousand_transfers(transfers: list[Transfer]) -> None:
    replayed = judged(drafts_in_memory(transfers), 1_000)
    assert len(replayed) == COUNT
    assert judged(drafts_through_bytes(transfers), 37) == replayed


def test_one_by_one_equals_a_thousand_at_once(transfers: list[Transfer]) -> None:
    drafts = drafts_in_memory(transfers[:6_000])[-2_000:]
    assert judged(drafts, 1) == judged(drafts, 1_000) == judged(drafts, 7)


def test_a_second_run_gives_the_same_bytes(transfers: list[Transfer]) -> None:
    some = transfers[:3_000]
    assert judged(drafts_in_memory(some), 64) == judged(drafts_in_memory(some), 64)
