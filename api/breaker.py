"""A circuit breaker: after failures in a row a bank is left alone for a while, then tried with one call.

Pure: wall time in seconds is an argument.
"""

from __future__ import annotations

from typing import Final

MAX_DOUBLINGS: Final = 3
"""An open time doubles with each failed trial, up to eight times the first."""


class Breaker:
    """Counts failures in a row; closed at first.

    >>> breaker = Breaker(failures=2, open_s=5.0)
    >>> breaker.failed(0.0); breaker.failed(0.0)
    >>> breaker.allows(1.0), breaker.allows(5.0), breaker.allows(5.0)
    (False, True, False)
    >>> breaker.succeeded(); breaker.allows(5.0)
    True
    """

    def __init__(self, *, failures: int, open_s: float) -> None:
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._openings = 0
        self._opened_s: float | None = None
        self._trial_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are held back, but for one trial at a time."""
        return self._opened_s is not None

    def wait_s(self, now_s: float) -> float:
        """Return how long until a call may be tried; 0 if now."""
        if self._opened_s is None:
            return 0.0
        since = self._opened_s if self._trial_s is None else self._trial_s
        return max(0.0, since + self._span() - now_s)

    def allows(self, now_s: float) -> bool:
        """Return whether a call may be made; while open, one trial per open time."""
        if self._opened_s is None:
            return True
        if self.wait_s(now_s) > 0:
            return False
        self._trial_s = now_s
        return True

    def failed(self, now_s: float) -> None:
        """Count a call without an answer."""
        self._failures += 1
        if self._trial_s is not None or (self._opened_s is None and self._failures >= self._limit):
            self._opened_s, self._trial_s = now_s, None
            self._openings += 1

    def succeeded(self) -> None:
        """Close: the bank answered, whatever it said."""
        self._failures = self._openings = 0
        self._opened_s = self._trial_s = None

    def _span(self) -> float:
        return self._open_s * 2.0 ** min(max(self._openings - 1, 0), MAX_DOUBLINGS)
