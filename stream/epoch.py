"""Commits in epochs: outputs confirmed, then the changelog confirmed, then acknowledged (ADR 0003).

"Applied in the changelog" so implies "output confirmed", and an acknowledged
offset implies both. The three steps of one epoch run while the next is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from faust.types import TP

from stream.sender import Sender, Ticket
from stream.tables import AccountState, Change, Profiles
from telemetry.metrics import COMMIT_LATENCY, PROFILES

EPOCH_S: Final = 0.3
"""Shortest time between two epochs: what a crash makes the successor do again, against work per transfer."""


Acknowledge = Callable[[Mapping[TP, int]], Awaitable[bool]]
"""Commits next offsets to the group; returns whether the broker took them."""


class Epoch:
    """What is done and not yet committed: open outputs, last values of changed profiles, next offsets."""

    __slots__ = ("dirty", "positions", "tickets")

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.dirty: dict[bytes, tuple[int, AccountState]] = {}
        self.positions: dict[TP, int] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be committed."""
        return not self.positions


class Committer:
    """Closes one epoch after the other, for ever."""

    def __init__(
        self,
        *,
        sender: Sender,
        profiles: Profiles,
        changelog: str,
        acknowledge: Acknowledge,
        still_owner: Callable[[], None],
    ) -> None:
        self._sender = sender
        self._still_owner = still_owner
        self._profiles = profiles
        self._changelog = changelog
        self._acknowledge = acknowledge
        self._open = Epoch()
        self._committing = False
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()
        self._wake: asyncio.Future[None] | None = None

    @property
    def epoch(self) -> Epoch:
        """The epoch that is open now."""
        return self._open

    @property
    def in_flight(self) -> bool:
        """Whether anything was taken and is not acknowledged yet."""
        return self._committing or not self._open.empty

    def ticket(self, confirmed: Callable[[], None]) -> Ticket:
        """Open a ticket for outputs of the open epoch; ``confirmed`` is called when the broker has them."""

        def done() -> None:
            confirmed()
            self._wake_up()

        ticket = self._sender.ticket(done)
        self._open.tickets.append(ticket)
        return ticket

    def note(self, positions: Mapping[TP, int]) -> None:
        """Note the next offsets of a batch that was applied; the open epoch will acknowledge them."""
        self._open.positions.update(positions)
        self._idle.clear()
        self._filled.set()

    async def run(self) -> None:
        """Commit epochs for ever."""
        while True:
            await self._filled.wait()
            started_s = time.monotonic()
            await self._commit()
            spare_s = EPOCH_S - (time.monotonic() - started_s)
            if spare_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), spare_s)

    async def drain(self, timeout_s: float) -> bool:
        """Commit all that is in flight without delay; return whether it was done within ``timeout_s``."""
        self._hurry.set()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        finally:
            self._hurry.clear()
        return True

    async def _commit(self) -> None:
        started_s = time.monotonic()
        epoch, self._open = self._open, Epoch()
        self._committing = True
        self._filled.clear()
        await self._until_confirmed(epoch.tickets)
        changes = {key: Change(partition, state, state.encode()) for key, (partition, state) in epoch.dirty.items()}
        offsets = await self._write_changelog(changes)
        self._profiles.committed(changes, offsets)
        await self._acknowledge(epoch.positions)
        COMMIT_LATENCY.observe(time.monotonic() - started_s)
        PROFILES.set(len(self._profiles))
        self._committing = False
        if self._open.empty:
            self._idle.set()

    async def _write_changelog(self, changes: Mapping[bytes, Change]) -> Mapping[int, int]:
        """Write the last value of each changed profile; return the last offset by partition."""
        self._still_owner()
        ticket = self._sender.ticket(self._wake_up)
        for key, change in changes.items():
            ticket.send(self._changelog, key, change.value, partition=change.partition)
        ticket.seal()
        await self._until_confirmed([ticket])
        return ticket.offsets

    async def _until_confirmed(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            while not ticket.confirmed:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
