"""Bounds of what a world may be asked for; apart from the settings, so that the command line can say them at once."""

from __future__ import annotations

from typing import Final

MAX_SEED: Final = 2**31 - 1
"""Numpy takes no seed below 0, scikit-learn none from 2**32 on; the other half is for the refits, which count up."""

MIN_CUSTOMERS: Final = 100
MAX_CUSTOMERS: Final = 1_000_000

MAX_DAYS: Final = 3_660
"""Longest world, some ten years."""

MAX_HISTORY_DAYS: Final = 60
"""Longest time that people have lived in a world before its start."""

MAX_FRAUD_SHARE: Final = 0.2
