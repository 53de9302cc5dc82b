"""What panels would have stopped is counted by the operator's own bands."""

from __future__ import annotations

import numpy as np

from models.risk.contest import Contest
from models.risk.features import rows_of
from models.risk.learning.learner import Learner
from models.risk.rules.settings import RuleSettings, rules_from_mapping
from stream.watch import Watch
from tests.learnkit import SMALL, made_up
from tests.trainerkit import START_US, assessment

CERTAIN = rules_from_mapping({"bands": {"stop": 1.0}})
ANY_RISK = rules_from_mapping(
    {"bands": {"watch": 1e-9, "stop": 1e-9}, "alerts": {"floor": 1e-9}, "costs": {"false_stop_fen": 1}}
)


def stops(rules: RuleSettings) -> tuple[int, int]:
    rows, _ = made_up(20, seed=1, fraud_share=0.0)
    panel = Learner(seed=1, settings=SMALL).panel()
    watch = Watch(Contest(panel), rules)
    watch.challenge(panel, START_US)
    assessed = [assessment(number, features=row) for number, row in enumerate(np.round(rows, 4).tolist())]
    watch.observe(assessed, rows_of([each.features for each in assessed]))
    (rival,) = watch.report(START_US).rivals
    return rival.figures.champion_stops, rival.figures.rival_stops


def test_stops_follow_the_rules_in_force() -> None:
    assert stops(CERTAIN) == (0, 0)
    assert stops(ANY_RISK) == (20, 20)
