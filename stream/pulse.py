"""Notices that this process stood still, so that it does not go on as if it still owned its accounts.

A process that was frozen longer than its session wakes up as one that was given
up, but has not heard of it yet. All it then writes would be new to the producer,
whose time limits start with the write, and could land over its successor's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from stream.crash import End
from stream.exitcodes import ExitCode

BEAT_S: Final = 0.25


class Pulse:
    """Beats in the event loop; a gap longer than ``limit_s`` ends the worker.

    ``limit_s`` must be shorter than the group's session. Whoever is about to
    write what only an owner may write calls `check` first: after a stand-still
    nobody knows whether the beat or the writer runs first.
    """

    def __init__(self, *, limit_s: float, end: End, now_s: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._end = end
        self._now_s = now_s
        self._last_s: float | None = None

    def check(self) -> None:
        """Beat once; end the worker if the last beat is too long ago."""
        now_s = self._now_s()
        last_s, self._last_s = self._last_s, now_s
        if last_s is not None and now_s - last_s > self._limit_s:
            self._end(ExitCode.UNCONFIRMED, f"this process stood still for {now_s - last_s:.1f} s")

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            self.check()
            await asyncio.sleep(BEAT_S)
