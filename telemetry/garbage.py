"""How often a program that scores looks through its memory for cycles of garbage."""

from __future__ import annotations

import gc
from typing import Final

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Profiles are many and without cycles: looking through all of them often would be the longest pauses."""


def collect_rarely() -> None:
    """Clear what the start left, set aside what stays, and from now on look for cycles rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
