"""Open-loop load over HTTP: a request leaves when it is due, however many are still unanswered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import numpy as np
import numpy.typing as npt

from bench.schedule import LEAD_US, due_times
from bench.stats import Latency, latency

Ask = Callable[[int], Awaitable[bool]]
"""Sends request number ``i`` and returns whether its answer was the one that was wanted."""


class Answers(msgspec.Struct, frozen=True):
    """What became of one scheduled load of requests."""

    rate: float
    spans_us: npt.NDArray[np.int64]
    """From due to answered (n), wanted answer or not."""
    due_us: npt.NDArray[np.int64]
    unwanted: int

    def latency(self, warm_s: float = 0.0) -> Latency:
        """Return latency of all that was due after the first ``warm_s`` seconds."""
        return latency(self.spans_us[self.due_us >= self.due_us[0] + int(warm_s * 1_000_000)])


async def ask_all(ask: Ask, *, rate: float, count: int, now_us: Callable[[], int]) -> Answers:
    """Send ``count`` requests at ``rate`` per second; return once all are answered (``ask`` bounds that)."""
    due_us = due_times(now_us() + LEAD_US, rate, count)
    spans_us = np.zeros(count, dtype=np.int64)
    unwanted = 0

    async def one(number: int, due: int) -> None:
        nonlocal unwanted
        wanted = await ask(number)
        spans_us[number] = now_us() - due
        unwanted += not wanted

    async with asyncio.TaskGroup() as tasks:
        for number, due in enumerate(due_us.tolist()):
            await asyncio.sleep(0)
            ahead_us = due - now_us()
            if ahead_us > 0:
                await asyncio.sleep(ahead_us / 1_000_000)
            tasks.create_task(one(number, due))
    return Answers(rate, spans_us, due_us, unwanted)
