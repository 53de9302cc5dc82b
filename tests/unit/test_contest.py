"""Which panel serves: a worse challenger never, a better one soon, and a champion that has gone bad falls back."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from models.risk.contest import LABELS_KEPT, Contest, ContestSettings, Evidence, Gap, Outcome, Role, logits
from models.risk.learning.boosting import grow
from models.risk.learning.learner import Learner
from models.risk.learning.trials import log_loss
from models.risk.panel import TrainedPanel, panel_from_state
from tests.learnkit import SMALL, made_up

DAY_US = 86_400_000_000
LIMITS = ContestSettings(frauds=20, honest=100, longest_trial_us=10 * DAY_US)


@pytest.fixture(scope="module")
def learner() -> Learner:
    rows, fraud = made_up(4_000, seed=1)
    found = Learner(seed=1, settings=SMALL)
    found.observe(rows, at_us=1)
    found.learn(rows, fraud, np.ones(len(rows)))
    return found


def with_trees(learner: Learner, *, flip: bool, rows: int = 3_000, seed: int = 2) -> TrainedPanel:
    """Return a panel that listens to its trees alone, fitted to this world or to its opposite."""
    features, fraud = made_up(rows, seed=seed, flip=flip)
    forest = grow(features, fraud, np.ones(rows), seed=1, settings=SMALL.boosting)
    blend = msgspec.structs.replace(learner.state().blend, weights=np.array([0.0, 0.0, 1.0]), intercept=0.0)
    return panel_from_state(msgspec.structs.replace(learner.state(), forest=forest, blend=blend))


@pytest.fixture(scope="module")
def good(learner: Learner) -> TrainedPanel:
    return with_trees(learner, flip=False)


@pytest.fixture(scope="module")
def bad(learner: Learner) -> TrainedPanel:
    return with_trees(learner, flip=True)


@pytest.fixture(scope="module")
def treeless(learner: Learner) -> TrainedPanel:
    return panel_from_state(msgspec.structs.replace(learner.state(), forest=None))


def judged(contest: Contest, rows: int, *, seed: int = 9, at_us: int = 0) -> Outcome | None:
    features, fraud = made_up(rows, seed=seed)
    return contest.judge(features, fraud, np.ones(rows), at_us)


def test_a_worse_challenger_is_never_promoted_and_leaves_no_trace(good: TrainedPanel, bad: TrainedPanel) -> None:
    contest = Contest(good, settings=LIMITS)
    for seed in range(20, 26):
        contest.refitted(bad, 0)
        assert contest.champion is good
        assert judged(contest, 600, seed=seed) is Outcome.REJECTED
        assert contest.champion is good
        assert not contest.on_trial


def test_a_better_challenger_is_promoted_and_the_old_champion_is_kept(good: TrainedPanel, bad: TrainedPanel) -> None:
    contest = Contest(bad, settings=LIMITS)
    contest.refitted(good, 0)
    assert contest.champion is bad, "no trial, no service"
    assert judged(contest, 600) is Outcome.PROMOTED
    assert contest.champion is good
    assert contest.rivals == {Role.LAST_GOOD: bad}


def test_nothing_is_decided_without_both_kinds_of_labels(good: TrainedPanel, bad: TrainedPanel) -> None:
    contest = Contest(bad, settings=LIMITS)
    contest.refitted(good, 0)
    features, fraud = made_up(2_000, seed=3)
    for kind in (fraud, ~fraud):
        alone = Contest(bad, settings=LIMITS)
        alone.refitted(good, 0)
        assert alone.judge(features[kind], fraud[kind], np.ones(int(kind.sum())), 0) is None
    assert judged(contest, 0) is None
    assert contest.on_trial


def test_a_trial_without_evidence_ends_and_promotes_nobody(good: TrainedPanel, bad: TrainedPanel) -> None:
    contest = Contest(bad, settings=LIMITS)
    contest.refitted(good, DAY_US)
    assert judged(contest, 30, at_us=10 * DAY_US) is None
    assert judged(contest, 0, at_us=11 * DAY_US) is Outcome.REJECTED
    assert contest.champion is bad


def test_the_first_trees_serve_at_once_and_fall_back_if_they_are_bad(treeless: TrainedPanel, bad: TrainedPanel) -> None:
    contest = Contest(treeless, settings=LIMITS)
    contest.refitted(bad, 0)
    assert contest.champion is bad
    assert judged(contest, 600) is Outcome.FELL_BACK
    assert contest.champion is treeless
    assert contest.apart


def test_after_a_fall_back_only_a_won_trial_brings_the_learner_back(
    treeless: TrainedPanel, good: TrainedPanel, bad: TrainedPanel
) -> None:
    contest = Contest(treeless, settings=LIMITS)
    contest.refitted(bad, 0)
    judged(contest, 600)
    contest.challenge(bad, 0)
    assert judged(contest, 600, seed=10) is Outcome.REJECTED
    assert (contest.champion, contest.apart) == (treeless, True)
    contest.refitted(good, 0)
    assert contest.champion is treeless, "first trees or not: the learner has lost its credit"
    assert judged(contest, 600, seed=11) is Outcome.PROMOTED
    assert (contest.champion, contest.apart) == (good, False)


def test_a_champion_that_wins_clearly_becomes_the_last_good_one(treeless: TrainedPanel, good: TrainedPanel) -> None:
    contest = Contest(treeless, settings=LIMITS)
    contest.refitted(good, 0)
    assert judged(contest, 600) is None
    assert contest.rivals == {Role.LAST_GOOD: good}
    assert contest.evidence[Role.LAST_GOOD].frauds == 0


def test_a_champion_like_the_last_good_one_never_falls_back(good: TrainedPanel) -> None:
    contest = Contest(good, settings=LIMITS)
    contest._enter(Role.LAST_GOOD, good)
    for seed in range(30, 40):
        assert judged(contest, 600, seed=seed) is None
    assert contest.champion is good


def slid(good: TrainedPanel, steps: int) -> TrainedPanel:
    """Return a panel whose trees count for less with each step and whose taste for noise grows: 3 % of the way."""
    rng = np.random.default_rng(5)
    noise = msgspec.structs.replace(good.state.linear, weights=rng.normal(size=len(good.state.linear.weights)) / 3)
    share = 0.03 * steps
    blend = msgspec.structs.replace(good.state.blend, weights=np.array([0.0, share, 1.0 - share]))
    return panel_from_state(msgspec.structs.replace(good.state, linear=noise, blend=blend))


def loss(panel: TrainedPanel) -> float:
    features, fraud = made_up(20_000, seed=77)
    return gap_of(np.zeros(len(fraud)), logits(panel, features), fraud, np.ones(len(fraud))).rival_loss


def test_a_slide_in_many_small_steps_is_seen(good: TrainedPanel) -> None:
    """No step is worse by a tenth than the one before, so that comparing neighbours would see nothing."""
    steps = [slid(good, number) for number in range(1, 16)]
    losses = [loss(panel) for panel in (good, *steps)]
    assert max(later / before for before, later in pairwise(losses)) < 1.0 + LIMITS.harm
    contest = Contest(good, settings=LIMITS)
    contest._enter(Role.LAST_GOOD, good)
    outcomes = []
    for number, panel in enumerate(steps):
        contest.follow(panel)
        outcomes += [judged(contest, 600, seed=200 + number)]
        if contest.apart:
            break
    assert outcomes[-1] is Outcome.FELL_BACK
    assert contest.champion is good
    assert losses[len(outcomes)] < 1.5 * losses[0], "seen before half of the quality is gone"


def test_a_slide_after_a_long_good_time_is_seen_as_soon(good: TrainedPanel) -> None:
    contest = Contest(good, settings=LIMITS)
    contest._enter(Role.LAST_GOOD, good)
    for seed in range(300, 320):
        judged(contest, 600, seed=seed)
    evidence = contest.evidence[Role.LAST_GOOD]
    assert LIMITS.horizon_frauds <= evidence.frauds <= LIMITS.horizon_frauds + LIMITS.frauds
    contest.follow(slid(good, 15))
    outcomes = [judged(contest, 600, seed=320 + number) for number in range(4)]
    assert Outcome.FELL_BACK in outcomes


def test_neither_a_draw_nor_a_promotion_moves_the_last_good_one(good: TrainedPanel) -> None:
    contest = Contest(good, settings=LIMITS)
    contest._enter(Role.LAST_GOOD, good)
    alike = slid(good, 1)
    contest.follow(alike)
    assert judged(contest, 600) is None
    assert contest.rivals[Role.LAST_GOOD] is good
    again = slid(good, 1)
    contest.challenge(again, 0)
    assert judged(contest, 600) is Outcome.PROMOTED, "no worse than the champion"
    assert contest.champion is again
    assert contest.rivals[Role.LAST_GOOD] is good
    assert contest.evidence[Role.LAST_GOOD].frauds == 0, "another champion, another comparison"


def test_while_on_trial_online_learning_reaches_both_but_not_the_trees(good: TrainedPanel, bad: TrainedPanel) -> None:
    contest = Contest(good, settings=LIMITS)
    contest.refitted(bad, 0)
    linear = msgspec.structs.replace(bad.state.linear, bias=bad.state.linear.bias + 1.0)
    moved = panel_from_state(msgspec.structs.replace(bad.state, linear=linear))
    contest.follow(moved)
    assert contest.rivals[Role.CHALLENGER] is moved
    champion = contest.champion.state
    assert champion.linear.bias == linear.bias
    assert (champion.forest.version, champion.blend.version) == (good.state.forest.version, good.state.blend.version)


def test_outside_a_trial_online_learning_serves_unless_the_learner_has_lost(
    treeless: TrainedPanel, good: TrainedPanel, bad: TrainedPanel
) -> None:
    contest = Contest(good, settings=LIMITS)
    contest.follow(bad)
    assert contest.champion is bad
    fallen = Contest(treeless, settings=LIMITS)
    fallen.refitted(bad, 0)
    judged(fallen, 600)
    for panel in (good, bad):
        fallen.follow(panel)
        assert fallen.champion is treeless
        fallen.challenge(panel, 0)


def test_a_restored_contest_goes_on_and_a_restart_promotes_nobody(
    treeless: TrainedPanel, good: TrainedPanel, bad: TrainedPanel
) -> None:
    contest = Contest(treeless, settings=LIMITS)
    contest.refitted(good, 0)
    judged(contest, 100)
    contest.refitted(bad, 5)
    judged(contest, 100, seed=12)
    raw = msgspec.msgpack.encode(contest.dump())
    restored = Contest.load(msgspec.msgpack.decode(raw, type=type(contest.dump())), bad, settings=LIMITS)
    assert restored.dump() == contest.dump()
    assert restored.champion.version == good.version
    for each in (contest, restored):
        assert judged(each, 600, seed=13) is Outcome.REJECTED
        assert each.champion.version == good.version


def gap_of(champion: np.ndarray, rival: np.ndarray, fraud: np.ndarray, weights: np.ndarray) -> Gap:
    found = Evidence()
    for part in (slice(0, 200), slice(200, None)):
        found.add(champion[part], rival[part], fraud[part], weights[part])
    return found.verdict()


def test_only_what_tells_fraud_from_honest_counts_not_the_level(good: TrainedPanel, bad: TrainedPanel) -> None:
    """Fresh labels hold too many frauds: a panel must not win because its risks are higher all over."""
    features, fraud = made_up(500, seed=14)
    weights = np.random.default_rng(1).uniform(0.5, 4.0, len(features))
    champion, rival = logits(good, features), logits(bad, features)
    plain = gap_of(champion, rival, fraud, weights)
    assert plain.mean > 2.0 * plain.error > 0.0
    assert gap_of(champion, champion + 3.0, fraud, weights).mean == pytest.approx(0.0, abs=1e-9)
    assert gap_of(champion - 2.0, rival + 1.0, fraud, weights) == pytest.approx(plain)
    assert gap_of(rival, champion, fraud, weights).mean == pytest.approx(-plain.mean)


def test_the_shift_is_the_intercept_of_a_logistic_regression(good: TrainedPanel) -> None:
    features, fraud = made_up(2_000, seed=15)
    values = logits(good, features)
    found = gap_of(values, np.zeros(len(values)), fraud, np.ones(len(values)))
    share = fraud.mean()
    no_knowledge = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert found.rival_loss == pytest.approx(no_knowledge)
    best = min(float(log_loss(values + shift, fraud).mean()) for shift in np.linspace(-10, 10, 2_001))
    assert found.rival_loss - found.mean == pytest.approx(best, abs=1e-5)


def test_evidence_is_bounded_and_still_stands_for_all() -> None:
    rng = np.random.default_rng(2)
    found = Evidence()
    for _ in range(30):
        fraud = rng.random(2_000) < 0.001
        found.add(rng.normal(size=2_000), rng.normal(size=2_000), fraud, np.ones(2_000))
    assert len(found.fraud) <= LABELS_KEPT
    assert sum(found.weight) == pytest.approx(60_000, rel=0.01)
    assert len({len(found.fraud), len(found.weight), len(found.champion), len(found.rival)}) == 1
