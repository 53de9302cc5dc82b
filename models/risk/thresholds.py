"""From which risk on something is done: as many alerts as people can look at, stops that cost less than they save."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class CostSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision costs, in fen (ours; a bank sets its own).

    A stop that hits an honest customer costs ``false_stop_fen``; a missed fraud
    costs the share ``recoverable`` of the amount that a stop would have saved.
    """

    false_stop_fen: int = 20_000
    recoverable: float = 0.8


class AlertBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How many transfers may be alerted (watched or in the stop band), and when that says something (all ours)."""

    share: float = 0.005
    """The middle one of the budgets by which detection is judged (detection.md)."""
    window: int = 20_000
    """Latest transfers that the threshold is taken from, so that it follows a drift."""
    least: int = 2_000
    """No opinion on fewer."""
    floor: float = 0.05
    """Never watch below this risk, however quiet the day."""


DEFAULT_COSTS: Final = CostSettings()
DEFAULT_BUDGET: Final = AlertBudget()


class AlertThreshold:
    """Follows the risks of live traffic and says from which one on the budget is spent."""

    def __init__(self, budget: AlertBudget = DEFAULT_BUDGET) -> None:
        self._budget = budget
        self._risks: deque[float] = deque(maxlen=budget.window)

    def observe(self, risks: Iterable[float]) -> None:
        """Take the risks of transfers, in the order they were scored."""
        self._risks.extend(risks)

    def watch_from(self, *, at_most: float) -> float | None:
        """Return the risk from which to watch, within the floor and ``at_most``; ``None`` before enough was seen."""
        if len(self._risks) < self._budget.least:
            return None
        threshold = threshold_for_budget(np.array(self._risks), self._budget.share)
        return min(max(threshold, self._budget.floor), at_most)


def threshold_for_budget(risks: Floats, budget: float) -> float:
    """Return the risk from which on a share ``budget`` of these transfers is alerted.

    >>> threshold_for_budget(np.array([0.1, 0.2, 0.3, 0.9]), 0.25)
    0.9
    """
    if not len(risks):
        return 1.0
    count = max(int(len(risks) * budget), 1)
    return float(np.partition(risks, len(risks) - count)[len(risks) - count])


def threshold_for_cost(amount_fen: int, costs: CostSettings) -> float:
    """Return the risk above which stopping this amount costs less than letting it go.

    Stop when ``risk * recoverable * amount > (1 - risk) * false_stop`` (Elkan 2001).

    >>> threshold_for_cost(100_000, CostSettings(false_stop_fen=20_000, recoverable=0.8))
    0.2
    """
    saved = costs.recoverable * amount_fen
    return costs.false_stop_fen / (costs.false_stop_fen + saved)


def amount_worth_a_stop(risk: float, costs: CostSettings) -> float:
    """Return the amount in fen from which on a stop at this risk (0-1, not 0) pays: `threshold_for_cost` turned round.

    >>> round(amount_worth_a_stop(0.2, CostSettings(false_stop_fen=20_000, recoverable=0.8)))
    100000
    """
    return costs.false_stop_fen * (1.0 - risk) / (risk * costs.recoverable)
