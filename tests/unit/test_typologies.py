"""Crooks step by step: what a script does next when a bank says no."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from msgspec.structs import replace

from simulators.books import Outcome, Refusal
from simulators.plan import HOUR_US, SECOND_US, Intent, yuan
from simulators.population import build_population
from simulators.rings import Case, Loot, Mule, Script, Underworld, Wait, dwell_us
from simulators.scripts import REPORTS_SHARE, SCAMS, on_the_phone, order_grabbing, safe_account
from simulators.theft import TheftBook
from simulators.town import Town
from simulators.typologies import MAX_TRIES, RETRY_LATER_US, at_machines, forward, pool, push, split, take_pool
from tests.bankkit import T0

BANKS = ("debit", "full", "hold")


class Stage:
    """An underworld whose spawned scripts and reports are kept instead of run, and a bank that answers by rote."""

    def __init__(self, seed: int = 1) -> None:
        people = build_population(seed=seed, customers=300, banks=BANKS, start_us=T0)
        self.town = Town(people, seed)
        self.town.balances = [max(balance, yuan(50_000)) for balance in self.town.balances]
        self.world = Underworld(self.town, TheftBook(), seed, rings=2)
        self.spawned: list[Script] = []
        self.reports: list[int] = []
        self.world.spawn = self.spawned.append
        self.world.report = lambda at_us, _case: self.reports.append(at_us)
        self.case = self.world.open_case("refund", T0)
        self.mule = self.world.mule(self.case, 1, T0)
        self.spawned.clear()

    def loot(self, amount_fen: int = yuan(8_000), tier: int = 1) -> Loot:
        return Loot(case=self.case, mule=self.mule, amount_fen=amount_fen, tier=tier, at_us=T0)

    def play(self, script: Script, answer: Callable[[Intent], Outcome] | None = None) -> list[Intent]:
        """Run a script to its end; return every wish to pay."""
        answer = answer or (lambda intent: Outcome("t", 0))
        wishes: list[Intent] = []
        step = next(script, None)
        while step is not None:
            self.world.now_us = step.at_us
            outcome = None
            if isinstance(step, Intent):
                wishes.append(step)
                outcome = answer(step)
            try:
                step = script.send(outcome)
            except StopIteration:
                break
        return wishes


@pytest.fixture
def stage() -> Stage:
    return Stage()


def refusing(*refusals: tuple[Refusal, int]) -> Callable[[Intent], Outcome]:
    """Answer with these refusals and what is left available, then execute."""
    left: Iterator[tuple[Refusal, int]] = iter(refusals)

    def answer(_intent: Intent) -> Outcome:
        refusal, available = next(left, (None, 0))
        return Outcome("t", available, refusal or "")

    return answer


@pytest.mark.parametrize(("share", "seconds"), [(0.10, 12), (0.25, 72), (0.50, 384), (0.68, 3_600), (0.82, 86_400)])
def test_dwell_times_meet_the_verified_quantiles(share: float, seconds: float) -> None:
    assert dwell_us(share) == pytest.approx(seconds * SECOND_US, abs=1)


def test_dwell_times_grow_and_end() -> None:
    times = [dwell_us(share / 100) for share in range(101)]
    assert times == sorted(times)
    assert times[0] >= SECOND_US
    with pytest.raises(ValueError, match="not a share"):
        dwell_us(1.01)


def pushing(stage: Stage, payees: Callable[[int], int] = lambda _at: 5) -> Script:
    yield from push(stage.world, stage.loot(), payees, typology="pass_through")


def test_a_partly_held_sum_is_asked_for_again_as_what_is_left(stage: Stage) -> None:
    wishes = stage.play(pushing(stage), refusing((Refusal.HELD, yuan(1_500))))
    assert [wish.amount_fen for wish in wishes] == [yuan(8_000), yuan(1_500)]
    assert stage.mule.burned


def test_a_blocked_payee_is_replaced_within_minutes(stage: Stage) -> None:
    targets = iter([7, 8])
    wishes = stage.play(pushing(stage, lambda _at: next(targets)), refusing((Refusal.CREDIT_BLOCKED, yuan(9_000))))
    assert [wish.payee for wish in wishes] == [7, 8]
    assert wishes[1].at_us - wishes[0].at_us <= 300 * SECOND_US
    assert not stage.mule.burned


def test_a_blocked_account_is_tried_again_later_and_given_up(stage: Stage) -> None:
    blocked = [(Refusal.DEBIT_BLOCKED, 0)] * 10
    wishes = stage.play(pushing(stage), refusing(*blocked))
    assert len(wishes) == MAX_TRIES
    gaps = [late.at_us - early.at_us for early, late in pairwise(wishes)]
    assert all(gap <= HOUR_US for gap in gaps[:-1])
    assert gaps[-1] == RETRY_LATER_US, "the last try waits until a bank's own hold of a day has lapsed"
    assert stage.mule.burned


def test_a_burned_mule_is_used_no_more(stage: Stage) -> None:
    stage.mule.burned = True
    assert all(stage.world.mule(stage.case, 1, T0) is not stage.mule for _ in range(50))


def test_forwarding_carries_about_the_same_sum_to_the_next_tier(stage: Stage) -> None:
    (wish,) = stage.play(forward(stage.world, stage.loot()))
    assert yuan(7_000) <= wish.amount_fen <= yuan(8_000)
    assert wish.payee != stage.mule.account
    assert stage.spawned, "nobody goes on with the money"
    assert wish.label is not None
    assert (wish.label.fraud, wish.label.case_id, wish.label.typology) == (True, stage.case.case_id, "pass_through")


def test_splitting_makes_parts_that_do_not_exceed_the_sum(stage: Stage) -> None:
    wishes = stage.play(split(stage.world, stage.loot(yuan(20_000))))
    assert 2 <= len(wishes) <= 4
    assert sum(wish.amount_fen for wish in wishes) <= yuan(20_000)
    assert [wish.at_us for wish in wishes] == sorted(wish.at_us for wish in wishes)


def test_a_small_sum_is_not_split(stage: Stage) -> None:
    assert len(stage.play(split(stage.world, stage.loot(yuan(500))))) == 1


def test_pooled_sums_leave_together_once(stage: Stage) -> None:
    first, second = pool(stage.world, stage.loot(yuan(1_000))), pool(stage.world, stage.loot(yuan(2_000)))
    waits = [next(first), next(second)]
    assert all(isinstance(wait, Wait) for wait in waits)
    stage.world.now_us = max(wait.at_us for wait in waits)
    paid = stage.play(iter_from(first))
    assert len(paid) == 1
    assert yuan(2_700) <= paid[0].amount_fen <= yuan(3_000)
    assert take_pool(stage.mule) == 0
    assert stage.play(iter_from(second)) == [], "the pot was paid out twice"


def iter_from(script: Script) -> Script:
    """Go on with a script that has been started."""
    outcome = None
    while True:
        try:
            step = script.send(outcome)
        except StopIteration:
            return
        outcome = yield step


def test_couriers_draw_whole_hundreds_one_after_the_other(stage: Stage) -> None:
    wishes = stage.play(at_machines(stage.world, replace(stage.loot(), amount_fen=yuan(12_345))))
    assert len(wishes) >= 2
    assert all(wish.amount_fen % yuan(100) == 0 and wish.channel == "atm" for wish in wishes)
    assert yuan(12_300) == sum(wish.amount_fen for wish in wishes)
    assert len({wish.payee for wish in wishes}) == 1


def test_a_victim_whose_payee_is_blocked_is_told_another_account(stage: Stage) -> None:
    wishes = stage.play(order_grabbing(stage.world, stage.case, T0), refusing((Refusal.CREDIT_BLOCKED, yuan(9_000))))
    assert wishes[0].payee != wishes[1].payee
    assert wishes[0].amount_fen == wishes[1].amount_fen


def test_the_frightened_victim_gathers_its_money_and_pays_most_of_it(stage: Stage) -> None:
    wishes = stage.play(safe_account(stage.world, stage.case, T0))
    payments = [wish for wish in wishes if wish.label is not None]
    assert payments
    assert all(wish.label is not None and wish.label.from_victim for wish in payments)
    assert payments[0].amount_fen > yuan(10_000)
    assert stage.case.paid == ["t"] * len(payments)


def played(scam: Callable[[Underworld, Case, int], Script], seed: int) -> list[Intent]:
    stage = Stage(seed)
    return stage.play(scam(stage.world, stage.case, T0))


def test_bait_is_part_of_the_case_but_not_fraud() -> None:
    baits = [
        wish
        for seed in range(8)
        for wish in played(order_grabbing, seed)
        if wish.label is not None and wish.label.to_victim
    ]
    assert baits
    assert all(wish.label is not None and not wish.label.fraud for wish in baits)


@pytest.mark.parametrize("name", SCAMS)
def test_every_scam_takes_money_and_never_goes_back_in_time(name: str) -> None:
    paid = 0
    for seed in range(5):
        stage = Stage(seed)
        wishes = stage.play(SCAMS[name][0](stage.world, stage.case, T0))
        times = [wish.at_us for wish in wishes]
        assert times == sorted(times)
        assert all(wish.amount_fen > 0 and wish.payer != wish.payee for wish in wishes)
        paid += len(stage.case.paid)
        assert len(stage.spawned) >= bool(stage.case.paid)
    assert paid >= 5


def test_most_victims_report_but_not_all() -> None:
    reported = []
    for seed in range(40):
        stage = Stage(seed)
        stage.play(safe_account(stage.world, stage.case, T0))
        reported.append(bool(stage.reports))
        assert all(at_us > T0 for at_us in stage.reports)
    assert abs(sum(reported) / len(reported) - REPORTS_SHARE) < 0.2


def test_a_ring_reuses_accounts_and_buys_new_ones(stage: Stage) -> None:
    used: list[Mule] = [stage.world.mule(stage.case, 1, T0) for _ in range(60)]
    assert 5 < len({mule.account for mule in used}) < 40
    assert all(stage.world.book.controls(mule.account) for mule in used)


def test_a_bank_sees_most_calls_of_the_frightened_and_often_cannot_tell() -> None:
    seen = [on_the_phone(random.Random(seed), 0.85) for seed in range(2_000)]
    assert 0.2 < seen.count(None) / len(seen) < 0.3
    assert 0.8 < seen.count(True) / (seen.count(True) + seen.count(False)) < 0.9


def test_the_frightened_stay_on_the_phone_throughout(stage: Stage) -> None:
    wishes = stage.play(safe_account(stage.world, stage.case, T0))
    assert len({wish.in_call for wish in wishes}) == 1
