"""Errors of the api as RFC 9457 problems. A domain error knows its HTTP status; the docstring is its title.

ApiError
├── BadRequest 400        body that cannot be read
├── BadQuery 400          cursor that is none of ours
├── Unauthenticated 401   no key, or an unknown one
├── Forbidden 403         a key that may not do this
├── NotFound 404
├── Conflict 409          same id with other content; an order in another state
├── TooLarge 413
├── Unprocessable 422     readable, but wrong
└── Unavailable 503       broker or database away; try again later
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from fastapi import Response

PROBLEM = "application/problem+json"
RETRY_AFTER_S = 1


class FieldProblem(msgspec.Struct, frozen=True):
    """One field at fault: JSON pointer (RFC 6901) and reason."""

    pointer: str
    reason: str

    def __str__(self) -> str:
        """Return both in words; an empty pointer is the whole body."""
        return f"{self.pointer or 'the body'}: {self.reason}"


class ApiError(Exception):
    """The request was refused."""

    status: int = 500
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, code: str, detail: str, fields: tuple[FieldProblem, ...] = (), **more: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fields = fields
        self.more = more

    @property
    def title(self) -> str:
        """First line of the class's docstring."""
        return (type(self).__doc__ or "").splitlines()[0].rstrip(".")

    def problem(self) -> dict[str, Any]:
        """Return the problem object."""
        body: dict[str, Any] = {
            "type": f"urn:sluice:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.fields:
            body["errors"] = [{"pointer": field.pointer, "reason": field.reason} for field in self.fields]
        return body | self.more

    def response(self) -> Response:
        """Return the HTTP answer."""
        return Response(
            msgspec.json.encode(self.problem()), status_code=self.status, media_type=PROBLEM, headers=dict(self.headers)
        )


class BadRequest(ApiError):
    """The body could not be read."""

    status = 400


class BadQuery(ApiError):
    """The query could not be read."""

    status = 400


class Unauthenticated(ApiError):
    """A valid key is required."""

    status = 401
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    """This key may not do this."""

    status = 403


class NotFound(ApiError):
    """There is no such thing."""

    status = 404


class Conflict(ApiError):
    """This contradicts what is there."""

    status = 409


class TooLarge(ApiError):
    """The request is too large."""

    status = 413


class Unprocessable(ApiError):
    """The content is not valid."""

    status = 422


class Unavailable(ApiError):
    """Temporarily unavailable; what is not told as accepted may be posted again, which is safe."""

    status = 503
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_S)})


class FrameworkError(ApiError):
    """The request does not fit any route."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"http_{status}", detail)
        self.status = status
        self.headers = MappingProxyType(dict(headers))
