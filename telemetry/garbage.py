"""How often a program on the critical path looks through its memory for cycles of garbage."""

from __future__ import annotations

import gc
from typing import Final

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""A worker's profiles and an api's routes are many and stay: looking through them often would be the longest pauses."""


def collect_rarely() -> None:
    """Clear what the start left, set aside what stays, and from now on look for cycles rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
