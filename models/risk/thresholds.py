"""From which risk on something is done: as many alerts as people can look at, stops that cost less than they save.

All numbers are ours. They are sections of the rule book (`RuleSettings`), so its version names them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from models.money.types import MAX_AMOUNT_FEN

Floats = npt.NDArray[np.float64]

Share = Annotated[float, Meta(gt=0.0, le=1.0)]
"""A risk, or a part of something; above 0."""

Transfers = Annotated[int, Meta(ge=1, le=1_000_000)]


class Bands(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Risks from which a transfer is watched, and stopped; raise `ValueError` unless watch <= stop."""

    watch: Annotated[Share, Meta(description="Watched from this risk on, until the alert budget says from where.")] = (
        0.5
    )
    stop: Annotated[Share, Meta(description="In the stop band from this risk on.")] = 0.8

    def __post_init__(self) -> None:
        if self.watch > self.stop:
            raise ValueError(f"watch {self.watch} is above stop {self.stop}")


class CostSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a wrong decision costs: a small sum is in the stop band only if a stop costs less than letting it go."""

    false_stop_fen: Annotated[
        int, Meta(gt=0, le=MAX_AMOUNT_FEN, description="Cost in fen of a stop that hits an honest customer.")
    ] = 20_000
    recoverable: Annotated[Share, Meta(description="Share of a fraud's amount that a stop would have saved.")] = 0.8


class AlertBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many transfers may be alerted (watched or in the stop band), and when that says something.

    Raise `ValueError` if the window never holds enough. The default share is the
    middle one of the budgets by which detection is judged (`docs/detection.md`).
    """

    share: Annotated[float, Meta(gt=0.0, le=0.5, description="Share of transfers that people can look at.")] = 0.005
    window: Annotated[Transfers, Meta(description="Latest transfers it is taken from; so it follows a drift.")] = 20_000
    least: Annotated[Transfers, Meta(description="No opinion on fewer transfers than these.")] = 2_000
    floor: Annotated[Share, Meta(description="Nothing below this risk is watched, however quiet the day.")] = 0.05

    def __post_init__(self) -> None:
        if self.least > self.window:
            raise ValueError(f"least {self.least} is above window {self.window}")


class AlertThreshold:
    """Follows the risks of live traffic and says from which one on the budget is spent."""

    def __init__(self, budget: AlertBudget) -> None:
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
