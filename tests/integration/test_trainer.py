"""The trainer on a broker: what it learns, what it publishes, and that it goes on where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from models.money.types import LATEST_US, account_id
from models.risk.assessment import Band
from models.risk.features import FEATURE_NAMES
from models.risk.panel import panel_from_snapshot
from models.risk.rules.settings import DEFAULT_RULES, rules_from_mapping
from models.signing import verify_snapshot
from models.wire import ControlEntry, Topic, VerdictLabel, decode_snapshot
from telemetry.metrics import DRIFT_ALARM
from tests.streamkit import WAIT_S, Eye, dead_letters
from tests.trainerkit import (
    DAY_US,
    KEY,
    NEVER,
    Bench,
    assessment,
    embedded,
    send,
    send_assessments,
    send_controls,
    send_verdicts,
    verdict,
)


@pytest.fixture
def address() -> Iterator[str]:
    yield from embedded()


@pytest.fixture
def bench(address: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(address, tmp_path)
    yield made
    made.trainer.close()


def test_it_learns_verdicts_as_they_say_and_the_undoubted_when_they_have_matured(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(10)] + [assessment(10, Band.STOP)])
    bench.read(Topic.ASSESSMENTS, 11)
    send_verdicts(address, [verdict(0, VerdictLabel.FRAUD), verdict(1, VerdictLabel.HONEST)])
    bench.read(Topic.VERDICTS, 2)
    assert bench.learned == {"fraud": 1, "honest": 1}
    bench.clock.advance(2 * DAY_US)
    bench.trainer.step()
    assert bench.learned == {"fraud": 1, "honest": 9}
    send_verdicts(address, [verdict(10, VerdictLabel.FRAUD), verdict(0, VerdictLabel.FRAUD)])
    bench.read(Topic.VERDICTS, 4)
    assert bench.learned == {"fraud": 2, "honest": 9}


@pytest.mark.parametrize("days", [0.5, 3])
def test_a_changed_maturity_holds_after_a_restart_for_what_waits_as_well(
    bench: Bench, address: str, days: float
) -> None:
    send_assessments(address, [assessment(0)])
    bench.read(Topic.ASSESSMENTS, 1)
    bench.trainer.save()
    bench.settings = bench.settings.model_copy(update={"maturity_s": days * 86_400})
    bench.restart()
    send_assessments(address, [assessment(1)])
    bench.read(Topic.ASSESSMENTS, 2)
    bench.clock.advance(int(days * DAY_US))
    bench.trainer.step()
    assert bench.learned["honest"] == 1, "the first one has just matured, the second happened a second later"
    bench.clock.advance(1_000_000)
    bench.trainer.step()
    assert bench.learned["honest"] == 2


def test_nothing_matures_before_all_verdicts_are_read(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(0)])
    bench.read(Topic.ASSESSMENTS, 1)
    bench.trainer.save()
    bench.clock.advance(2 * DAY_US)
    send_verdicts(address, [verdict(1, VerdictLabel.FRAUD)])
    bench.restart()
    assert bench.learned == {"fraud": 1, "honest": 0}, "a verdict on what waits might be the next to come"
    bench.trainer.step()
    assert bench.learned == {"fraud": 1, "honest": 1}


def taught(bench: Bench) -> list[bool]:
    """Return the labels that the next trees would be fitted to."""
    return sorted(bench.trainer.learner.refit_job(0).fraud.tolist())


def test_a_fraud_that_is_found_late_is_no_longer_learned_as_honest(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(3)])
    bench.read(Topic.ASSESSMENTS, 3)
    bench.clock.advance(2 * DAY_US)
    bench.trainer.step()
    assert bench.learned == {"fraud": 0, "honest": 3}
    bench.trainer.save()
    bench.restart()
    send_verdicts(address, [verdict(1, VerdictLabel.FRAUD, source="victim_report")])
    bench.read(Topic.VERDICTS, 1)
    assert bench.learned == {"fraud": 1, "honest": 2}
    assert taught(bench) == [False, False, True]
    send_verdicts(address, [verdict(1, VerdictLabel.HONEST), verdict(1, VerdictLabel.FRAUD, source="victim_report")])
    bench.read(Topic.VERDICTS, 3)
    assert bench.learned == {"fraud": 0, "honest": 3}, "the analyst counts more, though the victim spoke last"
    assert taught(bench) == [False] * 3


def test_a_late_fraud_with_features_of_another_release_still_takes_the_honest_label_back(
    bench: Bench, address: str
) -> None:
    send_assessments(address, [assessment(n) for n in range(2)])
    bench.read(Topic.ASSESSMENTS, 2)
    bench.clock.advance(2 * DAY_US)
    bench.trainer.step()
    send_verdicts(address, [verdict(1, VerdictLabel.FRAUD, features=[1.0])])
    bench.read(Topic.VERDICTS, 1)
    assert bench.learned == {"fraud": 0, "honest": 1}


def test_credits_of_an_account_in_doubt_mature_only_once_the_doubt_proves_unfounded(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(1, payee="MULE"), assessment(2, payee="SHOP")])
    bench.read(Topic.ASSESSMENTS, 2)
    mule = account_id("ccb", "MULE")
    send_controls(address, [ControlEntry(account=mule, doubted_until_us=LATEST_US)])
    bench.until_in_doubt(mule, doubted=True)
    bench.clock.advance(2 * DAY_US)
    bench.trainer.step()
    assert bench.learned == {"fraud": 0, "honest": 1}
    bench.trainer.save()
    bench.restart()
    bench.clock.advance(2 * DAY_US)
    bench.trainer.step()
    assert bench.learned == {"fraud": 0, "honest": 1}, "a trainer knows of the doubt before anything matures"
    send_controls(address, [ControlEntry(account=mule)])
    bench.until_in_doubt(mule, doubted=False)
    bench.clock.advance(DAY_US)
    bench.trainer.step()
    assert bench.learned == {"fraud": 0, "honest": 2}


def test_beginning_again_goes_on_following_the_controls(bench: Bench, address: str) -> None:
    account = account_id("ccb", "MULE")
    bench.trainer.begin(NEVER)
    send_controls(address, [ControlEntry(account=account, doubted_until_us=LATEST_US)])
    bench.until_in_doubt(account, doubted=True)


def test_verdicts_are_read_before_anything_old_can_count_as_honest(address: str, tmp_path: Path) -> None:
    send_assessments(address, [assessment(n) for n in range(5)])
    send_verdicts(address, [verdict(n, VerdictLabel.FRAUD) for n in range(5)])
    bench = Bench(address, tmp_path)
    bench.clock.advance(30 * DAY_US)
    bench.read(Topic.ASSESSMENTS, 5)
    assert bench.learned == {"fraud": 5, "honest": 0}
    bench.trainer.close()


def test_it_publishes_a_signed_snapshot_once_for_each_change(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(50)])
    bench.read(Topic.ASSESSMENTS, 50)
    bench.trainer.publish()
    bench.trainer.publish()
    bench.trainer._producer.flush(WAIT_S)
    for topic in (Topic.SNAPSHOTS, Topic.MODELS):
        eye = Eye(address, topic, decode_snapshot)
        (record,) = eye.settle()
        verify_snapshot(record, key=KEY.encode())
        assert panel_from_snapshot(record.payload).version == record.version == bench.trainer.learner.panel().version
        eye.close()


def test_the_alert_budget_sets_from_where_workers_watch(bench: Bench, address: str) -> None:
    risky = range(0, 3_000, 300)
    sent = [msgspec.structs.replace(assessment(n), risk=0.6 if n in risky else 0.01) for n in range(3_000)]
    send_assessments(address, sent[:1_000])
    bench.read(Topic.ASSESSMENTS, 1_000)
    bench.trainer.publish()
    assert bench.trainer.watch.contest.champion.watch_from is None, "too few have been seen for an opinion"
    send_assessments(address, sent[1_000:])
    bench.read(Topic.ASSESSMENTS, 3_000)
    bench.trainer.publish()
    bench.trainer._producer.flush(WAIT_S)
    eye = Eye(address, Topic.MODELS, decode_snapshot)
    served = panel_from_snapshot(eye.settle()[-1].payload)
    eye.close()
    budget = DEFAULT_RULES.alerts
    assert served.watch_from == budget.floor, "10 of 3,000 are risky, 15 may be alerted: the rest is below it"
    risks = np.array([item.risk for item in sent])
    assert (risks >= served.watch_from).mean() <= budget.share


def test_alert_budget_and_stop_band_are_those_of_the_file_of_rules(bench: Bench, address: str) -> None:
    bench.rules = rules_from_mapping({"bands": {"watch": 0.2, "stop": 0.4}, "alerts": {"least": 100}})
    bench.start()
    send_assessments(address, [msgspec.structs.replace(assessment(n), risk=0.6) for n in range(100)])
    bench.read(Topic.ASSESSMENTS, 100)
    bench.trainer.publish()
    assert bench.trainer.watch.contest.champion.watch_from == 0.4


def test_started_again_it_goes_on_where_it_was(bench: Bench, address: str) -> None:
    send_assessments(address, [assessment(n) for n in range(30)])
    bench.read(Topic.ASSESSMENTS, 30)
    send_verdicts(address, [verdict(n, VerdictLabel.FRAUD) for n in range(3)])
    bench.read(Topic.VERDICTS, 3)
    bench.trainer.save()
    before = bench.trainer.learner.panel().version
    bench.restart()
    assert bench.trainer.learner.panel().version == before
    assert bench.learned == {"fraud": 3, "honest": 0}
    bench.clock.advance(2 * DAY_US)
    send_assessments(address, [assessment(30)])
    bench.read(Topic.ASSESSMENTS, 31)
    assert bench.learned == {"fraud": 3, "honest": 28}


def inputs_alarm() -> float | None:
    return REGISTRY.get_sample_value("sluice_drift_alarm", {"signal": "inputs"})


def stream_inputs(bench: Bench, address: str, first: int, count: int, *, shift: float) -> None:
    """Send live transfers with the first features moved by ``shift``, as few at a time as the broker keeps."""
    for start in range(first, first + count, 1_000):
        features = np.random.default_rng(start).normal(size=(1_000, len(FEATURE_NAMES))).round(3)
        features[:, :20] += shift
        send_assessments(address, [assessment(start + n, features=row) for n, row in enumerate(features.tolist())])
        bench.read(Topic.ASSESSMENTS, start + 1_000)


def test_inputs_that_shift_before_there_are_trees_alarm_until_an_operator_accepts_them(
    bench: Bench, address: str
) -> None:
    assert inputs_alarm() == 0, "the series exists from the beginning"
    stream_inputs(bench, address, 0, 9_000, shift=0.0)
    bench.trainer.save()
    bench.start()
    stream_inputs(bench, address, 9_000, 5_000, shift=4.0)
    bench.trainer.publish()
    assert inputs_alarm() == 1, "the reference was saved"
    bench.trainer.save()
    DRIFT_ALARM.labels("inputs").set(0)
    bench.start()
    assert inputs_alarm() == 1, "a restart ends no alarm"
    stopping, accepting = threading.Event(), threading.Event()
    accepting.set()
    running = threading.Thread(target=bench.trainer.run, args=(stopping, accepting))
    running.start()
    deadline = time.monotonic() + WAIT_S
    while inputs_alarm() and time.monotonic() < deadline:
        time.sleep(0.02)
    stopping.set()
    running.join(WAIT_S)
    assert inputs_alarm() == 0
    bench.start()
    assert inputs_alarm() == 0, "and what was accepted is saved"


@pytest.mark.parametrize("damage", [b"", b"\x93 torn", b"\x81\xa6format\x01", b"\x81\xa6format\x02"])
def test_a_state_that_cannot_serve_means_learning_anew(
    bench: Bench, address: str, tmp_path: Path, damage: bytes
) -> None:
    send_assessments(address, [assessment(n) for n in range(5)])
    bench.read(Topic.ASSESSMENTS, 5)
    bench.trainer.save()
    (tmp_path / "trainer.state").write_bytes(damage)
    bench.restart()
    bench.read(Topic.ASSESSMENTS, 5)
    assert len(bench.trainer.labels.pending) == 5


def controls_passed_by() -> float:
    """Return how many bad controls were left to the workers' inspectors."""
    labels = {"topic": Topic.CONTROLS.value, "reason": "malformed"}
    return REGISTRY.get_sample_value("sluice_followed_unusable_total", labels) or 0.0


def test_poison_is_quarantined_and_other_features_are_left_out(bench: Bench, address: str) -> None:
    passed_by = controls_passed_by()
    send(address, Topic.VERDICTS, [("x", b"not json")])
    send(address, Topic.ASSESSMENTS, [("y", b"{}")])
    send(address, Topic.CONTROLS, [("z", b"{}")])
    send_verdicts(address, [verdict(1, VerdictLabel.FRAUD, features=[1.0])])
    bench.read(Topic.VERDICTS, 2)
    bench.read(Topic.ASSESSMENTS, 1)
    bench.trainer._producer.flush(WAIT_S)
    deadline = time.monotonic() + WAIT_S
    while controls_passed_by() == passed_by:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    eye = dead_letters(address)
    eye.until(lambda seen: len(seen) >= 2)
    assert sorted(letter.topic for letter in eye.settle()) == [Topic.ASSESSMENTS, Topic.VERDICTS]
    assert bench.learned == {"fraud": 0, "honest": 0}
    eye.close()
