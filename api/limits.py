"""Refuses bodies that are too long, before they are read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import TooLarge


class BodyLimit:
    """ASGI middleware: 413 by Content-Length at once, or as soon as a streamed body grows beyond the limit."""

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
            await self._refuse(scope, receive, send)

    @staticmethod
    def _announced(scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge("body_too_large", f"a body has at most {self._max_bytes} bytes")
        response = error.response()
        response.headers["connection"] = "close"
        await response(scope, receive, send)


class _Guard:
    """Counts a streamed body; beyond the limit the application sees a disconnect, and its answer is dropped."""

    def __init__(self, max_bytes: int, receive: Receive, send: Send) -> None:
        self._left = max_bytes
        self._receive = receive
        self._send = send
        self.exceeded = False
        self.started = False

    async def receive(self) -> Message:
        if self.exceeded:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.exceeded = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.exceeded and not self.started:
            return
        self.started = True
        await self._send(message)
