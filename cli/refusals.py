"""Why a program was not read over HTTP, in words a person can act on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import httpx
import msgspec

KEY_WANTED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
MAX_PORT: Final = 65_535
KEY_HINT = "give the key of a person with --key or SLUICE_OPERATOR_KEY"


def wrong_with_address(text: str) -> str | None:
    """Return why a program's address cannot be asked, whoever listens; ``None`` if it can be tried.

    >>> wrong_with_address("http://127.0.0.1:80x")
    "'http://127.0.0.1:80x' is no address such as http://127.0.0.1:8080: Invalid port: '80x'"
    >>> wrong_with_address("http://127.0.0.1:8080")
    """
    try:
        port = httpx.URL(text).port
        why = f"there is no port {port}" if port is not None and port > MAX_PORT else None
    except httpx.InvalidURL as error:
        why = str(error)
    return why and f"{text!r} is no address such as http://127.0.0.1:8080: {why}"


class _Problem(msgspec.Struct):
    detail: str


def reason_of(error: httpx.HTTPError) -> str:
    """Return the address that was asked with what it answered, or why nothing did."""
    url = error.request.url
    address = f"{url.scheme}://{url.netloc.decode()}" if url.host else str(url)
    if isinstance(error, httpx.HTTPStatusError):
        return refusal(address, error.response)
    return f"{address} does not answer: {str(error) or type(error).__name__}"


def refusal(address: str, answer: httpx.Response) -> str:
    """Return what a program refuses, in its own words where it says a problem, and which option would help."""
    try:
        detail = msgspec.json.decode(answer.content, type=_Problem).detail
    except (msgspec.DecodeError, UnicodeDecodeError):
        detail = answer.reason_phrase
    hint = f"; {KEY_HINT}" if answer.status_code in KEY_WANTED else ""
    return f"{address} answers {answer.status_code}: {detail}{hint}"
