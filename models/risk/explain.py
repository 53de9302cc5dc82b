"""Why this risk: computed again from the recorded features and the named snapshot, and told feature by feature."""

from __future__ import annotations

from math import exp, log
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.assessment import Assessment
from models.risk.columns import FEATURE_INDEX, FEATURE_NAMES, FEATURE_SET
from models.risk.panel import (
    COLD_INTERCEPT,
    COLD_RULE,
    PANEL,
    RULE_FLOOR,
    RULE_INTERCEPT,
    RULE_SLOPE,
    Rows,
    TrainedPanel,
)
from models.risk.wording import COLUMNS, NAMES_ZH, in_words

RULE_RISK: Final = FEATURE_INDEX["rule_risk"]
MOST_CONTRIBUTIONS: Final = 8
SMALL: Final = 0.02
"""Contributions to the log-odds below this are not worth a sentence."""


class UnexplainableError(ValueError):
    """An assessment cannot be computed again: other features, or another panel than the one that made it."""


class Contribution(msgspec.Struct, frozen=True):
    """One feature's share in the log-odds of a risk: above 0 raises it. Texts hold usual and present value."""

    feature: str
    log_odds: float
    zh: str
    en: str


class Explanation(msgspec.Struct, frozen=True):
    """The risk as recorded and as computed again (before lists), and what made it, strongest first."""

    recorded: float
    recomputed: float
    panel: str
    contributions: tuple[Contribution, ...]

    @property
    def agrees(self) -> bool:
        """Whether the recorded features and the snapshot give the recorded risk, to the last digit."""
        return self.recorded == self.recomputed


def explain(assessment: Assessment, panel: TrainedPanel, *, most: int = MOST_CONTRIBUTIONS) -> Explanation:
    """Return the explanation of an assessment by the panel that made it; raise `UnexplainableError`.

    Parts of the linear detector and of the trees (Saabas) are exact; the label-free
    score is not a sum, so its part is shared out by each feature's surprise.
    """
    made = next((score for score in assessment.scores if score.name == PANEL), None)
    if assessment.feature_set != FEATURE_SET or len(assessment.features) != len(FEATURE_NAMES):
        raise UnexplainableError(f"features of set {assessment.feature_set!r}, code of {FEATURE_SET!r}")
    if made is None or made.version != panel.version:
        raise UnexplainableError(f"made by panel {made.version if made else 'rules-only'!r}, not by {panel.version!r}")
    row = np.array(assessment.features)
    recomputed = panel.score(row[None, :], row[None, RULE_RISK]).risks[0]
    parts = log_odds_parts(row, panel)
    order = np.argsort(-np.abs(parts), kind="stable")[:most]
    usual = panel.state.linear.means if panel.state.linear is not None else None
    told = [_contribution(int(place), parts, row, usual) for place in order if abs(parts[place]) >= SMALL]
    return Explanation(made.score, recomputed, panel.version, tuple(told))


def log_odds_parts(row: Rows, panel: TrainedPanel) -> npt.NDArray[np.float64]:
    """Return what each feature adds to the blended log-odds, against a usual transfer (features)."""
    weights = panel.state.blend.weights
    parts = weights[0] * _cold_parts(row, panel)
    if panel.linear is not None:
        parts = parts + weights[1] * panel.linear.parts(row[None, :])[0]
    if panel.forest is not None:
        parts = parts + weights[2] * panel.forest.parts(row)
    return np.asarray(parts)


def _cold_parts(row: Rows, panel: TrainedPanel) -> npt.NDArray[np.float64]:
    parts = np.zeros(len(row))
    risk = min(max(float(row[RULE_RISK]), RULE_FLOOR), 1.0 - RULE_FLOOR)
    rules = log(risk / (1.0 - risk)) - log(RULE_FLOOR / (1.0 - RULE_FLOOR))
    if panel.novelty is None:
        parts[RULE_RISK] = RULE_SLOPE * rules
        return parts
    surprises = panel.novelty.surprises(row[None, :])[0]
    novelty = float(panel.novelty.score(row[None, :])[0])
    floor = log(RULE_FLOOR / (1.0 - RULE_FLOOR))
    surprising = exp(COLD_INTERCEPT + COLD_RULE * (rules + floor) + novelty)
    share = surprising / (surprising + exp(RULE_INTERCEPT + RULE_SLOPE * (rules + floor)))
    if surprises.sum() > 0.0:
        parts[panel.novelty.columns] = share * novelty * surprises / surprises.sum()
    parts[RULE_RISK] += share * COLD_RULE * rules + (1.0 - share) * RULE_SLOPE * rules
    return parts


def _contribution(place: int, parts: Rows, row: Rows, usual: Rows | None) -> Contribution:
    column = COLUMNS[FEATURE_NAMES[place]]
    weight = float(parts[place])
    zh, en = in_words(column, float(row[place]))
    sense = ("升高", "raises") if weight > 0 else ("降低", "lowers")
    zh = f"{NAMES_ZH[column.name]}为{zh}"
    en = f"{column.meaning}: {en}"
    if usual is not None:
        usual_zh, usual_en = in_words(column, float(usual[place]))
        zh, en = f"{zh}（通常{usual_zh}）", f"{en} (usually {usual_en})"
    odds = exp(min(abs(weight), 20.0))
    return Contribution(
        column.name,
        round(weight, 4),
        f"{zh}，{sense[0]}风险{odds:.1f}倍",
        f"{en}, {sense[1]} the odds {odds:.1f} times",
    )
