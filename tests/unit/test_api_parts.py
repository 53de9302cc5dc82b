"""Small parts of the api: keys, breaker, group commit, waiters, problems, settings."""

from __future__ import annotations

import asyncio
import doctest
import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import Request
from structlog.testing import capture_logs

from api.auth import Gatekeeper, Role, hash_key, read_keys, require_role
from api.breaker import Breaker
from api.errors import ApiError, Forbidden, FrameworkError, Unauthenticated, Unavailable
from api.registry import Registry
from api.runtime import Runtime
from api.settings import ApiSettings
from api.store import transfers
from api.store.database import Database, StoreAway
from api.store.migrate import upgrade
from api.store.transfers import Standing
from api.waiters import DecisionView, Waiters
from models.risk.assessment import Band
from telemetry.clock import ManualClock, ScaledClock
from tests.apikit import keys_json, registration, settings_for
from tests.controlkit import T0


@pytest.mark.parametrize("module", ["api.auth", "api.breaker", "api.decoding", "api.service.reports"])
def test_examples_in_docstrings(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def entry(**changes: object) -> dict[str, object]:
    return {"name": "ann", "sha256": hash_key("k"), "roles": ["analyst"]} | changes


def keys(*entries: dict[str, object]) -> str:
    return msgspec.json.encode(list(entries)).decode()


class TestKeys:
    @pytest.mark.parametrize(
        "entries",
        [
            [entry(), entry(sha256=hash_key("other"))],
            [entry(), entry(name="bob")],
            [entry(name="sluice")],
            [entry(roles=[])],
            [entry(banks=["icbc"])],
            [entry(roles=["king"])],
            [entry(sha256="plain text key")],
            [entry(name="a b")],
            [entry(key="plain")],
        ],
    )
    def test_keys_that_contradict_each_other_are_refused(self, entries: list[dict[str, object]]) -> None:
        with pytest.raises((ValueError, msgspec.ValidationError)):
            read_keys(keys(*entries))

    def test_keys_come_from_setting_and_file(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_text(keys(entry(name="bob", sha256=hash_key("b"), roles=["approver"])))
        assert [key.name for key in read_keys(keys(entry()), file)] == ["ann", "bob"]
        assert read_keys("", None) == []

    @staticmethod
    def request(**headers: str) -> Request:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return Request({"type": "http", "headers": raw})

    def test_caller_is_recognised_by_either_header(self) -> None:
        gate = Gatekeeper(read_keys(keys_json()))
        for headers in (
            {"authorization": "Bearer ann-key"},
            {"authorization": "bearer ann-key"},
            {"x_api_key": "ann-key"},
        ):
            assert gate.recognise(self.request(**headers)).name == "ann"
        for headers in (
            {},
            {"authorization": "Bearer "},
            {"authorization": "Bearer nope"},
            {"x_api_key": hash_key("ann-key")},
        ):
            with pytest.raises(Unauthenticated):
                gate.recognise(self.request(**headers))
        assert gate.banks() == {"icbc", "ccb"}

    def test_roles(self) -> None:
        gate = Gatekeeper(read_keys(keys_json()))
        ann = gate.recognise(self.request(x_api_key="ann-key"))
        assert require_role(ann, Role.ANALYST) is ann
        with pytest.raises(Forbidden):
            require_role(ann, Role.APPROVER, Role.ADMIN)
        house = gate.recognise(self.request(x_api_key="house-key"))
        assert house.is_party("whatever")
        assert not ann.is_party("icbc")


class TestBreaker:
    def test_opens_after_failures_in_a_row_only(self) -> None:
        breaker = Breaker(failures=3, open_s=10)
        for _ in range(5):
            breaker.failed(0)
            breaker.failed(0)
            breaker.succeeded()
        assert not breaker.is_open

    def test_one_trial_at_a_time_and_longer_waits_after_each_failed_one(self) -> None:
        breaker = Breaker(failures=1, open_s=10)
        breaker.failed(0)
        waits = []
        now = 0.0
        for _ in range(6):
            waits.append(breaker.wait_s(now))
            now += breaker.wait_s(now)
            assert breaker.allows(now)
            assert not breaker.allows(now)
            breaker.failed(now)
        assert waits == [10, 20, 40, 80, 80, 80]

    def test_a_trial_that_is_never_answered_does_not_close_the_way_for_ever(self) -> None:
        breaker = Breaker(failures=1, open_s=10)
        breaker.failed(0)
        assert breaker.allows(10)
        assert not breaker.allows(19)
        assert breaker.allows(20)


class TestGroupCommit:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        database = Database(f"sqlite:///{tmp_path}/r.db")
        upgrade(database.engine)
        database.start()
        return database

    async def test_requests_that_wait_share_a_transaction(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        real = transfers.register
        monkeypatch.setattr(transfers, "register", lambda c, rows: sizes.append(len(rows)) or real(c, rows))
        registry = Registry(database)
        rows = [[registration(f"t{n}")] for n in range(50)]
        answers = await asyncio.gather(*(registry.register(each) for each in rows))
        assert sum(sizes) == 50
        assert len(sizes) < 5
        assert {answer[f"t{n}"].standing for n, answer in enumerate(answers)} == {Standing.NEW}
        database.stop()

    async def test_a_confirmation_is_seen_by_whoever_registers_next(self, database: Database) -> None:
        registry = Registry(database)
        await registry.register([registration("t")])
        registry.confirm(["t"])
        again = await registry.register([registration("t")])
        assert again["t"].standing is Standing.CONFIRMED
        registry.confirm(["t"])
        await registry.drain()
        database.stop()

    async def test_trouble_reaches_every_request_and_loses_no_confirmation(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = Registry(database)
        await registry.register([registration("t")])

        async def away(_work: object) -> object:
            raise StoreAway("away")

        registry.confirm(["t"])
        monkeypatch.setattr(database, "write", away)
        posts = [registry.register([registration(f"u{n}")]) for n in range(3)]
        assert all(isinstance(each, StoreAway) for each in await asyncio.gather(*posts, return_exceptions=True))
        monkeypatch.undo()
        again = await registry.register([registration("t")])
        assert again["t"].standing is Standing.CONFIRMED
        database.stop()


async def test_waiters_wake_everyone_and_keep_nothing() -> None:
    waiters = Waiters()
    first, second = waiters.expect("t"), waiters.expect("t")
    assert first is not None
    assert second is not None
    decision = DecisionView(transfer_id="t", risk=0.1, band=Band.ALLOW, reasons=(), action="none", order_id="")
    waiters.decided([decision, msgspec.structs.replace(decision, transfer_id="u")])
    assert (await first, await second) == (decision, decision)
    for future in (first, second, first):
        waiters.forget("t", future)
    assert (waiters.waiting, waiters._futures) == (0, {})


def test_problems_know_their_status_and_title() -> None:
    problem = Unavailable("broker_away", "try again").problem()
    assert problem["status"] == 503
    assert (
        problem["title"] == "Temporarily unavailable; what is not told as accepted may be posted again, which is safe"
    )
    assert Unavailable("x", "y").response().headers["retry-after"] == "1"
    assert FrameworkError(405, "no", {"Allow": "GET"}).response().headers["allow"] == "GET"
    for kind in ApiError.__subclasses__():
        assert kind.__doc__


class TestSettings:
    def test_a_fast_world_gives_banks_and_clocks_their_wall_time(self, tmp_path: Path) -> None:
        settings = settings_for("127.0.0.1:1", tmp_path)
        slow = Runtime(settings, clock=ManualClock(T0))
        assert slow.transactor.rules.feedback_us == 60_000_000
        assert slow.present() == (T0, T0 + 300_000_000)
        fast = Runtime(settings, clock=ScaledClock(world_origin_us=T0, speed=600))
        assert fast.transactor.rules.feedback_us == 1_200_000_000
        now_us, latest_us = fast.present()
        assert latest_us - now_us == 1_200_000_000
        for runtime in (slow, fast):
            runtime.database.stop()

    def test_known_banks_are_those_configured_and_those_with_keys(self, tmp_path: Path) -> None:
        runtime = Runtime(settings_for("127.0.0.1:1", tmp_path, banks={"boc": ""}))
        assert runtime.banks == {"boc", "icbc", "ccb"}
        runtime.database.stop()

    def test_values_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_BROKER", "b:1")
        monkeypatch.setenv("SLUICE_BANKS", '{"icbc":"http://x"}')
        monkeypatch.setenv("SLUICE_HOLD_S", "3600")
        monkeypatch.setenv("SLUICE_BRAKE_SHARE", "0.5")
        settings = ApiSettings()
        assert settings.banks == {"icbc": "http://x"}
        assert settings.policy().hold_us == 3_600_000_000
        assert settings.brake_limits().share == 0.5
        assert "secret" not in repr(ApiSettings(api_keys="secret"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("keys", "warned"), [("[]", True), (keys_json(), False)])
def test_an_api_that_nobody_may_call_says_so(tmp_path: Path, keys: str, warned: bool) -> None:
    with capture_logs() as lines:
        Runtime(settings_for("127.0.0.1:9", tmp_path, api_keys=keys))
    assert any("no keys" in line["event"] for line in lines) == warned


@pytest.mark.parametrize(
    ("addresses", "unreachable"),
    [
        ({"bank_url": "http://127.0.0.1:9"}, []),
        ({"bank_url": "", "banks": {"icbc": "http://127.0.0.1:9", "boc": ""}}, [["boc", "ccb"]]),
    ],
)
def test_banks_that_no_order_can_reach_are_named(
    tmp_path: Path, addresses: dict[str, Any], unreachable: list[list[str]]
) -> None:
    with capture_logs() as lines:
        Runtime(settings_for("127.0.0.1:9", tmp_path, **addresses))
    assert [line["banks"] for line in lines if "without an address" in line["event"]] == unreachable
