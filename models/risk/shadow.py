"""Champion and a rival side by side on the same transfers: overlap, precision, and who would have been stopped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

PENDING_KEPT: Final = 100_000
"""Transfers that either would have stopped and that wait for a label."""

DIFFERENCES_KEPT: Final = 100
"""Latest transfers that only one of both would have stopped, of each kind."""

SIDES: Final = ("champion", "rival")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer in the eyes of both: risks after lists, and whether each would have stopped it."""

    transfer_id: str
    occurred_us: int
    amount_fen: int
    champion_risk: float
    rival_risk: float
    champion_stops: bool
    rival_stops: bool


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer that only one of both would have stopped; ``label`` is empty until somebody has judged it."""

    transfer_id: str
    occurred_us: int
    amount_fen: int
    champion_risk: float
    rival_risk: float
    label: str = ""


class ShadowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What both panels did at the stop threshold, and what labels said of it so far.

    ``overlap`` is stops of both over stops of either; precisions are over
    labelled stops only, ``None`` before the first. Lists are of the latest, oldest first.
    """

    transfers: int
    champion_stops: int
    rival_stops: int
    both_stops: int
    overlap: float | None
    champion_precision: float | None
    rival_precision: float | None
    only_rival: tuple[Difference, ...]
    only_champion: tuple[Difference, ...]


class Tally(msgspec.Struct):
    """Labelled stops of one side."""

    fraud: int = 0
    honest: int = 0

    @property
    def precision(self) -> float | None:
        """Share of fraud, None before the first label."""
        total = self.fraud + self.honest
        return self.fraud / total if total else None


class Shadow:
    """Counts what a rival would have done on live traffic; it changes nothing."""

    def __init__(self) -> None:
        self.transfers = 0
        self.stops = {"champion_only": 0, "rival_only": 0, "both": 0}
        self.labelled = {side: Tally() for side in SIDES}
        self._pending: OrderedDict[str, tuple[bool, bool]] = OrderedDict()
        self._differences: dict[str, OrderedDict[str, Difference]] = {side: OrderedDict() for side in SIDES}

    def observe(self, seen: Sequence[Seen]) -> None:
        """Take transfers as both saw them."""
        self.transfers += len(seen)
        for each in seen:
            if each.champion_stops or each.rival_stops:
                self._note(each)

    def learn(self, transfer_id: str, *, fraud: bool) -> None:
        """Take a label; one for a transfer that neither would have stopped changes nothing."""
        for side, stopped in zip(SIDES, self._pending.pop(transfer_id, (False, False)), strict=True):
            if stopped and fraud:
                self.labelled[side].fraud += 1
            elif stopped:
                self.labelled[side].honest += 1
        for known in self._differences.values():
            if transfer_id in known:
                label = "fraud" if fraud else "honest"
                known[transfer_id] = msgspec.structs.replace(known[transfer_id], label=label)

    def figures(self) -> ShadowFigures:
        """Return the comparison so far."""
        both, either = self.stops["both"], sum(self.stops.values())
        return ShadowFigures(
            transfers=self.transfers,
            champion_stops=self.stops["champion_only"] + both,
            rival_stops=self.stops["rival_only"] + both,
            both_stops=both,
            overlap=both / either if either else None,
            champion_precision=self.labelled["champion"].precision,
            rival_precision=self.labelled["rival"].precision,
            only_rival=tuple(self._differences["rival"].values()),
            only_champion=tuple(self._differences["champion"].values()),
        )

    def _note(self, seen: Seen) -> None:
        if seen.transfer_id in self._pending:
            return
        stops = (seen.champion_stops, seen.rival_stops)
        if all(stops):
            self.stops["both"] += 1
        else:
            side = "champion" if seen.champion_stops else "rival"
            self.stops[f"{side}_only"] += 1
            _keep(self._differences[side], seen.transfer_id, _difference(seen), DIFFERENCES_KEPT)
        _keep(self._pending, seen.transfer_id, stops, PENDING_KEPT)


def _difference(seen: Seen) -> Difference:
    return Difference(
        transfer_id=seen.transfer_id,
        occurred_us=seen.occurred_us,
        amount_fen=seen.amount_fen,
        champion_risk=seen.champion_risk,
        rival_risk=seen.rival_risk,
    )


def _keep(kept: OrderedDict[str, T], key: str, value: T, limit: int) -> None:
    kept[key] = value
    if len(kept) > limit:
        kept.popitem(last=False)
