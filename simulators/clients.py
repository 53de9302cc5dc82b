"""The world's side of HTTP: the banks it pays through and Sluice, to which victims report."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
import structlog

from models.money.types import Transfer
from simulators.bank import Stats
from simulators.books import Outcome
from simulators.controls import JournalEntry
from simulators.ledger import Opening

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.2
MAX_TRIES: Final = 300
"""A minute without an answer ends the world: its banks are gone."""

MAX_REPORT_TRIES: Final = 100
"""Twenty seconds: world time may run hundreds of times faster than Sluice assesses."""

OK: Final = 200
NOT_YET: Final = 404

CALL_TIMEOUT_S: Final = 30.0
OPENINGS_PER_CALL: Final = 5_000

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class NoAnswer(Exception):
    """A program the world needs did not answer, again and again."""


class Journal(msgspec.Struct, frozen=True):
    """Changes of controls, and the number to ask for next."""

    entries: list[JournalEntry]
    next: int


class BankClient:
    """Calls the fake banks; what fails for want of an answer is tried again, since every call is idempotent."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._balances = msgspec.json.Decoder(list[int])
        self._outcomes = msgspec.json.Decoder(list[Outcome])
        self._journal = msgspec.json.Decoder(Journal)
        self._stats = msgspec.json.Decoder(Stats)

    async def open(self, openings: list[Opening]) -> list[int]:
        """Open accounts, or find them open on the same terms; return what each holds now, in fen."""
        balances: list[int] = []
        for place in range(0, len(openings), OPENINGS_PER_CALL):
            part = openings[place : place + OPENINGS_PER_CALL]
            held: list[int] = await self._call("POST", "/accounts:batch", self._balances, part)
            balances += held
        return balances

    async def execute(self, transfers: list[Transfer]) -> list[Outcome]:
        """Execute transfers in order; one outcome each."""
        return await self._call("POST", "/transfers:batch", self._outcomes, transfers)

    async def journal(self, since: int) -> Journal:
        """Return the changes of controls from ``since`` on."""
        return await self._call("GET", f"/controls?since={since}", self._journal)

    async def stats(self) -> Stats:
        """Return what the banks have executed and told."""
        return await self._call("GET", "/stats", self._stats)

    async def _call(self, method: str, path: str, decoder: msgspec.json.Decoder[T], value: Any = None) -> T:
        body = None if value is None else _encode(value)
        status, raw = 0, b""
        for _ in range(MAX_TRIES):
            status, raw = await send(self._session, method, self._url + path, body)
            if 0 < status < 500:
                break
            await asyncio.sleep(RETRY_S)
        if status != OK:
            raise NoAnswer(f"{method} {path}: status {status}: {raw[:300]!r}")
        return decoder.decode(raw)


class _SluiceStats(msgspec.Struct):
    settled: bool = True


class SluiceClient:
    """Tells Sluice what victims say, and asks whether it has dealt with all it was told; silent without a ``url``."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._key = key
        self._stats = msgspec.json.Decoder(_SluiceStats)
        self.accepted = 0
        self.failed = 0

    async def settled(self) -> bool:
        """Return whether Sluice has assessed every transfer and heard of every command; without an answer, not yet."""
        if not self._url:
            return True
        status, raw = await send(self._session, "GET", f"{self._url}/v1/stats", None, key=self._key)
        return status == OK and self._stats.decode(raw).settled

    async def report(self, transfer_ids: list[str], reported_us: int) -> None:
        """Report transfers. Without an answer, or before Sluice has assessed them (404), it is tried again.

        A report that Sluice refuses otherwise, or for too long, is counted and logged.
        """
        if not self._url:
            return
        body = _encode({"transfer_ids": transfer_ids, "reported_us": reported_us})
        status, raw = 0, b""
        for _ in range(MAX_REPORT_TRIES):
            status, raw = await send(self._session, "POST", f"{self._url}/v1/reports", body, key=self._key)
            if 0 < status < 500 and status != NOT_YET:
                break
            await asyncio.sleep(RETRY_S)
        if 200 <= status < 300:
            self.accepted += 1
            return
        self.failed += 1
        log.error("report not accepted", status=status, answer=raw[:300].decode(errors="replace"))


async def send(
    session: aiohttp.ClientSession, method: str, url: str, body: bytes | None, *, key: str = ""
) -> tuple[int, bytes]:
    """Return status and body of an answer, or status 0 if there was none."""
    headers = {"Content-Type": "application/json"} | ({"X-Api-Key": key} if key else {})
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    try:
        async with session.request(method, url, data=body, headers=headers, timeout=timeout) as response:
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("no answer", url=url, error=type(error).__name__)
        return 0, b""
