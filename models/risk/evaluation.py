"""How good a ranking of transfers is: areas, recall at alert budgets, cases, money, calibration.

A *budget* is the share of all transfers that people can look at; the alerts
are the highest risks, ties in arrival order. Shares of fraud in test sets are
far above life's, so rankings carry over and precision does not.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BUDGETS: Final = {"0.1%": 0.001, "0.5%": 0.005, "1%": 0.01}
"""Alert budgets as shares of all transfers, by the name they have in results."""

MONEY_BUDGET: Final = "0.5%"
RESAMPLES: Final = 400
CALIBRATION_BINS: Final = 10
NO_CASE: Final = -1


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Scored transfers with what the judge knows of them; all arrays have length ``n``.

    ``risks`` 0-1, ``fraud`` the labels, ``amounts_fen`` integers, ``cases`` the
    ring of each fraud row (`NO_CASE` where unknown or honest), ``typologies`` names.
    """

    risks: Floats
    fraud: Bools
    amounts_fen: Ints
    cases: Ints
    typologies: npt.NDArray[np.str_]

    def part(self, start: int) -> Judged:
        """Return the rows from ``start`` on."""
        fields = {name: getattr(self, name)[start:] for name in self.__struct_fields__}
        return Judged(**fields)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of one ranking; shares by budget where a dict. ``None``: not defined on these rows."""

    auc_pr: float | None
    auc_pr_ci95: tuple[float, float] | None
    roc_auc: float | None
    recall: dict[str, float | None]
    precision: dict[str, float | None]
    case_recall: dict[str, float | None]
    money_recall: dict[str, float | None]


class TypologyFigures(msgspec.Struct, frozen=True):
    """How much of one kind of fraud is within the budgets set over all transfers."""

    rows: int
    recall: dict[str, float | None]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a risk means what it says.

    ``ece`` is the expected calibration error over `CALIBRATION_BINS` equally
    wide bins (Naeini et al. 2015); ``bins`` holds (mean risk, share of fraud, rows).
    """

    brier: float | None
    ece: float | None
    bins: tuple[tuple[float, float, int], ...] = ()


def alert_order(risks: Floats) -> npt.NDArray[np.intp]:
    """Return row numbers by falling risk, ties in arrival order.

    >>> alert_order(np.array([0.2, 0.9, 0.2])).tolist()
    [1, 0, 2]
    """
    return np.argsort(-risks, kind="stable")


def alerts(risks: Floats, budget: float) -> Bools:
    """Return which rows are alerted when people look at a ``budget`` share of all rows."""
    chosen = np.zeros(len(risks), dtype=bool)
    chosen[alert_order(risks)[: int(len(risks) * budget)]] = True
    return chosen


def figures(judged: Judged, *, seed: int) -> Figures:
    """Return every figure of a ranking; ``seed`` drives the resampling of cases."""
    picked = {name: alerts(judged.risks, budget) for name, budget in BUDGETS.items()}
    named = bool((judged.cases != NO_CASE).any())
    any_fraud = bool(judged.fraud.any())
    both_kinds = any_fraud and not judged.fraud.all()
    return Figures(
        auc_pr=_rounded(average_precision_score(judged.fraud, judged.risks)) if both_kinds else None,
        auc_pr_ci95=auc_pr_interval(judged, seed=seed) if both_kinds else None,
        roc_auc=_rounded(roc_auc_score(judged.fraud, judged.risks)) if both_kinds else None,
        recall={name: share(judged.fraud & hit, judged.fraud) for name, hit in picked.items()},
        precision={name: share(judged.fraud & hit, hit) if any_fraud else None for name, hit in picked.items()},
        case_recall={name: case_recall(judged, hit) for name, hit in picked.items()} if named else {},
        money_recall={name: money_recall(judged, hit) for name, hit in picked.items()},
    )


def typology_figures(judged: Judged) -> dict[str, TypologyFigures]:
    """Return recall of each typology at the budgets over all rows."""
    picked = {name: alerts(judged.risks, budget) for name, budget in BUDGETS.items()}
    out: dict[str, TypologyFigures] = {}
    for typology in sorted({str(name) for name in judged.typologies[judged.fraud]}):
        member = judged.fraud & (judged.typologies == typology)
        recall = {name: share(member & hit, member) for name, hit in picked.items()}
        out[typology or "unnamed"] = TypologyFigures(rows=int(member.sum()), recall=recall)
    return out


def share(part: Bools, whole: Bools) -> float | None:
    """Return how large a share ``part`` is of ``whole``; ``None`` of nothing.

    >>> share(np.array([True, False]), np.array([True, True]))
    0.5
    """
    return _ratio(int(part.sum()), int(whole.sum()))


def case_recall(judged: Judged, hit: Bools) -> float | None:
    """Return the share of cases with at least one alerted fraud row; ``None`` without cases."""
    known = judged.fraud & (judged.cases != NO_CASE)
    return _ratio(len(np.unique(judged.cases[known & hit])), len(np.unique(judged.cases[known])))


def money_recall(judged: Judged, hit: Bools) -> float | None:
    """Return the share of fraud money in the alerted rows; ``None`` without fraud."""
    return _ratio(int(judged.amounts_fen[judged.fraud & hit].sum()), int(judged.amounts_fen[judged.fraud].sum()))


def auc_pr_interval(judged: Judged, *, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % interval of the average precision when cases are drawn anew.

    Whole cases are resampled with replacement (a set may hold only 30 of them);
    a fraud row without a case stands for itself. Honest rows stay as they are.
    """
    order = alert_order(judged.risks)
    fraud = judged.fraud[order]
    ends = np.searchsorted(-judged.risks[order], -judged.risks[order][fraud], side="right")
    false_until = np.cumsum(~fraud, dtype=np.int64)[ends - 1]
    case_of_row = _case_numbers(judged.cases[order][fraud])
    count = int(case_of_row.max()) + 1
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.int64)
    last_of_tie = np.searchsorted(ends, ends, side="right") - 1
    values = [_weighted_precision(draw[case_of_row], false_until, last_of_tie) for draw in draws]
    low, high = np.quantile([value for value in values if value is not None], [0.025, 0.975])
    return _rounded(low), _rounded(high)


def calibration(judged: Judged) -> Calibration:
    """Return Brier score, expected calibration error and the bins behind it."""
    if not len(judged.risks):
        return Calibration(brier=None, ece=None)
    places = np.minimum((judged.risks * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    bins: list[tuple[float, float, int]] = []
    for place in range(CALIBRATION_BINS):
        inside = places == place
        if inside.any():
            bins.append((float(judged.risks[inside].mean()), float(judged.fraud[inside].mean()), int(inside.sum())))
    gap = sum(abs(risk - rate) * rows for risk, rate, rows in bins) / len(judged.risks)
    return Calibration(
        brier=round(float(brier_score_loss(judged.fraud, judged.risks)), 6), ece=round(gap, 6), bins=tuple(bins)
    )


def precision_recall_points(judged: Judged, points: int = 200) -> list[tuple[float, float]]:
    """Return at most about ``points`` points (recall, precision) of the curve, for drawing."""
    if not judged.fraud.any():
        return []
    precision, recall, _ = precision_recall_curve(judged.fraud, judged.risks)
    places = np.unique(np.searchsorted(-recall, -np.linspace(1.0, 0.0, points)).clip(max=len(recall) - 1))
    return [(float(recall[place]), float(precision[place])) for place in places]


def recall_by_budget(judged: Judged, budgets: Floats) -> list[tuple[float, float]]:
    """Return (budget, recall) for drawing; budgets are shares of all rows."""
    found = np.concatenate(([0], np.cumsum(judged.fraud[alert_order(judged.risks)])))
    total = max(int(found[-1]), 1)
    return [(float(budget), float(found[int(len(judged.risks) * budget)] / total)) for budget in budgets]


def _case_numbers(cases: Ints) -> Ints:
    """Number the cases 0, 1, ...; each row without one gets a number of its own."""
    lonely = cases == NO_CASE
    own = cases.copy()
    own[lonely] = -2 - np.arange(int(lonely.sum()))
    return np.unique(own, return_inverse=True)[1].astype(np.int64)


def _weighted_precision(weights: Ints, false_until: Ints, last_of_tie: npt.NDArray[np.intp]) -> float | None:
    """Average precision with a weight for each fraud row, rows by falling risk."""
    found = np.cumsum(weights)
    if found[-1] == 0:
        return None
    at_tie = found[last_of_tie].astype(np.float64)
    precision = np.divide(at_tie, at_tie + false_until, out=np.zeros_like(at_tie), where=at_tie > 0)
    return float((precision * weights).sum() / found[-1])


def _ratio(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float) -> float:
    return round(float(value), 4)
