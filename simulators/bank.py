"""Many fake banks as one HTTP app: the platform's commands on one side, the world's payments on the other.

Contract with the gateway: ``models/control/messages.py``. For the world:
``POST /accounts:batch``, ``POST /transfers:batch``, ``GET /controls``,
``GET /stats``; for tests: ``/faults`` and ``GET /ledger/check``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp
import msgspec
from fastapi import FastAPI, HTTPException, Request, Response

from models.control.messages import BankCommand, BankFeedback
from models.money.types import AccountId, Transfer, account_id
from simulators.books import BankBooks, Outcome
from simulators.commands import refused, style_of
from simulators.faults import Fault, FaultBook, FaultPlan
from simulators.ledger import AccountExists, Opening, ShortFunds, UnknownAccount
from simulators.outgoing import Outgoing, OutgoingCounts, PostTarget
from simulators.serving import add_standard_routes, body_of, end_if_it_fails, reply, serve
from simulators.settings import BankSettings
from telemetry.clock import Clock, parse_clock
from telemetry.logging import configure_logging
from telemetry.metrics import identify

MAX_TRANSFERS_PER_CALL: Final = 5_000
DISCONNECT_POLL_S: Final = 0.25


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as ``GET /banks/{bank}/accounts/{account}`` shows it."""

    bank: str
    account: str
    balance_fen: int
    available_fen: int
    opened_us: int
    white_listed: bool
    controls: list[object]
    entries: list[object]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What the banks executed and what they have told Sluice of it."""

    executed: int
    refused: dict[str, int]
    pending: int
    posted: int
    post_refused: int
    outgoing: dict[str, OutgoingCounts]


class BankHall:
    """The state behind the app: books, faults, outgoing queues and the clock."""

    def __init__(self, settings: BankSettings, clock: Clock) -> None:
        keys = settings.bank_keys()
        self.settings = settings
        self.clock = clock
        self.books = BankBooks({bank: style_of(place) for place, bank in enumerate(keys)})
        self.faults = FaultBook()
        self.outgoing = {bank: self._outgoing(bank, key) for bank, key in keys.items()}
        self.refusals: dict[str, int] = {}
        self.executed = 0
        self.previous: dict[str, BankFeedback] = {}

    def _outgoing(self, bank: str, key: str) -> Outgoing:
        settings = self.settings
        target = PostTarget(
            url=settings.sluice_url and settings.sluice_url.rstrip("/") + "/v1/transfers:batch",
            key=key,
            linger_s=settings.linger_ms / 1000,
            batch=settings.post_batch,
            timeout_s=settings.post_timeout_s,
            queue_limit=settings.queue_limit,
        )
        return Outgoing(bank, target, twice=self.faults.draw_duplicate_post)

    def execute(self, transfers: list[Transfer]) -> list[Outcome]:
        """Execute transfers one after the other and queue what each payer's bank tells Sluice."""
        now_us = self.clock.now_us()
        outcomes = []
        for transfer in transfers:
            outcome, posted = self.books.execute(transfer, now_us)
            if posted is not None:
                self.executed += 1
                self.outgoing[posted.payer_bank].put(posted)
            elif outcome.refusal:
                self.refusals[outcome.refusal] = self.refusals.get(outcome.refusal, 0) + 1
            outcomes.append(outcome)
        return outcomes

    def has_room_for(self, transfers: list[Transfer]) -> bool:
        """Return whether every bank's outgoing queue could take all of these."""
        return min(outgoing.room() for outgoing in self.outgoing.values()) >= len(transfers)

    def answer(self, command: BankCommand, fault: Fault) -> BankFeedback:
        """Return the feedback to a command under a fault; acts unless the fault refuses."""
        now_us = self.clock.now_us()
        bank = command.bank_id
        seen = self.books.feedback(bank, command.application_id, now_us)
        if fault.refuse_code and seen is None:
            no = refused(command, now_us, fault.refuse_code, "refused on demand")
            return self.books.keep(bank, no)
        feedback = self.books.command(command, now_us, short=fault.short_balance)
        if fault.no_start_time and seen is None:
            feedback = self.books.keep(bank, msgspec.structs.replace(feedback, start_us=0, expire_us=0))
        stale = self.previous.get(bank)
        self.previous[bank] = feedback
        return stale if fault.stale_answer and stale is not None else feedback

    def stats(self) -> Stats:
        """Return the counters."""
        counts = {bank: outgoing.counts for bank, outgoing in self.outgoing.items()}
        return Stats(
            executed=self.executed,
            refused=self.refusals,
            pending=sum(count.pending for count in counts.values()),
            posted=sum(count.posted for count in counts.values()),
            post_refused=sum(count.refused for count in counts.values()),
            outgoing=counts,
        )

    def view(self, key: AccountId) -> AccountView:
        """Return an account as the bank shows it; raises `UnknownAccount`."""
        account, now_us = self.books.ledger.account(key), self.clock.now_us()
        return AccountView(
            bank=account.opening.bank,
            account=account.opening.account,
            balance_fen=account.balance_fen,
            available_fen=self.books.available_fen(key, now_us),
            opened_us=account.opening.opened_us,
            white_listed=account.opening.white_listed,
            controls=list(self.books.controls_of(key, now_us)),
            entries=list(account.entries),
        )


def create_bank_app(settings: BankSettings, clock: Clock | None = None) -> FastAPI:
    """Build the app; ``clock`` overrides the setting (tests move it by hand).

    ``app.state.hall`` is the `BankHall` behind it.
    """
    hall = BankHall(settings, clock or parse_clock(settings.clock))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            tasks = [
                asyncio.create_task(outgoing.run(session), name=f"outgoing of {bank}")
                for bank, outgoing in hall.outgoing.items()
            ]
            for task in tasks:
                end_if_it_fails(app, task)
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(title="Sluice fake banks", lifespan=lifespan)
    app.state.hall = hall
    add_standard_routes(app)
    add_command_routes(app, hall)
    add_account_routes(app, hall)
    add_world_routes(app, hall)
    add_fault_routes(app, hall)
    return app


def add_command_routes(app: FastAPI, hall: BankHall) -> None:
    """Add what the gateway calls (``models/control/messages.py``)."""
    decoder = msgspec.json.Decoder(BankCommand)

    @app.post("/banks/{bank}/commands")
    async def command(bank: str, request: Request) -> Response:
        """Execute a command and answer with its feedback."""
        began = time.monotonic()
        _known_bank(bank, hall.outgoing)
        order = await body_of(request, decoder)
        if order.bank_id != bank:
            raise HTTPException(422, f"BankID {order.bank_id!r} is not the bank addressed")
        fault = hall.faults.draw(bank)
        if fault.error_500:
            await asyncio.sleep(fault.delay_ms / 1000)
            raise HTTPException(500, "internal error on demand")
        feedback = hall.answer(order, fault)
        wanted_s = (hall.settings.answer_delay_ms + fault.delay_ms) / 1000
        await asyncio.sleep(max(0.0, wanted_s - (time.monotonic() - began)))
        if fault.lose_answer:
            await _say_nothing(request, hall.settings.lost_answer_s)
            return Response(status_code=504)
        return reply(feedback)

    @app.get("/banks/{bank}/commands/{application_id}")
    async def feedback(bank: str, application_id: str) -> Response:
        """Return the feedback given to an application id, or 404."""
        given = hall.books.feedback(bank, application_id, hall.clock.now_us())
        if given is None:
            raise HTTPException(404, "no such application id")
        return reply(given)

    @app.get("/banks/{bank}/accounts/{account}/controls")
    async def controls(bank: str, account: str) -> Response:
        """Return the controls in force on an account, or 404."""
        return reply(_found(lambda: hall.books.controls_of(account_id(bank, account), hall.clock.now_us())))


def add_account_routes(app: FastAPI, hall: BankHall) -> None:
    """Add what looks into accounts and books."""

    @app.get("/banks/{bank}/accounts/{account}")
    async def account(bank: str, account: str) -> Response:
        """Return balance, controls and latest entries of an account, or 404."""
        return reply(_found(lambda: hall.view(account_id(bank, account))))

    @app.get("/ledger/check")
    async def check() -> Response:
        """Audit all books."""
        return reply(hall.books.check())

    @app.get("/banks")
    async def banks() -> Response:
        """Return each bank's style."""
        return reply(hall.books.styles)


def add_world_routes(app: FastAPI, hall: BankHall) -> None:
    """Add what the world calls."""
    openings = msgspec.json.Decoder(list[Opening])
    transfers = msgspec.json.Decoder(list[Transfer])

    @app.post("/accounts:batch")
    async def open_accounts(request: Request) -> Response:
        """Open accounts and tell their balances in order; 409 if one is open on other terms, 422 for no such bank."""
        wanted = await body_of(request, openings)
        try:
            balances = hall.books.open(wanted)
        except AccountExists as error:
            raise HTTPException(409, f"open on other terms: {error}") from error
        except (UnknownAccount, ShortFunds) as error:
            raise HTTPException(422, f"cannot open: {error}") from error
        return reply(balances)

    @app.post("/transfers:batch")
    async def execute(request: Request) -> Response:
        """Execute transfers in order, each wholly or not at all; 503 if too many wait to be told to Sluice."""
        wanted = await body_of(request, transfers)
        if len(wanted) > MAX_TRANSFERS_PER_CALL:
            raise HTTPException(413, f"at most {MAX_TRANSFERS_PER_CALL} transfers per call")
        if not hall.has_room_for(wanted):
            raise HTTPException(503, "outgoing queue full", headers={"Retry-After": "1"})
        return reply(hall.execute(wanted))

    @app.get("/controls")
    async def journal(since: int = 0) -> Response:
        """Return the changes of all controls from a sequence number on."""
        entries, following = hall.books.journal(since)
        return reply({"entries": entries, "next": following})

    @app.get("/stats")
    async def stats() -> Response:
        """Return what was executed and what Sluice has been told of it."""
        return reply(hall.stats())


def add_fault_routes(app: FastAPI, hall: BankHall) -> None:
    """Add faults on demand."""
    plans = msgspec.json.Decoder(FaultPlan)

    @app.post("/faults")
    async def put_fault(request: Request) -> Response:
        """Put a fault plan in force in place of the bank's earlier one."""
        plan = await body_of(request, plans)
        _known_bank(plan.bank, hall.outgoing)
        hall.faults.set(plan)
        return reply(plan)

    @app.get("/faults")
    async def list_faults() -> Response:
        """Return the plans in force."""
        return reply(hall.faults.plans())

    @app.delete("/faults")
    async def clear_faults(bank: str | None = None) -> Response:
        """End the plan of one bank, or all."""
        hall.faults.clear(bank)
        return reply(hall.faults.plans())


def _known_bank(bank: str, banks: Mapping[str, object]) -> None:
    if bank not in banks:
        raise HTTPException(404, f"no bank {bank!r}")


def _found(look: Callable[[], object]) -> object:
    try:
        return look()
    except UnknownAccount as error:
        raise HTTPException(404, f"no account {error}") from error


async def _say_nothing(request: Request, seconds: float) -> None:
    """Hold the connection open without an answer until the caller gives up or ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not await request.is_disconnected():  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(DISCONNECT_POLL_S)


def run_bank(settings: BankSettings) -> int:
    """Serve the banks on loopback until SIGTERM; return the exit code."""
    configure_logging("bank", settings.log_level)
    identify("bank")
    app = create_bank_app(settings)
    return serve(app, host=settings.host, port=settings.port, ready_file=settings.ready_file)
