"""Champion and challenger side by side on the same transfers: overlap, precision, and who would have been stopped."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

import msgspec

PENDING_KEPT: Final = 100_000
"""Differing or alerted transfers that wait for a label."""

DIFFERENCES_KEPT: Final = 100
"""Latest transfers that only one of both would have stopped."""


class ShadowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What both panels did at the stop threshold, and what labels said of it so far.

    ``overlap`` is stops of both over stops of either; precisions are over
    labelled stops only, ``None`` before the first.
    """

    transfers: int
    champion_stops: int
    challenger_stops: int
    both_stops: int
    overlap: float | None
    champion_precision: float | None
    challenger_precision: float | None
    only_challenger: tuple[str, ...]
    only_champion: tuple[str, ...]


class Shadow:
    """Counts what a challenger would have done on live traffic; it changes nothing."""

    def __init__(self, *, stop: float) -> None:
        self._stop = stop
        self._transfers = 0
        self._stops = {"champion": 0, "challenger": 0, "both": 0}
        self._labelled = {"champion": [0, 0], "challenger": [0, 0]}
        self._pending: OrderedDict[str, tuple[bool, bool]] = OrderedDict()
        self._only_challenger: deque[str] = deque(maxlen=DIFFERENCES_KEPT)
        self._only_champion: deque[str] = deque(maxlen=DIFFERENCES_KEPT)

    def observe(self, ids: Sequence[str], champion: Sequence[float], challenger: Sequence[float]) -> None:
        """Take transfer ids and both panels' risks (equal lengths)."""
        for transfer_id, held, tried in zip(ids, champion, challenger, strict=True):
            self._transfers += 1
            stops = (held >= self._stop, tried >= self._stop)
            if any(stops):
                self._note(transfer_id, stops)

    def learn(self, transfer_id: str, *, fraud: bool) -> None:
        """Take a label; one for a transfer that neither would have stopped changes nothing."""
        stops = self._pending.pop(transfer_id, (False, False))
        for name, stopped in zip(("champion", "challenger"), stops, strict=True):
            self._labelled[name][0] += stopped and fraud
            self._labelled[name][1] += stopped

    def figures(self) -> ShadowFigures:
        """Return the comparison so far."""
        held, tried, both = (self._stops[name] for name in ("champion", "challenger", "both"))
        either = held + tried - both
        return ShadowFigures(
            transfers=self._transfers,
            champion_stops=held,
            challenger_stops=tried,
            both_stops=both,
            overlap=both / either if either else None,
            champion_precision=self._precision("champion"),
            challenger_precision=self._precision("challenger"),
            only_challenger=tuple(self._only_challenger),
            only_champion=tuple(self._only_champion),
        )

    def _note(self, transfer_id: str, stops: tuple[bool, bool]) -> None:
        held, tried = stops
        self._stops["champion"] += held
        self._stops["challenger"] += tried
        self._stops["both"] += held and tried
        if held != tried:
            (self._only_champion if held else self._only_challenger).append(transfer_id)
        self._pending[transfer_id] = stops
        if len(self._pending) > PENDING_KEPT:
            self._pending.popitem(last=False)

    def _precision(self, name: str) -> float | None:
        true, labelled = self._labelled[name]
        return true / labelled if labelled else None
