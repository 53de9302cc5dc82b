"""Each bank's way of telling Sluice what it executed: a bounded queue, small batches, nothing lost."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec
import structlog

from models.money.types import Transfer

log = structlog.get_logger(__name__)

BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
RETRY_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same batch is posted again; Sluice recognises what it has already taken."""

SPLIT_STATUS: Final = frozenset({400, 409, 413, 422})
"""Answers that condemn a batch as a whole; it is halved until the item at fault stands alone."""


TAKEN: Final = frozenset({"accepted", "duplicate"})
"""Results of an item that mean Sluice has it."""


class QueueFull(Exception):
    """Sluice takes transfers more slowly than the bank executes them; try again later."""


class PostTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a bank posts, with its limits."""

    url: str
    key: str
    linger_s: float = 0.005
    batch: int = 1000
    timeout_s: float = 10.0
    queue_limit: int = 50_000


class OutgoingCounts(msgspec.Struct, kw_only=True):
    """What a bank has told Sluice so far. ``refused`` items were answered as wrong and given up."""

    queued: int = 0
    posted: int = 0
    refused: int = 0
    posts: int = 0
    retries: int = 0
    pending: int = 0


class _Body(msgspec.Struct):
    transfers: list[Transfer]


class _Item(msgspec.Struct):
    status: str = ""


class _Answer(msgspec.Struct):
    results: list[_Item] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Answer).decode


class Outgoing:
    """One bank's outgoing queue and the task that empties it, in order, one post at a time."""

    def __init__(self, bank: str, target: PostTarget, *, twice: Callable[[str], bool] = lambda _bank: False) -> None:
        self.bank = bank
        self.counts = OutgoingCounts()
        self._target = target
        self._twice = twice
        self._queue: deque[Transfer] = deque()
        self._wake = asyncio.Event()
        self._jitter = random.Random(bank)

    def room(self) -> int:
        """Return how many more transfers fit."""
        return self._target.queue_limit - len(self._queue)

    def put(self, transfer: Transfer) -> None:
        """Queue an executed transfer. The caller has asked `room` before executing; raises `QueueFull` without it."""
        if not self._target.url:
            return
        if self.room() <= 0:
            raise QueueFull(self.bank)
        self._queue.append(transfer)
        self.counts.queued += 1
        self.counts.pending += 1
        self._wake.set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Post for ever: wait for a transfer, linger a little for company, post, repeat until it is taken."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                if len(self._queue) < self._target.batch:
                    await asyncio.sleep(self._target.linger_s)
                size = min(len(self._queue), self._target.batch)
                batch = [self._queue[place] for place in range(size)]
                await self._post(session, batch)
                if self._twice(self.bank):
                    await self._post(session, batch, again=True)
                for _ in range(size):
                    self._queue.popleft()
                self.counts.pending -= size

    async def _post(self, session: aiohttp.ClientSession, batch: list[Transfer], *, again: bool = False) -> None:
        wait_s = BACKOFF_FIRST_S
        body = _encode(_Body(batch))
        while True:
            status, told_s, wrong = await self._try(session, body)
            if status in SPLIT_STATUS and len(batch) > 1:
                middle = len(batch) // 2
                await self._post(session, batch[:middle], again=again)
                await self._post(session, batch[middle:], again=again)
                return
            if status and status not in RETRY_STATUS:
                self._count(len(batch) if status >= 300 else wrong, batch, again)
                return
            self.counts.retries += 1
            await asyncio.sleep(min(BACKOFF_MAX_S, told_s or wait_s * self._jitter.uniform(0.5, 1.0)))
            wait_s = min(BACKOFF_MAX_S, wait_s * 2)

    async def _try(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, float, int]:
        """Return status (0: no answer), the wait asked for in seconds (0: none) and the number of items found wrong."""
        self.counts.posts += 1
        try:
            async with session.post(
                self._target.url,
                data=body,
                headers={"X-Api-Key": self._target.key, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self._target.timeout_s),
            ) as response:
                answer = await response.read()
                retry_after = response.headers.get("Retry-After", "")
                wrong = _count_wrong(answer) if response.status < 300 else 0
                return response.status, float(retry_after) if retry_after.isdecimal() else 0.0, wrong
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            log.warning("no answer from sluice", bank=self.bank, error=type(error).__name__)
            return 0, 0.0, 0

    def _count(self, wrong: int, batch: list[Transfer], again: bool) -> None:
        if again:
            return
        self.counts.posted += len(batch) - wrong
        self.counts.refused += wrong
        if wrong:
            log.error("sluice refused transfers", bank=self.bank, refused=wrong, of=len(batch))


def _count_wrong(answer: bytes) -> int:
    """Return how many items of an accepted batch were not taken."""
    return sum(item.status not in TAKEN for item in _decode(answer).results)
