"""Refuses bodies that are too long, before they are read."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import TooLarge

MAX_DRAINED_BYTES: Final = 32_000_000
"""How much of a refused body is read and thrown away, so that its sender gets to read the answer."""


class BodyLimit:
    """ASGI middleware: 413 by Content-Length at once, or as soon as a streamed body grows beyond the limit.

    The rest of a refused body is read (bounded) but never kept: closing the
    connection under a sender's hands would make it see a reset and no answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body bounded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        guard = _Guard(self._max_bytes, receive, send)
        await self._app(scope, guard.receive, guard.send)
        if guard.exceeded and not guard.started:
            await self._refuse(scope, guard.rest, send)

    @staticmethod
    def _announced(scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge("body_too_large", f"a body has at most {self._max_bytes} bytes")
        response = error.response()
        if not await _drained(receive):
            response.headers["connection"] = "close"
        await response(scope, receive, send)


async def _drained(receive: Receive) -> bool:
    """Read and throw away the rest of a body; return whether its end was reached."""
    left = MAX_DRAINED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return True
    return False


class _Guard:
    """Counts a streamed body; beyond the limit the application sees a disconnect, and its answer is dropped."""

    def __init__(self, max_bytes: int, receive: Receive, send: Send) -> None:
        self._left = max_bytes
        self._receive = receive
        self._send = send
        self._ended = False
        self.exceeded = False
        self.started = False

    async def receive(self) -> Message:
        if self.exceeded:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._ended = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.exceeded = True
            return {"type": "http.disconnect"}
        return message

    async def rest(self) -> Message:
        """Return the next part of a body that was refused; its end if it had ended."""
        return {"type": "http.request", "body": b""} if self._ended else await self._receive()

    async def send(self, message: Message) -> None:
        if self.exceeded and not self.started:
            return
        self.started = True
        await self._send(message)
