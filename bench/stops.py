"""From assessment to the bank's confirmation of a stop: banks, api, worker, Kafka, outbox, dispatcher, all of it.

Banks execute payments and tell Sluice, as in life. A tenth go to accounts on
the black list, which a worker stops at once; each of them is stopped once. The
times are those the api keeps with each command in its outbox, so that every
single stop counts, not a histogram's buckets.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec
import numpy as np
from confluent_kafka import Producer
from sqlalchemy import create_engine, select

from api.store.tables import outbox
from bench.findings import Bench, Findings
from bench.schedule import WallClock, due_times
from bench.stack import Stack, with_env
from bench.stats import Latency, latency, latency_spread
from cli.plan import BANKS, Plan
from cli.supervisor import Program
from models.control.messages import BankCommand
from models.money.types import Transfer, account_id
from models.risk.assessment import ListLevel
from models.wire import PARTITIONER, ControlEntry, Topic, encode
from simulators.ledger import Opening
from telemetry.clock import wall_us

RATE: Final = 100.0
"""Payments per second."""

STOP_EVERY: Final = 10
TRIALS: Final = 6.0
WARM_STOPS: Final = 20
"""First stops of a run that do not count: connections are opened, code is loaded."""

POST_EVERY_S: Final = 0.02
SETTLE_S: Final = 20.0
POLL_S: Final = 0.2
CUSTOMERS: Final = 2_000
BALANCE_FEN: Final = 10**9
BANK_DELAY_MS: Final = 20
CALL_S: Final = 10.0
FLUSH_S: Final = 10.0
NO_BRAKE: Final = {
    "SLUICE_BRAKE_PER_MINUTE": "1000000",
    "SLUICE_BRAKE_PER_BANK_MINUTE": "1000000",
    "SLUICE_BRAKE_PER_RULE_MINUTE": "1000000",
    "SLUICE_BRAKE_SHARE": "1.0",
}
"""The brake counts as always, and never trips: more is stopped here than it allows."""

CROOKS: Final = "67"
"""How account numbers of crooks begin."""

CONFIRMED: Final = "bank_ok"
"""Outcome of a command that the bank has carried out."""

_command = msgspec.json.Decoder(BankCommand).decode
_json = msgspec.json.Encoder().encode


class Cast(msgspec.Struct, frozen=True):
    """Who pays and who is stopped in one run; all accounts are open at their banks."""

    run: int
    stops: int

    def customer(self, number: int) -> tuple[str, str]:
        """Return bank and account of an honest customer."""
        return BANKS[number % len(BANKS)], f"66{self.run:02d}{number:08d}"

    def crook(self, number: int) -> tuple[str, str]:
        """Return bank and account of one on the black list."""
        return BANKS[number % len(BANKS)], f"{CROOKS}{self.run:02d}{number:08d}"

    def openings(self, opened_us: int) -> list[Opening]:
        """Return the terms of all accounts."""
        everybody = [self.customer(number) for number in range(CUSTOMERS)]
        everybody += [self.crook(number) for number in range(self.stops)]
        return [
            Opening(bank=bank, account=account, opened_us=opened_us, balance_fen=BALANCE_FEN)
            for bank, account in everybody
        ]


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """What one run gave."""

    from_assessed: Latency
    from_accepted: Latency


class StopsMissing(Exception):
    """Not every stop was confirmed, so the latencies would leave out the slowest."""


def measure(bench: Bench) -> Findings:
    """Measure runs on one broker."""
    stack = bench.stack()
    try:
        runs = [_run(bench, stack, number) for number in range(bench.length.runs)]
    finally:
        stack.close()
    return findings_of(runs)


def findings_of(runs: list[Stops]) -> Findings:
    """Return what the runs say."""
    return Findings(
        latency_ms={
            "stop_confirmed": latency_spread([run.from_assessed for run in runs], RATE / STOP_EVERY),
            "stop_confirmed_from_acceptance": latency_spread([run.from_accepted for run in runs], RATE / STOP_EVERY),
        },
        notes=[f"stops: the bank answers after {BANK_DELAY_MS} ms, which are part of the figures; the brake was off"],
    )


def _run(bench: Bench, stack: Stack, number: int) -> Stops:
    count = int(RATE * TRIALS * bench.length.seconds) + WARM_STOPS * STOP_EVERY
    cast = Cast(number, count // STOP_EVERY)
    bench.say(f"run {number + 1}: {cast.stops} stops")
    black_list(stack.address, cast)
    plan = stack.plan(1)
    database = f"{plan.folder.absolute()}/stops-{number}.db"
    with stack.running(*_programs(stack, plan, database)):
        with httpx.Client(base_url=plan.bank_url, timeout=CALL_S) as bank:
            bank.post("/accounts:batch", content=_json(cast.openings(wall_us() - 10**12))).raise_for_status()
            pay(bank, payments(cast, count))
        rows = settled(database, cast.stops)
    found = _stops(rows)
    bench.say(f"  p50 {found.from_assessed.p50:.1f} ms, p99 {found.from_assessed.p99:.1f} ms")
    return found


def _programs(stack: Stack, plan: Plan, database: str) -> list[Program]:
    api = with_env(plan.api(stack.address), SLUICE_DATABASE_URL=f"sqlite:///{database}", **NO_BRAKE)
    bank = with_env(plan.bank(), SLUICE_BANK_ANSWER_DELAY_MS=str(BANK_DELAY_MS))
    return [*plan.workers(stack.address), api, bank]


def black_list(broker: str, cast: Cast) -> None:
    """Put a run's crooks on the black list that workers follow."""
    producer = Producer({"bootstrap.servers": broker, "partitioner": PARTITIONER, "log_level": 2})
    for number in range(cast.stops):
        account = account_id(*cast.crook(number))
        entry = ControlEntry(account=account, level=ListLevel.BLACK, updated_us=wall_us())
        producer.produce(Topic.CONTROLS, encode(entry), account.encode())
    if producer.flush(FLUSH_S):
        raise TimeoutError("the black list was not confirmed by the broker")


def payments(cast: Cast, count: int) -> list[Transfer]:
    """Return a run's payments without their times; every tenth goes to a crook of its own."""
    source, made = random.Random(cast.run), []
    for number in range(count):
        payer, payee = source.sample(range(CUSTOMERS), 2)
        bank, account = cast.customer(payer)
        to_bank, to_account = cast.crook(number // STOP_EVERY) if number % STOP_EVERY == 0 else cast.customer(payee)
        made.append(
            Transfer(
                transfer_id=f"stop-{cast.run}-{number}",
                payer_bank=bank,
                payer_account=account,
                payee_bank=to_bank,
                payee_account=to_account,
                amount_fen=source.randrange(10_000, 1_000_000),
                occurred_us=1,
                channel="mobile",
            )
        )
    return made


def pay(bank: httpx.Client, transfers: Sequence[Transfer]) -> None:
    """Let banks execute payments on the schedule, those that are due together; they tell Sluice themselves."""
    clock, at = WallClock(), 0
    due_us = due_times(clock.now_us(), RATE, len(transfers)).tolist()
    while at < len(transfers):
        now_us, first = clock.now_us(), at
        while at < len(transfers) and due_us[at] <= now_us:
            at += 1
        if at > first:
            dated = [
                msgspec.structs.replace(each, occurred_us=due)
                for each, due in zip(transfers[first:at], due_us[first:at], strict=True)
            ]
            bank.post("/transfers:batch", content=_json(dated)).raise_for_status()
        clock.sleep(POST_EVERY_S)


def settled(database: str, stops: int) -> list[Any]:
    """Return the outbox rows of the crooks' stops once all are confirmed; raise `StopsMissing` after `SETTLE_S`."""
    engine = create_engine(f"sqlite:///file:{database}?mode=ro&uri=true")
    deadline = time.monotonic() + SETTLE_S
    try:
        while True:
            with engine.connect() as connection:
                rows = list(connection.execute(select(outbox).order_by(outbox.c.created_wall_us)))
            confirmed = [row for row in rows if row.outcome == CONFIRMED and is_crooks(row.body)]
            if len(confirmed) == stops:
                return confirmed
            if time.monotonic() > deadline:
                raise StopsMissing(f"{len(confirmed)} of {stops} stops were confirmed by the banks")
            time.sleep(POLL_S)
    finally:
        engine.dispose()


def is_crooks(command: bytes) -> bool:
    """Return whether a command is about a crook; rules may stop a customer as well, and that is not counted."""
    return _command(command).account_number.startswith(CROOKS)


def _stops(rows: Sequence[Any]) -> Stops:
    counted = rows[WARM_STOPS:]
    answered = np.array([row.answered_wall_us for row in counted])
    return Stops(
        from_assessed=latency(answered - np.array([row.assessed_wall_us for row in counted])),
        from_accepted=latency(answered - np.array([row.accepted_wall_us for row in counted])),
    )
