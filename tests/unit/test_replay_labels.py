"""Who gets a label in a replay, and when it becomes known."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.labels import LabelQueue, Labels, Proven, Selection, Told, told_of
from simulators.plan import DAY_US
from simulators.replay_engine import Engine, EngineSettings
from simulators.transferfile import FileRow
from tests.transfers import HOUR_US, NOON_US, pay

IDS = [f"t{number}" for number in range(20_000)]
CHOSEN = Selection(reported=0.3, sampled=0.02, reported_after_us=5 * DAY_US)


def told(transfer_id: str, selection: Selection | None, *, fraud: bool = False, alerted: bool = False) -> Told:
    return told_of(transfer_id, selection, fraud=fraud, alerted=alerted, looked_after_us=DAY_US)


def test_without_a_selection_everything_is_looked_at_after_the_delay():
    assert {told(name, None, fraud=fraud) for name in IDS[:50] for fraud in (True, False)} == {Told(1.0, DAY_US)}


def test_alerts_are_looked_at_whatever_they_are():
    assert {told(name, CHOSEN, fraud=fraud, alerted=True) for name in IDS[:50] for fraud in (True, False)} == {
        Told(1.0, DAY_US)
    }


def test_of_the_honest_only_those_drawn_by_lot_are_known_and_stand_for_the_others():
    each = [told(name, CHOSEN) for name in IDS]
    assert {one.weight for one in each} == {0.0, 50.0}
    assert not any(one.by_victim for one in each)
    assert np.mean([one.weight for one in each]) == pytest.approx(1.0, abs=0.15)


def test_victims_report_some_missed_frauds_in_their_own_time_and_the_lot_finds_some_of_the_rest():
    each = [told(name, CHOSEN, fraud=True) for name in IDS]
    reported = [one for one in each if one.by_victim]
    assert set(reported) == {Told(1.0, 5 * DAY_US, by_victim=True)}
    assert len(reported) / len(each) == pytest.approx(0.3, abs=0.02)
    assert any(one.weight == 50.0 and one.after_us == DAY_US for one in each)


def labels(*due_us: int) -> Labels:
    count = len(due_us)
    return Labels(np.array(due_us, np.int64), np.zeros((count, 1)), np.zeros(count, bool), np.ones(count))


def test_labels_come_out_when_due_and_once():
    queue = LabelQueue()
    queue.put(labels(10, 20))
    queue.put(labels(30))
    assert [part.due_us.tolist() for part in queue.due(25)] == [[10, 20]]
    assert [part.due_us.tolist() for part in queue.due(30)] == [[30]]
    assert queue.due(99) == []


def test_a_fraud_known_sooner_is_proven_sooner_though_it_came_later():
    proven, transfer = Proven(), pay("victim", "mule", 1)
    proven.put(100, transfer)
    proven.put(50, transfer)
    assert [proven.lists(transfer.payer, transfer.payee, now).payee_proven_received for now in (49, 50, 99, 100)] == [
        0,
        1,
        1,
        2,
    ]


def test_a_slow_victim_holds_up_nobody_elses_label():
    """A report due in months waits; the look at a later transfer does not wait behind it."""
    rows = [
        FileRow(pay("a", f"p{n}", 10 + n, at_us=NOON_US + n * 60_000_000, name=f"t{n}"), n % 10 == 0, "")
        for n in range(2_000)
    ]
    settings = EngineSettings(
        labels_delay_us=HOUR_US,
        seed=1,
        selection=Selection(reported=1.0, reported_after_us=90 * DAY_US, sampled=0.2),
    )
    engine = Engine(settings)
    engine.run(rows, lambda _: None)
    learned = engine.health.learned
    assert learned["honest"] > 200
    assert learned["fraud"] < 50, "only the alerted ones: nobody has reported yet"
