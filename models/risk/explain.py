"""Why this risk: computed again from the recorded features and the named snapshot, and told feature by feature.

The rules read facts, which are not recorded; what they made of them is, as the
feature ``rule_risk`` and as reasons. Everything after that is computed again.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.risk.assessment import AccountLists, Assessment, Band, Reason
from models.risk.cold import cold_parts
from models.risk.columns import FEATURE_INDEX, FEATURE_NAMES, FEATURE_SET, RULE_RISK
from models.risk.panel import PANEL, Rows, TrainedPanel
from models.risk.scorer import RULES_ONLY, Scorer
from models.risk.wording import COLUMNS, NAMES_ZH, in_words, time_in_words, usual_time_in_words

MOST_CONTRIBUTIONS: Final = 8
HOUR_SIN: Final = FEATURE_INDEX["hour_sin"]
HOUR_COS: Final = FEATURE_INDEX["hour_cos"]
"""The time of day is two features and one thing to a person."""

UNKNOWN: Final = ("未知", "not known yet")
"""In place of the usual value, before a panel has seen any transfer."""

MOST_TIMES: Final = 1_000
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


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One number as recorded and as computed again, with what made it; they must be equal to the last digit."""

    name: str
    version: str
    recorded: float
    recomputed: float

    @property
    def agrees(self) -> bool:
        """Whether both are equal."""
        return self.recorded == self.recomputed


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An assessment computed again: every detector's score, the risk after lists, and what made it, strongest first.

    The last of ``checks`` is the risk after lists; it is missing if an account was listed and the rule
    book of the assessment is not the one of this release, since lists raise risks by its weights.
    """

    panel: str
    checks: tuple[Check, ...]
    band: Band
    recomputed_band: Band | None
    contributions: tuple[Contribution, ...]
    reasons: tuple[Reason, ...]

    @property
    def complete(self) -> bool:
        """Whether the whole way from features to the band was computed again."""
        return self.recomputed_band is not None

    @property
    def agrees(self) -> bool:
        """Whether all that was computed again is what was recorded, and anything was."""
        same = self.recomputed_band in (None, self.band)
        return same and bool(self.checks) and all(check.agrees for check in self.checks)


def panel_named(assessment: Assessment) -> str | None:
    """Return the version of the panel that made an assessment, None if the rules alone did."""
    return next((score.version for score in assessment.scores if score.name == PANEL), None)


def explain(
    assessment: Assessment, panel: TrainedPanel | None, *, most: int = MOST_CONTRIBUTIONS, scorer: Scorer | None = None
) -> Explanation:
    """Return the explanation of an assessment by the panel that made it; raise `UnexplainableError`.

    ``panel`` is None for an assessment by rules alone. ``scorer`` holds the rule
    book and the bands, by default those of this release. Parts of the linear
    detector and of the trees (Saabas) are exact; the label-free score is not a sum,
    so its part is shared out by each feature's surprise.
    """
    if assessment.feature_set != FEATURE_SET or len(assessment.features) != len(FEATURE_NAMES):
        raise UnexplainableError(f"features of set {assessment.feature_set!r}, code of {FEATURE_SET!r}")
    version, made = panel_named(assessment) or RULES_ONLY.version, panel or RULES_ONLY
    if version != made.version:
        raise UnexplainableError(f"made by panel {version!r}, not by {made.version!r}")
    row = np.array(assessment.features)
    spoken = made.score(row[None, :], row[None, RULE_RISK])
    known = {score.name: score for score in spoken.scores[0]}
    checks = [
        Check(
            name=score.name,
            version=score.version,
            recorded=score.score,
            recomputed=known[score.name].score if score.name in known else float("nan"),
        )
        for score in assessment.scores
    ]
    final, band = _after_lists(assessment, spoken.risks[0], (scorer or Scorer()).with_panel(made))
    return Explanation(
        panel=version,
        checks=(*checks, *final),
        band=assessment.band,
        recomputed_band=band,
        contributions=() if panel is None else _contributions(row, panel, most),
        reasons=assessment.reasons,
    )


def _after_lists(assessment: Assessment, risk: float, scorer: Scorer) -> tuple[tuple[Check, ...], Band | None]:
    """Return the check of the risk after lists, and the band.

    Under another rule book there is no band, and where lists raised the risk by its weights no check.
    """
    same_book = assessment.rule_book == scorer.rule_book
    if not same_book and assessment.lists != AccountLists():
        return (), None
    listed, band, _ = scorer.decide(risk, assessment.lists, assessment.transfer.amount_fen)
    check = Check(name="risk", version=assessment.rule_book, recorded=assessment.risk, recomputed=listed)
    return (check,), band if same_book else None


def _contributions(row: Rows, panel: TrainedPanel, most: int) -> tuple[Contribution, ...]:
    parts = log_odds_parts(row, panel)
    parts[HOUR_SIN] += parts[HOUR_COS]
    parts[HOUR_COS] = 0.0
    order = np.argsort(-np.abs(parts), kind="stable")[:most]
    return tuple(_contribution(int(place), parts, row, panel.usual) for place in order if abs(parts[place]) >= SMALL)


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
    usual = np.zeros(len(row)) if panel.usual is None else panel.usual
    by_column = np.zeros(len(row))
    if panel.novelty is None:
        return cold_parts(row, usual, None, by_column)
    surprises, spoken = panel.novelty.surprises(row[None, :])[0], panel.novelty.score(row[None, :])
    if surprises.sum() > 0.0:
        by_column[panel.novelty.columns] = float(spoken[0]) * surprises / surprises.sum()
    return cold_parts(row, usual, spoken, by_column)


def _contribution(place: int, parts: Rows, row: Rows, usual: Rows | None) -> Contribution:
    column = COLUMNS[FEATURE_NAMES[place]]
    weight = float(parts[place])
    now_zh, now_en = _in_words(place, row)
    usual_zh, usual_en = UNKNOWN if usual is None else _in_words(place, usual, of_many=True)
    sense = ("升高", "raises") if weight > 0 else ("降低", "lowers")
    zh = f"{NAMES_ZH[column.name]}为{now_zh}（通常{usual_zh}）"
    en = f"{column.meaning}: {now_en} (usually {usual_en})"
    odds_zh, odds_en = _times(abs(weight))
    return Contribution(
        column.name, round(weight, 4), f"{zh}，{sense[0]}风险{odds_zh}", f"{en}, {sense[1]} the odds {odds_en}"
    )


def _in_words(place: int, row: Rows, *, of_many: bool = False) -> tuple[str, str]:
    """Return a feature's value in both languages; ``of_many``: the row holds means of many transfers."""
    if place != HOUR_SIN:
        return in_words(COLUMNS[FEATURE_NAMES[place]], float(row[place]))
    return (usual_time_in_words if of_many else time_in_words)(float(row[HOUR_SIN]), float(row[HOUR_COS]))


def _times(log_odds: float) -> tuple[str, str]:
    """Return a factor of odds in words; beyond `MOST_TIMES` the number would say nothing."""
    if log_odds > log(MOST_TIMES):
        return f"{MOST_TIMES}倍以上", f"more than {MOST_TIMES} times"
    return f"{exp(log_odds):.1f}倍", f"{exp(log_odds):.1f} times"
