"""The other half of the crash proof: an api that orders stops, and the fake banks that execute them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx
import msgspec
from sqlalchemy import create_engine, select

from api.store import orders, outbox, tables, transfers
from api.verify import Verification
from models.control.policy import Action
from models.wire import Topic, decode_control
from simulators.clients import Journal
from simulators.ledger import Opening
from stream.ports import free_ports
from tests.apikit import JSON, WAIT_S, key_of, keys_json
from tests.integration.crash_orders import Found
from tests.streamkit import START_US, Eye, Program

BANK = "icbc"
BALANCE_FEN = 100_000_000_000
ANSWER_DELAY_MS = 250
"""Long enough for an api to be killed between the bank's act and its answer."""

NO_BRAKE = {
    "brake_per_minute": 100_000,
    "brake_per_bank_minute": 100_000,
    "brake_per_rule_minute": 100_000,
    "brake_share": 1.0,
}
"""What the brake withholds depends on the minute; here every decision must be that of a replay."""

MAX_ORDERS = 100_000
POLL_S = 0.005


class Desk:
    """The api's process with its database, and that of the banks. ``listed`` are the accounts on its black list."""

    def __init__(self, broker: str, folder: Path, listed: Sequence[str]) -> None:
        self._broker = broker
        self._listed = listed
        self._engine = create_engine(f"sqlite:///{folder}/sluice.db")
        (port,) = free_ports(1)
        self._bank = Program(
            "bank", folder, "bank", bank_port=port, bank_banks=BANK, bank_answer_delay_ms=ANSWER_DELAY_MS
        )
        self._api = Program(
            "api",
            folder,
            "api",
            broker=broker,
            database_url=f"sqlite:///{folder}/sluice.db",
            port=0,
            api_keys=keys_json(),
            banks=msgspec.json.encode({BANK: ""}).decode(),
            bank_url=f"http://127.0.0.1:{port}",
            **NO_BRAKE,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._engine.dispose()
        for program in (self._api, self._bank):
            program.kill()

    def start(self) -> None:
        """Start both; return once ``controls`` tells every worker of the listed accounts."""
        for program in (self._bank, self._api):
            program.start(wait=False)
        for program in (self._bank, self._api):
            program.wait_ready()
        self._open_accounts()
        for account in self._listed:
            self._list(account)
        eye = Eye(self._broker, Topic.CONTROLS, decode_control)
        eye.until(lambda seen: len(seen) == len(self._listed))
        eye.close()

    def _open_accounts(self) -> None:
        openings = [
            Opening(bank=BANK, account=each, opened_us=START_US, balance_fen=BALANCE_FEN) for each in self._listed
        ]
        httpx.post(
            f"{self._bank.url}/accounts:batch", content=msgspec.json.encode(openings), timeout=WAIT_S
        ).raise_for_status()

    def _list(self, account: str) -> None:
        """Put an account on the black list, as two persons do."""
        place = f"{self._api.url}/v1/lists/{BANK}/{account}"
        body = msgspec.json.encode({"level": "black", "reason": "named by the police"})
        httpx.put(place, content=body, headers=key_of("ann") | JSON, timeout=WAIT_S).raise_for_status()
        httpx.post(f"{place}/approve", headers=key_of("bob"), timeout=WAIT_S).raise_for_status()

    def kill_in_the_act(self) -> int:
        """Kill the api once the bank has executed a stop of which it has not heard, and start it again.

        Return how many such stops there were when it was dead.
        """
        deadline = time.monotonic() + WAIT_S
        while not self._unheard():
            assert time.monotonic() < deadline, "no stop to be killed in"
            time.sleep(POLL_S)
        self._api.kill()
        unheard = self._unheard()
        self._api.start(wait=False)
        return unheard

    def _unheard(self) -> int:
        with self._engine.connect() as connection:
            return sum(outbox.is_open(connection, each) for each in self.executed())

    def executed(self) -> list[str]:
        """Return the application id of every control the bank has put in force, as often as it has."""
        raw = httpx.get(f"{self._bank.url}/controls", timeout=WAIT_S).content
        return [entry.application_id for entry in msgspec.json.decode(raw, type=Journal).entries]

    def settled(self, accepted: int) -> bool:
        """Return whether so many assessments are stored and no command waits for its answer."""
        with self._engine.connect() as connection:
            return transfers.count_transfers(connection)["assessed"] >= accepted and not outbox.ages(connection)

    def found(self) -> Found:
        """Return what the store and the bank say now; the api must run."""
        self._api.wait_ready()
        verdict = httpx.get(f"{self._api.url}/v1/verify", headers=key_of("ops"), timeout=WAIT_S).raise_for_status()
        row = tables.assessments.c
        with self._engine.connect() as connection:
            taken = connection.execute(select(row.transfer_id, row.action, row.order_id).where(row.band == "stop"))
            return Found(
                stored=transfers.count_transfers(connection)["assessed"],
                taken={each.transfer_id: (Action(each.action), each.order_id) for each in taken},
                orders=orders.every(connection, "", MAX_ORDERS),
                executed=self.executed(),
                breaches=msgspec.json.decode(verdict.content, type=Verification).breaches,
            )

    def stop(self) -> int | None:
        """Stop the api in order; return its exit code."""
        return self._api.stop()
