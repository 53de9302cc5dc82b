"""Champion and challengers on live traffic: what serves, what is only compared, and what an operator sees of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from models.risk.columns import RULE_RISK
from models.risk.contest import Role
from models.risk.learning.boosting import DEFAULT_BOOSTING, grow
from models.risk.learning.learner import Learner
from models.risk.learning.trials import TRIAL_FRAUDS
from models.risk.panel import TrainedPanel, panel_from_snapshot
from models.risk.rules.settings import DEFAULT_RULES
from models.risk.snapshot import ForestState
from models.wire import ModelSnapshot, Topic, VerdictLabel, decode_snapshot
from stream.trainer import REPORT_FILE
from stream.watch import RivalReport, ShadowReport
from tests.learnkit import SMALL, made_up
from tests.streamkit import WAIT_S, Eye
from tests.trainerkit import Bench, assessment, embedded, send_assessments, send_verdicts, verdict

BY_HAND = msgspec.structs.replace(SMALL, use_forest=False)
"""The learner never fits trees by itself; the test says which trees come when."""


def trees(*, flip: bool) -> ForestState:
    rows, fraud = made_up(3_000, seed=1, flip=flip)
    return grow(rows, fraud, np.ones(len(rows)), seed=1, settings=SMALL.boosting)


@pytest.fixture(scope="module")
def good() -> ForestState:
    return trees(flip=False)


@pytest.fixture(scope="module")
def bad() -> ForestState:
    return trees(flip=True)


@pytest.fixture
def address() -> Iterator[str]:
    yield from embedded()


@pytest.fixture
def bench(address: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(address, tmp_path)
    made.trainer.learner = Learner(seed=1, settings=BY_HAND)
    yield made
    made.trainer.close()


class Labelled:
    """Sends made-up transfers with their true labels (or, flipped, with the world's opposite) to one bench."""

    def __init__(self, bench: Bench, address: str) -> None:
        self._bench, self._address = bench, address
        self._verdicts = self._assessments = 0

    def verdicts(
        self, rows: int, *, seed: int, flip: bool = False, first: int | None = None, fraud_share: float = 0.05
    ) -> None:
        """Send verdicts and wait until they are learned; ``first`` names the transfers they are about."""
        features, fraud = made_up(rows, seed=seed, flip=flip, fraud_share=fraud_share)
        start = 100_000 + self._verdicts if first is None else first
        found = [
            verdict(start + place, VerdictLabel.FRAUD if is_fraud else VerdictLabel.HONEST, row)
            for place, (row, is_fraud) in enumerate(zip(features.tolist(), fraud.tolist(), strict=True))
        ]
        send_verdicts(self._address, found)
        self._verdicts += rows
        self._bench.read(Topic.VERDICTS, self._verdicts)

    def live(self, rows: int, *, seed: int) -> int:
        """Send live assessments and wait until they are seen; return the number of the first transfer."""
        features, _ = made_up(rows, seed=seed)
        first = self._assessments
        found = [assessment(first + place, features=row) for place, row in enumerate(features.tolist())]
        send_assessments(self._address, found)
        self._assessments += rows
        self._bench.read(Topic.ASSESSMENTS, self._assessments)
        return first

    def both(self, rows: int, *, seed: int) -> None:
        """Send live assessments, then the truth about each."""
        self.verdicts(rows, seed=seed, first=self.live(rows, seed=seed))

    def until(self, done: Callable[[], bool], *, seed: int) -> None:
        """Go on sending the truth, in batches, until ``done``; fail after 20 of them."""
        for number in range(20):
            if done():
                return
            self.both(400, seed=seed + number)
        pytest.fail("not within 8,000 labels")


@pytest.fixture
def labelled(bench: Bench, address: str) -> Labelled:
    return Labelled(bench, address)


def sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"{name} {labels} does not exist"
    return value


def snapshots(bench: Bench, address: str) -> list[ModelSnapshot]:
    """Return everything that was ever put into service, in order."""
    bench.trainer._producer.flush(WAIT_S)
    eye = Eye(address, Topic.MODELS, decode_snapshot)
    found = eye.settle()
    eye.close()
    return found


def published(bench: Bench, address: str) -> list[str]:
    """Return the versions of the trees that were ever in service, in order."""
    return [forest_of(panel_from_snapshot(record.payload)) for record in snapshots(bench, address)]


def last_version(bench: Bench, address: str) -> str:
    return snapshots(bench, address)[-1].version


def test_every_series_exists_before_anything_has_happened(bench: Bench) -> None:
    for role in ("challenger", "last_good"):
        sample("sluice_shadow_transfers_total", rival=role)
        assert sample("sluice_shadow_loss_gap", rival=role) == 0
        for who in ("champion_only", "rival_only", "both"):
            sample("sluice_shadow_stops_total", rival=role, who=who)
        sample("sluice_shadow_labelled_stops_total", rival=role, panel="rival", label="fraud")
    for outcome in ("promoted", "rejected", "fell_back"):
        sample("sluice_contests_total", outcome=outcome)
    assert sample("sluice_shadow_on_trial") == 0
    assert sample("sluice_drift_alarm", signal="fallback") == 0


@pytest.fixture
def champion(bench: Bench, labelled: Labelled, good: ForestState) -> TrainedPanel:
    """Return a champion in service that has learned from labels and from good trees."""
    labelled.both(1_500, seed=2)
    bench.trainer.adopt(good)
    labelled.both(1_000, seed=3)
    bench.trainer.publish()
    return bench.trainer.watch.contest.champion


def forest_of(panel: TrainedPanel) -> str:
    return "" if panel.state.forest is None else panel.state.forest.version


def rival_of(report: ShadowReport, role: Role) -> RivalReport:
    (found,) = [each for each in report.rivals if each.role is role]
    return found


@pytest.mark.usefixtures("champion")
def test_worse_trees_are_compared_in_shadow_and_never_serve(
    bench: Bench, labelled: Labelled, address: str, tmp_path: Path, bad: ForestState
) -> None:
    before = sample("sluice_contests_total", outcome="rejected")
    seen = sample("sluice_shadow_transfers_total", rival="challenger")
    bench.trainer.adopt(bad)
    assert sample("sluice_shadow_on_trial") == 1
    labelled.live(400, seed=4)
    assert sample("sluice_shadow_transfers_total", rival="challenger") == seen + 400
    bench.trainer.publish()
    told = msgspec.json.decode((tmp_path / REPORT_FILE).read_bytes(), type=ShadowReport)
    figures = rival_of(told, Role.CHALLENGER).figures
    assert figures.only_champion, "the good trees stop frauds that the bad ones let pass"
    assert figures.champion_stops > figures.rival_stops
    labelled.until(lambda: not bench.trainer.watch.contest.on_trial, seed=100)
    assert sample("sluice_contests_total", outcome="rejected") == before + 1
    bench.trainer.publish()
    assert bad.version not in published(bench, address)
    assert forest_of(bench.trainer.learner.panel()) == forest_of(bench.trainer.watch.contest.champion) != ""


def test_labels_tell_the_precision_of_both(
    bench: Bench, labelled: Labelled, champion: TrainedPanel, bad: ForestState
) -> None:
    bench.trainer.adopt(bad)
    first = labelled.live(150, seed=5)
    labelled.verdicts(150, seed=5, first=first)
    figures = rival_of(bench.trainer.watch.report(1), Role.CHALLENGER).figures
    features, fraud = made_up(150, seed=5)
    stopped = np.array(champion.score(features, features[:, RULE_RISK]).risks) >= DEFAULT_RULES.bands.stop
    assert figures.champion_stops == stopped.sum() > 0
    assert figures.champion_precision == pytest.approx(fraud[stopped].mean())
    assert all(each.label for each in figures.only_champion)


@pytest.mark.usefixtures("champion")
def test_only_the_contest_takes_trees_on_trial_out_again(bench: Bench, labelled: Labelled, bad: ForestState) -> None:
    """Frauds enough for any judge, but too few honest labels for the contest: the bad trees stay on trial."""
    bench.trainer.adopt(bad)
    labelled.verdicts(150, seed=41, fraud_share=0.5)
    bench.trainer.publish()
    contest = bench.trainer.watch.contest
    assert contest.evidence[Role.CHALLENGER].frauds > 3 * TRIAL_FRAUDS
    assert forest_of(contest.rivals[Role.CHALLENGER]) == forest_of(bench.trainer.learner.panel()) == bad.version
    assert bench.trainer.learner.health().fallbacks == 0
    labelled.until(lambda: not contest.on_trial, seed=600)
    assert bench.trainer.learner.health().fallbacks == 1
    assert forest_of(bench.trainer.learner.panel()) == forest_of(contest.champion) != bad.version


@pytest.mark.usefixtures("champion")
def test_better_trees_are_promoted_by_labels_alone(
    bench: Bench, labelled: Labelled, address: str, good: ForestState
) -> None:
    rows, fraud = made_up(8_000, seed=50)
    better = grow(rows, fraud, np.ones(len(rows)), seed=2, settings=DEFAULT_BOOSTING)
    before = sample("sluice_contests_total", outcome="promoted")
    old = bench.trainer.watch.contest.champion
    bench.trainer.adopt(better)
    assert better.version not in published(bench, address)
    labelled.until(lambda: not bench.trainer.watch.contest.on_trial, seed=200)
    assert sample("sluice_contests_total", outcome="promoted") == before + 1
    assert published(bench, address)[-1] == better.version
    assert forest_of(bench.trainer.watch.contest.rivals[Role.LAST_GOOD]) in {"", forest_of(old)}


def test_a_champion_gone_bad_falls_back_and_only_a_won_trial_ends_the_alarm(
    bench: Bench, labelled: Labelled, address: str, champion: TrainedPanel
) -> None:
    """Verdicts that say the opposite of the truth spoil what is learned online, until true ones come."""
    labelled.verdicts(300, seed=31, flip=True)
    bench.trainer.publish()
    spoiled = bench.trainer.watch.contest.champion
    assert spoiled.version != champion.version, "online learning serves at once"
    labelled.until(lambda: sample("sluice_drift_alarm", signal="fallback") == 1, seed=300)
    contest = bench.trainer.watch.contest
    assert contest.champion.version != spoiled.version
    assert contest.on_trial
    serving = contest.champion.version
    assert last_version(bench, address) == serving
    bench.trainer.save()
    bench.restart()
    assert sample("sluice_drift_alarm", signal="fallback") == 1, "a restart ends no alarm"
    bench.trainer.publish()
    assert last_version(bench, address) == serving, "what the spoiled learner learns is only compared"
    labelled.until(lambda: sample("sluice_drift_alarm", signal="fallback") == 0, seed=400)
    assert last_version(bench, address) == bench.trainer.watch.contest.champion.version != serving


@pytest.mark.usefixtures("champion")
def test_a_restart_during_a_trial_puts_nothing_into_service(
    bench: Bench, labelled: Labelled, address: str, bad: ForestState
) -> None:
    serving = forest_of(bench.trainer.watch.contest.champion)
    bench.trainer.adopt(bad)
    labelled.verdicts(100, seed=11)
    bench.trainer.save()
    bench.restart()
    contest = bench.trainer.watch.contest
    assert contest.on_trial
    assert forest_of(contest.champion) == serving
    bench.trainer.publish()
    assert published(bench, address)[-1] == serving
    labelled.until(lambda: not bench.trainer.watch.contest.on_trial, seed=500)
    assert bad.version not in published(bench, address)
