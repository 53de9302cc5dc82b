"""Latencies of the live view: every stage over the same time, the last minute of the live phase."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

from cli.quantiles import Quantiles, quantiles
from cli.readings import Samples, merge, since

WINDOW_S: Final = 60.0
"""Stops are rare: in a shorter time hardly one stage of theirs would have a p99."""

STEP_S: Final = 5.0
"""How far the window of histograms may be off, against the readings that are kept."""

Pages = Mapping[str, Samples]
"""What each program's metrics page held, by its address; a program that did not answer is missing."""


class RecentLatencies:
    """Latencies of the last `WINDOW_S`, by when they became known; written by one thread, read by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, float]] = deque()

    def add(self, at_us: int, latency_us: float) -> None:
        """Note a latency that became known at ``at_us``."""
        with self._lock:
            self._kept.append((at_us, latency_us))
            self._forget(at_us)

    def quantiles(self, now_us: int) -> Quantiles:
        """Return the quantiles of what became known in the window that ends at ``now_us``."""
        with self._lock:
            self._forget(now_us)
            latencies_us = [latency_us for _, latency_us in self._kept]
        return quantiles(latencies_us)

    def _forget(self, now_us: int) -> None:
        while self._kept and self._kept[0][0] < now_us - WINDOW_S * 1_000_000:
            self._kept.popleft()


class LatencyWindow:
    """By how much the histograms of all programs grew in the last `WINDOW_S`, give or take `STEP_S`.

    ``live`` is what they held when the live phase began, at ``now_s``: nothing earlier ever counts.
    """

    def __init__(self, now_s: float, live: Pages) -> None:
        self._kept: deque[tuple[float, Pages]] = deque([(now_s, _histograms(live))])

    def note(self, now_s: float, pages: Pages) -> Samples:
        """Take a reading; return the growth in the window that ends with it."""
        kept, latest = self._kept, _histograms(pages)
        if now_s - kept[-1][0] >= STEP_S:
            kept.append((now_s, latest))
        while len(kept) > 1 and now_s - kept[1][0] >= WINDOW_S:
            kept.popleft()
        return grown(kept[0][1], latest)


def grown(earlier: Pages, later: Pages) -> Samples:
    """Return by how much each program's counters and histograms grew, all in one.

    A program of which nothing is known from the beginning is left out: what it counted before is not known either.
    """
    return merge(since(earlier[address], page) for address, page in later.items() if address in earlier)


def _histograms(pages: Pages) -> Pages:
    """Return the buckets alone: all that quantiles need, and no more is kept."""
    return {
        address: {name: rows for name, rows in page.items() if name.endswith("_bucket")}
        for address, page in pages.items()
    }
