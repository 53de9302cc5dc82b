"""Run a FastAPI app on loopback, tell the supervisor when it answers, and speak msgspec over HTTP."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from telemetry.garbage import collect_rarely
from telemetry.misconfigured import Misconfigured, cannot_serve

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
SHUTDOWN_GRACE_S: Final = 2

_encode = msgspec.json.Encoder().encode


def reply(value: Any, status: int = 200) -> Response:
    """Return any msgspec value as a JSON response."""
    return Response(_encode(value), status_code=status, media_type="application/json")


async def body_of(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a request's body; 413 if it is too long, 422 if it is not what the decoder wants."""
    raw = await request.body()
    if len(raw) > MAX_BODY_BYTES:
        raise HTTPException(413, "body too long")
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)) from error


def add_standard_routes(app: FastAPI) -> None:
    """Add ``/healthz`` and ``/metrics``."""

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Return that the process answers."""
        return {"status": "ok"}

    @app.get("/metrics")
    def metrics() -> Response:
        """Return the process's metrics in Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def announce(path: Path, text: str) -> None:
    """Write a small file at once as a whole, for somebody who waits for it."""
    partial = path.with_name(path.name + ".new")
    partial.write_text(text)
    partial.rename(path)


class _ReadyServer(uvicorn.Server):
    """A server that announces its address once it listens."""

    def __init__(self, config: uvicorn.Config, ready_file: Path | None, address: str) -> None:
        super().__init__(config)
        self._ready_file = ready_file
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then say so."""
        await super().startup(sockets)
        collect_rarely()
        if self._ready_file is not None and self.started:
            announce(self._ready_file, self._address)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `Misconfigured` if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Misconfigured(cannot_serve(host, port, error)) from error
    listener.listen(512)
    return listener


def end_if_it_fails(app: FastAPI, task: asyncio.Task[Any]) -> None:
    """End the process with exit code 1 if a background task of its app ends by an exception.

    A task that dies unseen would leave a server that answers and does nothing.
    """

    def ended(done: asyncio.Task[Any]) -> None:
        if done.cancelled() or done.exception() is None:
            return
        log.critical("a background task failed", task=done.get_name(), exc_info=done.exception())
        stop_serving(app, 1)

    task.add_done_callback(ended)


def stop_serving(app: FastAPI, exit_code: int) -> None:
    """Let `serve` return ``exit_code`` soon; nothing happens in an app that is not served."""
    app.state.exit_code = exit_code
    server = getattr(app.state, "server", None)
    if server is not None:
        server.should_exit = True


def serve(app: FastAPI, *, host: str, port: int, ready_file: Path | None) -> int:
    """Serve until SIGINT, SIGTERM or `stop_serving`; return ``app.state.exit_code``.

    The app finds its own address in ``app.state.address``.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again once it has stopped; a wanted stop is not a failure.
        signal.signal(number, lambda *_: None)
    with bind(host, port) as listener:
        bound = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        )
        app.state.address = f"http://{host}:{bound}"
        app.state.exit_code = 0
        app.state.server = _ReadyServer(config, ready_file, app.state.address)
        app.state.server.run(sockets=[listener])
        if not app.state.server.started:
            return 1
    return int(app.state.exit_code)
