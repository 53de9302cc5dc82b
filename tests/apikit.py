"""A running api in the test's own process: embedded broker, fake bank, database in a folder."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from fastapi import FastAPI

from api.app import create_app
from api.auth import hash_key
from api.bank import Gateway, NoAnswer, Trouble
from api.runtime import Runtime
from api.settings import ApiSettings
from api.store import transfers
from api.store.transfers import Registration
from models.control.messages import AppliedControl, BankCommand, BankFeedback, CommandKind, ControlKind, ResultCode
from models.money.types import Transfer
from models.risk.assessment import Assessment, Band, Reason, StageTimes
from models.wire import PARTITIONER, Topic, encode
from stream.broker import EmbeddedBroker
from stream.topics import ensure_topics
from telemetry.clock import Clock, wall_us

WAIT_S = 60.0
"""Only a failure waits this long; a busy machine is no failure."""

KEYS: list[dict[str, Any]] = [
    {"name": "icbc", "banks": ["icbc"]},
    {"name": "ccb", "banks": ["ccb"]},
    {"name": "house", "banks": ["*"]},
    {"name": "ann", "roles": ["analyst"]},
    {"name": "bob", "roles": ["approver"]},
    {"name": "cyd", "roles": ["analyst", "approver"]},
    {"name": "dan", "roles": ["analyst", "approver"]},
    {"name": "ops", "roles": ["operator"]},
]
"""In tests a key is its owner's name with ``-key``."""


def key_of(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-key"}


def keys_json() -> str:
    return msgspec.json.encode([each | {"sha256": hash_key(each["name"] + "-key")} for each in KEYS]).decode()


def settings_for(broker: str, folder: Path, **changes: Any) -> ApiSettings:
    values: dict[str, Any] = {
        "broker": broker,
        "database_url": f"sqlite:///{folder}/sluice.db",
        "api_keys": keys_json(),
        "banks": {"icbc": "", "ccb": "", "abc": ""},
        "bank_url": "http://127.0.0.1:1",
        "retry_first_s": 0.02,
        "retry_max_s": 0.1,
        "breaker_open_s": 0.1,
        "timer_ms": 20,
        "persist_every_ms": 20,
        "instance": "api",
    }
    return ApiSettings(**(values | changes))


class FakeBank:
    """A bank in memory behind the `Gateway` protocol; ``script`` answers instead for its next calls."""

    def __init__(self, clock_us: Callable[[], int] = wall_us, control: ControlKind = ControlKind.AMOUNT_HOLD) -> None:
        self.clock_us = clock_us
        self.control = control
        self.sent: list[BankCommand] = []
        self.asked: list[str] = []
        self.answers: dict[str, BankFeedback] = {}
        self.in_force: dict[str, AppliedControl] = {}
        self.accounts: dict[str, str] = {}
        self.script: list[BankFeedback | NoAnswer | Callable[[BankCommand], BankFeedback]] = []
        self.silent = False
        self.lose_answers = 0

    async def send(self, command: BankCommand) -> BankFeedback:
        self.sent.append(command)
        if self.silent:
            raise NoAnswer(Trouble.TIMEOUT, "silent")
        if command.application_id in self.answers:
            return self.answers[command.application_id]
        feedback = self._execute(command)
        self.answers[command.application_id] = feedback
        if self.lose_answers:
            self.lose_answers -= 1
            raise NoAnswer(Trouble.TIMEOUT, "answer lost")
        return feedback

    def _execute(self, command: BankCommand) -> BankFeedback:
        if self.script:
            step = self.script.pop(0)
            if isinstance(step, NoAnswer):
                raise step
            return step(command) if callable(step) else step
        if command.kind in (CommandKind.PROTECTIVE_RELEASE, CommandKind.STOP_LIFT, CommandKind.UNFREEZE):
            gone = self.in_force.pop(command.original_application_id, None)
            return answer(command, ResultCode.OK if gone else ResultCode.ORIGINAL_UNKNOWN)
        if command.kind in (CommandKind.STOP_EXTENSION, CommandKind.FREEZE_EXTENSION):
            return answer(command, ResultCode.OK, start_us=self.clock_us())
        return self.apply(command)

    def apply(self, command: BankCommand, **changes: Any) -> BankFeedback:
        now = self.clock_us()
        kind = self.control if command.amount_fen else ControlKind.DEBIT_BLOCK
        values = {"control": kind, "start_us": now, "expire_us": command.expire_us, "executed_fen": command.amount_fen}
        values |= {"result": ResultCode.OK} | changes
        feedback = answer(command, values.pop("result"), **values)
        self.in_force[command.application_id] = AppliedControl(
            application_id=command.application_id,
            kind=command.kind,
            control=feedback.control or kind,
            start_us=feedback.start_us,
            expire_us=feedback.expire_us,
            executed_fen=feedback.executed_fen or 0,
        )
        self.accounts[command.application_id] = command.account_number
        return feedback

    async def query(self, bank: str, application_id: str) -> BankFeedback | None:
        self.asked.append(application_id)
        if self.silent:
            raise NoAnswer(Trouble.TIMEOUT, "silent")
        return self.answers.get(application_id)

    async def controls(self, bank: str, account: str) -> list[AppliedControl] | None:
        if self.silent:
            raise NoAnswer(Trouble.TIMEOUT, "silent")
        return [control for key, control in self.in_force.items() if self.accounts[key] == account]


def answer(command: BankCommand, result: str, **changes: Any) -> BankFeedback:
    return BankFeedback(
        application_id=command.application_id,
        result=result,
        feedback_time_us=wall_us(),
        account_number=command.account_number,
        **changes,
    )


numbers = itertools.count(1)


def transfer(**changes: Any) -> Transfer:
    values: dict[str, Any] = {
        "transfer_id": f"t-{next(numbers):06d}",
        "payer_bank": "icbc",
        "payer_account": "6222020000000001",
        "payee_bank": "ccb",
        "payee_account": "6217000000000002",
        "amount_fen": 500_000,
        "occurred_us": wall_us(),
    }
    return Transfer(**(values | changes))


def registration(transfer_id: str, **changes: Any) -> Registration:
    values: dict[str, Any] = {"digest": b"d", "accepted_wall_us": 1, "payer_bank": "icbc", "payee_bank": "ccb"}
    return Registration(transfer_id=transfer_id, **(values | changes))


def assessed(subject: Transfer, band: Band = Band.STOP, **changes: Any) -> Assessment:
    values: dict[str, Any] = {
        "transfer": subject,
        "risk": {Band.STOP: 0.97, Band.WATCH: 0.6, Band.ALLOW: 0.01}[band],
        "band": band,
        "reasons": (Reason(code="C01", weight=1.0, zh="疑似出租出借账户", en="seems for hire"),),
        "features": (1.0, 2.5),
        "feature_set": "f1",
        "rule_book": "r1",
        "scores": (),
        "stages": StageTimes(accepted_us=wall_us(), debited_us=wall_us(), assessed_us=wall_us()),
    }
    return Assessment(**(values | changes))


class Topics:
    """Writes to and reads from topics of a broker."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._producer = Producer({"bootstrap.servers": broker, "partitioner": PARTITIONER, "linger.ms": 0})

    def put(
        self, topic: Topic, key: str, value: bytes | msgspec.Struct, *headers: tuple[str, str | bytes | None]
    ) -> None:
        raw = value if isinstance(value, bytes) else encode(value)
        self._producer.produce(topic, raw, key, headers=list(headers))
        assert not self._producer.flush(WAIT_S)

    def assess(self, *assessments: Assessment) -> None:
        for each in assessments:
            self.put(Topic.ASSESSMENTS, each.transfer.payee, each)

    async def read_all(self, topic: Topic) -> list[Any]:
        """Return every record that a topic holds now."""
        return await asyncio.to_thread(self._collect, topic, None)

    async def collect(self, topic: Topic, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Return records from the beginning until there are enough of them, or none comes for `WAIT_S`."""
        return await asyncio.to_thread(self._collect, topic, enough)

    def _collect(self, topic: Topic, enough: Callable[[list[Any]], bool] | None) -> list[Any]:
        told = {"group.id": "test", "fetch.wait.max.ms": 5, "enable.partition.eof": True}
        consumer = Consumer({"bootstrap.servers": self.broker, **told})
        unread = set(consumer.list_topics(topic, timeout=WAIT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, place, OFFSET_BEGINNING) for place in unread])
        found: list[Any] = []
        while not enough(found) if enough else unread:
            message = consumer.poll(WAIT_S)
            if message is None:
                break
            if message.error() is None:
                found.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
        consumer.close()
        assert enough or not unread, f"the broker tells nothing of {topic}"
        return found


class Api:
    """A running api and what tests need around it."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, topics: Topics, bank: FakeBank | None) -> None:
        self.app = app
        self.client = client
        self.topics = topics
        self.fake = bank
        self.runtime: Runtime = app.state.runtime

    @property
    def bank(self) -> FakeBank:
        assert self.fake is not None
        return self.fake

    async def get(self, path: str, who: str = "ann", **params: Any) -> Any:
        response = await self.client.get(path, headers=key_of(who), params=params)
        return response.json() if response.status_code == 200 else response

    async def post(self, path: str, body: Any = None, who: str = "ann", **params: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.client.post(path, content=content, headers=key_of(who) | JSON, params=params)

    async def put(self, path: str, body: Any, who: str = "ann") -> httpx.Response:
        return await self.client.put(path, content=msgspec.json.encode(body), headers=key_of(who) | JSON)

    async def orders(self, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/v1/orders", **params))["orders"]
        return found

    async def order_in(self, state: str, kind: str = "protective_stop") -> dict[str, Any]:
        """Wait until exactly one order of a kind is in a state, and return it."""

        async def look() -> dict[str, Any] | None:
            found = await self.orders(state=state, kind=kind)
            return found[0] if len(found) == 1 else None

        return await until(look)


JSON = {"Content-Type": "application/json"}


async def until(look: Callable[[], Awaitable[Any]], timeout_s: float = WAIT_S) -> Any:
    """Return what ``look`` gives as soon as it is truthy; fail the test after ``timeout_s``."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline:
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"did not come true: {look}")


async def stored(api: Api, transfer_id: str) -> Any:
    """Return the row of an assessment once the api has stored it."""
    return await until(lambda: api.runtime.database.read(lambda c: transfers.find_assessment(c, transfer_id)))


@asynccontextmanager
async def running(
    settings: ApiSettings, *, bank: FakeBank | None = None, gateway: Gateway | None = None, clock: Clock | None = None
) -> AsyncIterator[Api]:
    """Start the api with a fake bank (or another gateway) and stop it again."""
    fake = bank if bank is not None or gateway is not None else FakeBank()
    ensure_topics(settings.broker, 4)
    app = create_app(settings, gateway=gateway or fake, clock=clock)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api", timeout=30) as client,
    ):
        api = Api(app, client, Topics(settings.broker), fake)

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(ready)
        yield api


async def kill(broker: EmbeddedBroker) -> None:
    """End an embedded broker and wait until nothing answers at its address."""
    host, _, port = broker.bootstrap.partition(":")
    broker.close()

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return True
        writer.close()
        return False

    await until(refused)
