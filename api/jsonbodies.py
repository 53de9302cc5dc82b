"""Takes every body as JSON, whatever its Content-Type says."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
JSON: Final = (b"content-type", b"application/json")


class JsonBodies:
    """ASGI middleware: JSON is the only format of the api, so a client need not say so (curl says something else).

    Without it FastAPI would take such a body for a text, on the routes whose bodies it decodes and on no other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the Content-Type of JSON."""
        if scope["type"] == "http" and scope["method"] in BODY_METHODS:
            others = [header for header in scope["headers"] if header[0] != JSON[0]]
            scope = {**scope, "headers": [*others, JSON]}
        await self._app(scope, receive, send)
