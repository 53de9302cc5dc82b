"""Where the stages' time goes, by module: cProfile's shares, scaled to the time without the profiler.

The profiler makes calls dear, so its times are too long and modules of many
small functions get too large a share; read it as a map, not as a scale.
"""

from __future__ import annotations

import cProfile
import pstats
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
BUILT_IN: Final = "~"
OTHERS: Final = "other"
BYTES: Final = "msgspec: bytes <-> records"

Key = tuple[str, int, str]


def profile(work: Callable[[], object]) -> dict[str, float]:
    """Return seconds of own time by module of ours; built-in calls count for whoever made them, but for msgspec's."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats: Any = pstats.Stats(profiler)
    return areas(stats.stats)


def areas(stats: Mapping[Key, Any]) -> dict[str, float]:
    """Return the seconds of ``pstats.Stats.stats`` by area, largest first."""
    found: dict[str, float] = defaultdict(float)
    for key, (_, _, own_s, _, callers) in stats.items():
        if key[0] != BUILT_IN or not callers:
            found[area_of(key)] += own_s
        elif "msgspec" in key[2]:
            found[BYTES] += own_s
        else:
            for caller, (_, _, share_s, _) in callers.items():
                found[area_of(caller)] += share_s
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def area_of(key: Key) -> str:
    """Return the module of a function of ours, else `OTHERS`.

    >>> area_of((str(ROOT / "models" / "risk" / "facts.py"), 1, "f"))
    'models/risk/facts'
    """
    path = Path(key[0])
    if not path.is_relative_to(ROOT) or "site-packages" in path.parts:
        return OTHERS
    return path.relative_to(ROOT).with_suffix("").as_posix()


def scaled_us(seconds: Mapping[str, float], total_us: float, least_us: float) -> dict[str, float]:
    """Return areas in microseconds that sum to ``total_us``; those below ``least_us`` are put together.

    >>> scaled_us({"a": 3.0, "b": 0.9, "c": 0.1}, 40.0, 5.0)
    {'a': 30.0, 'b': 9.0, 'other': 1.0}
    """
    scale = total_us / sum(seconds.values())
    found: dict[str, float] = {}
    rest = 0.0
    for area, spent_s in seconds.items():
        if area == OTHERS or spent_s * scale < least_us:
            rest += spent_s * scale
        else:
            found[area] = round(spent_s * scale, 2)
    return {**found, OTHERS: round(rest, 2)}
