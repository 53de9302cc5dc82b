"""The gateway to the banks: one call, one answer or one kind of trouble. Contract: ``models/control/messages.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol, TypeVar

import httpx
import msgspec

from models.control.messages import AppliedControl, BankCommand, BankFeedback
from models.wire import UNREADABLE

T = TypeVar("T")

KEEPALIVE_S = 30.0


class Trouble(StrEnum):
    """Why there is no answer; also the ``outcome`` label of the metric."""

    TIMEOUT = "timeout"
    ERROR = "error"
    OPEN = "open"


class NoAnswer(Exception):
    """The bank did not answer, or not in a way that can be trusted; the command may or may not have been executed."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble


class Gateway(Protocol):
    """How Sluice speaks to banks. Every method raises `NoAnswer` when there is none."""

    async def send(self, command: BankCommand) -> BankFeedback:
        """Post a command; posting it again gives the first feedback and does nothing else."""
        ...

    async def query(self, bank: str, application_id: str) -> BankFeedback | None:
        """Return the feedback given to an application id, or ``None`` if the bank has never seen it."""
        ...

    async def controls(self, bank: str, account: str) -> list[AppliedControl] | None:
        """Return the controls in force on an account, or ``None`` if the bank does not know the account."""
        ...


_encode = msgspec.json.Encoder().encode
_feedback = msgspec.json.Decoder(BankFeedback).decode
_controls = msgspec.json.Decoder(list[AppliedControl]).decode


class HttpGateway:
    """Banks over HTTP with kept-alive connections.

    ``urls`` maps bank codes to base URLs; an empty one, and banks without an
    entry, use ``default_url``.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        default_url: str,
        *,
        timeout_s: float,
        token: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = dict(urls)
        self._default_url = default_url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            headers=headers,
            transport=transport,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEEPALIVE_S),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def url_of(self, bank: str) -> str:
        """Return a bank's base URL; raise `NoAnswer` without one."""
        url = self._urls.get(bank) or self._default_url
        if not url:
            raise NoAnswer(Trouble.ERROR, f"no address is configured for bank {bank}")
        return url.rstrip("/")

    async def send(self, command: BankCommand) -> BankFeedback:
        """Post a command (see `Gateway`)."""
        url = f"{self.url_of(command.bank_id)}/banks/{command.bank_id}/commands"
        response = await self._call("POST", url, _encode(command))
        return checked(_decoded(_feedback, response), command.application_id, command.account_number)

    async def query(self, bank: str, application_id: str) -> BankFeedback | None:
        """Ask for the feedback given to an application id (see `Gateway`)."""
        response = await self._call("GET", f"{self.url_of(bank)}/banks/{bank}/commands/{application_id}")
        return None if response.status_code == httpx.codes.NOT_FOUND else _decoded(_feedback, response)

    async def controls(self, bank: str, account: str) -> list[AppliedControl] | None:
        """Ask for the controls in force (see `Gateway`)."""
        response = await self._call("GET", f"{self.url_of(bank)}/banks/{bank}/accounts/{account}/controls")
        return None if response.status_code == httpx.codes.NOT_FOUND else _decoded(_controls, response)

    async def _call(self, method: str, url: str, content: bytes | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            response = await self._client.request(method, url, content=content, headers=headers)
        except httpx.TimeoutException as error:
            raise NoAnswer(Trouble.TIMEOUT, type(error).__name__) from error
        except httpx.HTTPError as error:
            raise NoAnswer(Trouble.ERROR, f"{type(error).__name__}: {error}") from error
        missing = method == "GET" and response.status_code == httpx.codes.NOT_FOUND
        if response.status_code != httpx.codes.OK and not missing:
            raise NoAnswer(Trouble.ERROR, f"HTTP {response.status_code}")
        return response


def _decoded(decode: Callable[[bytes], T], response: httpx.Response) -> T:
    try:
        return decode(response.content)
    except UNREADABLE as error:
        raise NoAnswer(Trouble.ERROR, f"not a feedback: {error}") from error


def checked(feedback: BankFeedback, application_id: str, account: str) -> BankFeedback:
    """Return feedback that answers the command it was given to; raise `NoAnswer` for another's."""
    if feedback.application_id != application_id or feedback.account_number != account:
        raise NoAnswer(Trouble.ERROR, f"feedback to {feedback.application_id}, not to {application_id}")
    return feedback
