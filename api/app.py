"""Builds the FastAPI program and serves it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.bank import Gateway
from api.decoding import unreadable
from api.errors import ApiError, BadRequest, FieldProblem, FrameworkError, Unavailable, Unprocessable
from api.jsonbodies import JsonBodies
from api.limits import BodyLimit
from api.replies import document
from api.routes import admin, health, lists, orders, reviews, snapshots, transfers, verdicts
from api.runtime import Runtime
from api.schemas import may_hold
from api.settings import ApiSettings
from api.store.database import StoreAway
from telemetry import metrics
from telemetry.clock import Clock
from telemetry.garbage import collect_rarely
from telemetry.logging import configure_logging
from telemetry.misconfigured import Misconfigured, cannot_serve

log = structlog.get_logger(__name__)

BACKLOG: Final = 512
SHUTDOWN_GRACE_S: Final = 2
READY_POLL_S: Final = 0.05

DOCS_ASSETS: Final = "/docs/assets"
"""Where the page at ``/docs`` has its script and style from: this program, since a bank's network may be closed."""

DOCS_PARAMETERS: Final = {"validatorUrl": None}
"""Swagger UI asks no validator elsewhere."""

DESCRIPTION: Final = """
Sluice (水闸) takes in account-to-account transfers, answers with a decision, and stops money that looks stolen
at the bank. Amounts are integer fen, times UTC microseconds. Errors are RFC 9457 problems.
"""


def create_app(settings: ApiSettings, *, gateway: Gateway | None = None, clock: Clock | None = None) -> FastAPI:
    """Build the program; ``gateway`` and ``clock`` take the place of what the settings would make (tests)."""
    runtime = Runtime(settings, gateway=gateway, clock=clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await runtime.start()
        try:
            yield
        finally:
            await runtime.stop()

    app = FastAPIOffline(
        title="Sluice",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        static_url=DOCS_ASSETS,
        swagger_ui_parameters=DOCS_PARAMETERS,
    )
    app.state.runtime = runtime
    for module in (transfers, orders, verdicts, reviews, lists, snapshots, admin, health):
        app.include_router(module.router)
    app.add_middleware(JsonBodies)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    add_handlers(app)
    document(app)
    return app


def add_handlers(app: FastAPI) -> None:
    """Answer every refusal as a problem; what is not foreseen stays a loud 500."""

    @app.exception_handler(ApiError)
    async def refused(_request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(StoreAway)
    async def store_away(_request: Request, error: StoreAway) -> Response:
        log.error("the database is away", error=str(error))
        return Unavailable("database_away", "the database does not answer; nothing was accepted").response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return validation_problem(error).response()

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, error: HTTPException) -> Response:
        return framework_problem(error).response()

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return BadRequest("disconnected", "the client went away").response()

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        log.critical("unforeseen error", path=request.url.path, exc_info=error)
        return ApiError("internal", "an error of ours; it was logged").response()


def framework_problem(error: HTTPException) -> ApiError:
    """Return a refusal of the framework as a problem; its 400 has as cause what kept it from reading the body."""
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, ValueError | RecursionError):
        return unreadable(error.__cause__)
    return FrameworkError(error.status_code, str(error.detail), error.headers or {})


def validation_problem(error: RequestValidationError) -> ApiError:
    """Return pydantic's complaints as one problem; a body that is no JSON is 400, the rest 422."""
    complaints = error.errors()
    broken = next((each for each in complaints if each["type"] == "json_invalid"), None)
    if broken is not None:
        reason, place = broken["ctx"]["error"], broken["loc"][-1]
        return BadRequest("invalid_json", f"the body is not JSON: {reason} (character {place})")
    fields = tuple(_field_problem(each) for each in complaints)
    return Unprocessable("invalid_field", "; ".join(map(str, fields)), fields)


def _field_problem(complaint: dict[str, Any]) -> FieldProblem:
    in_words = may_hold(complaint.get("ctx", {}).get("pattern", ""))
    reason = in_words or complaint["msg"].removeprefix("Value error, ")
    place, *steps = complaint["loc"]
    return FieldProblem("".join(f"/{step}" for step in steps), f"{reason} (in {place})")


class _ReadyServer(uvicorn.Server):
    """Writes ``http://host:port`` to a file once the api answers and has its database and broker.

    The feed may come later: the workers make the topics it reads.
    """

    def __init__(self, config: uvicorn.Config, runtime: Runtime, ready_file: Path | None, address: str) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._ready_file = ready_file
        self._address = address
        self._announcing: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals as uvicorn does, but end with an exit code of our own: being told to stop is no failure."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then wait for readiness in the background."""
        await super().startup(sockets)
        collect_rarely()
        if self._ready_file is not None and self.started:
            self._announcing = asyncio.create_task(self._announce(self._ready_file))

    async def _announce(self, ready_file: Path) -> None:
        while True:
            checks = await self._runtime.readiness()
            if checks["database"] and checks["broker"]:
                break
            await asyncio.sleep(READY_POLL_S)
        ready_file.parent.mkdir(parents=True, exist_ok=True)
        partial = ready_file.with_name(f"{ready_file.name}.new")
        partial.write_text(self._address)
        partial.replace(ready_file)


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(cannot_serve(host, port, error)) from error


def run_api(settings: ApiSettings) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 1 if a part of the program failed. Raises `Misconfigured`."""
    configure_logging("api", settings.log_level)
    metrics.identify("api")
    app = create_app(settings)
    runtime: Runtime = app.state.runtime
    with _listener(settings.host, settings.port) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        )
        server = _ReadyServer(config, runtime, settings.ready_file, f"http://{settings.host}:{port}")
        runtime.on_failure = partial(setattr, server, "should_exit", True)
        server.run(sockets=[listener])
    return runtime.exit_code if server.started else 1
