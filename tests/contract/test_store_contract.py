"""One suite for both databases: what the api's store promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from prometheus_client import REGISTRY
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from api.store import database as database_module
from api.store import lists, orders, outbox, publications, transfers
from api.store.database import Database, Priority, StoreAway
from api.store.migrate import config_for, upgrade
from api.store.tables import metadata
from api.store.transfers import AssessedRow, Registration, Standing
from models.control.commands import command_of
from models.control.deadlines import Due, DueKind
from models.control.orders import step
from models.control.policy import Action
from models.control.records import Order
from models.control.states import OrderEvent, OrderKind, OrderState
from models.money.types import AccountId
from models.risk.assessment import Band, ListLevel
from models.wire import ControlEntry, Topic
from tests.apikit import assessed, registration, transfer
from tests.controlkit import T0, act, order
from tests.pgkit import PostgresServer


def rows(*ids: str, content: bytes = b"x") -> list[Registration]:
    return [registration(each, digest=content, accepted_wall_us=100) for each in ids]


async def test_migrations_make_exactly_the_tables(database: Database) -> None:
    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    upgrade(database.engine)
    assert await database.read(compare) == []


async def test_what_was_registered_before_parties_were_kept_stays_without(database: Database) -> None:
    def back(connection: Connection) -> None:
        command.downgrade(config_for(connection), "0003")
        connection.execute(text("INSERT INTO accepted (transfer_id, digest) VALUES ('old', :digest)"), {"digest": b"x"})

    await database.write(back)
    upgrade(database.engine)
    again = await database.write(lambda c: transfers.register(c, rows("old", "new")))
    assert [again[each].standing for each in ("old", "new")] == [Standing.UNCONFIRMED, Standing.NEW]
    for name, parties in {"old": (None, None), "new": ("icbc", "ccb")}.items():
        found = await database.read(lambda c, name=name: transfers.find_accepted(c, name))
        assert (found.payer_bank, found.payee_bank) == parties
    await test_migrations_make_exactly_the_tables(database)


class TestRegistry:
    async def test_standing(self, database: Database) -> None:
        first = await database.write(lambda c: transfers.register(c, rows("a", "b")))
        assert {each.standing for each in first.values()} == {Standing.NEW}
        await database.write(lambda c: transfers.confirm(c, ["a"], 200))
        again = await database.write(lambda c: transfers.register(c, rows("a", "b", "c")))
        assert [again[each].standing for each in "abc"] == [Standing.CONFIRMED, Standing.UNCONFIRMED, Standing.NEW]
        other = await database.write(lambda c: transfers.register(c, rows("a", content=b"y")))
        assert other["a"].standing is Standing.CONFLICT
        assert (other["a"].accepted_wall_us, other["a"].digest) == (100, b"x")

    async def test_more_than_one_statement_takes(self, database: Database) -> None:
        many = rows(*(f"id{number}" for number in range(1_203)))
        first = await database.write(lambda c: transfers.register(c, many))
        again = await database.write(lambda c: transfers.register(c, many[1_000:]))
        assert len(first) == 1_203
        assert {each.standing for each in again.values()} == {Standing.UNCONFIRMED}

    async def test_counts_and_missing_assessments(self, database: Database) -> None:
        subject, lost = transfer(), transfer()
        ids = [subject.transfer_id, lost.transfer_id, "posted"]
        await database.write(lambda c: transfers.register(c, rows(*ids)))
        await database.write(lambda c: transfers.confirm(c, ids[:2], 200))
        row = AssessedRow(assessment=assessed(subject, Band.WATCH), body=b"{}")
        for _ in range(2):
            await database.write(lambda c: transfers.record_assessments(c, [row], 1))
        assert await database.read(transfers.count_transfers) == {"posted": 3, "accepted": 2, "assessed": 1}
        assert await database.read(lambda c: transfers.unassessed(c, 200, 9)) == [lost.transfer_id]
        assert await database.read(lambda c: transfers.unassessed(c, 199, 9)) == []


async def test_an_assessment_stays_as_first_recorded(database: Database) -> None:
    subject = transfer()
    first = AssessedRow(assessment=assessed(subject), body=b"1", action=Action.ORDER, order_id="PS-1")
    later = AssessedRow(assessment=assessed(subject, Band.ALLOW), body=b"2")
    for row in (first, later):
        await database.write(lambda c, row=row: transfers.record_assessments(c, [row], 1))
    found = await database.read(lambda c: transfers.find_assessment(c, subject.transfer_id))
    assert found is not None
    assert (found.body, found.action, found.order_id, found.band) == (b"1", "order", "PS-1", "stop")


class TestOrders:
    async def test_same_cause_is_stored_once(self, database: Database) -> None:
        due = Due(T0, DueKind.FEEDBACK)
        assert await database.write(lambda c: orders.insert(c, order(), due))
        assert not await database.write(lambda c: orders.insert(c, order(amount_fen=1), due))
        found = await database.read(lambda c: orders.get(c, order().order_id))
        assert found == order()

    async def test_a_stale_version_is_refused(self, database: Database) -> None:
        await database.write(lambda c: orders.insert(c, order(), None))
        silent = step(order(), OrderEvent.FEEDBACK_OVERDUE, act())
        await database.write(lambda c: orders.save(c, silent, None))
        with pytest.raises(orders.StaleOrder):
            await database.write(lambda c: orders.save(c, silent, None))

    async def test_found_by_account_transfer_state_and_page(self, database: Database) -> None:
        made = [
            order(order_id=f"PS-{n:016x}", created_us=T0 + n // 2, transfer_ids=(f"t{n}", "shared")) for n in range(5)
        ]
        for each in made:
            await database.write(lambda c, each=each: orders.insert(c, each, None))
        seen: list[Order] = []
        after = None
        while page := await database.read(lambda c, after=after: orders.search(c, orders.Filter(after=after, limit=2))):
            seen += page
            after = (page[-1].created_us, page[-1].order_id)
        assert [each.order_id for each in seen] == [each.order_id for each in reversed(made)]
        assert len(await database.read(lambda c: orders.of_transfer(c, "shared"))) == 5
        assert await database.read(lambda c: orders.of_transfer(c, "t3")) == [made[3]]
        assert len(await database.read(lambda c: orders.search(c, orders.Filter(state="applied")))) == 0
        assert len(await database.read(lambda c: orders.open_on_account(c, "ccb", "6217"))) == 5
        assert await database.read(lambda c: orders.open_on_account(c, "ccb", "6218")) == ()
        assert await database.read(orders.counts) == [("protective_stop", "proposed", "ccb", 5, T0)]

    async def test_clocks(self, database: Database) -> None:
        for number, at in enumerate((30, 10, 20, 0)):
            each = order(order_id=f"PS-{number:016x}")
            due = Due(at, DueKind.FEEDBACK) if at else None
            await database.write(lambda c, each=each, due=due: orders.insert(c, each, due))
        found = await database.read(lambda c: orders.due(c, 25, 9))
        assert [each.order_id[-1] for each in found] == ["1", "2"]
        assert await database.write(lambda c: orders.set_due(c, found[0], None))
        assert len(await database.read(lambda c: orders.due(c, 25, 9))) == 1

    async def test_a_clock_is_not_moved_by_whoever_knows_an_earlier_version(self, database: Database) -> None:
        await database.write(lambda c: orders.insert(c, order(), Due(10, DueKind.FEEDBACK)))
        silent = step(order(), OrderEvent.FEEDBACK_OVERDUE, act())
        await database.write(lambda c: orders.save(c, silent, Due(20, DueKind.RECONCILE)))
        assert not await database.write(lambda c: orders.set_due(c, order(), Due(15, DueKind.RECONCILE)))
        assert await database.read(lambda c: orders.due(c, 19, 9)) == []
        assert await database.write(lambda c: orders.set_due(c, silent, Due(15, DueKind.RECONCILE)))
        assert await database.read(lambda c: orders.due(c, 15, 9)) == [silent]

    async def test_earlier_stops_count_those_that_took_effect_and_their_extensions(self, database: Database) -> None:
        def stop(number: int, **changes: object) -> Order:
            return order(OrderKind.STOP, OrderState.EXPIRED, order_id=f"SP-{number:016x}", **changes)  # type: ignore[arg-type]

        for each in (stop(1, stop_point_us=T0, extended=1), stop(2), stop(3, stop_point_us=T0, account="other")):
            await database.write(lambda c, each=each: orders.insert(c, each, None))
        assert await database.read(lambda c: orders.earlier_stops(c, stop(9))) == 2
        assert await database.read(lambda c: orders.earlier_stops(c, stop(1))) == 0

    @pytest.mark.parametrize(
        ("state", "counts"),
        [
            (OrderState.DRAFT, 0), (OrderState.SUBMITTED, 0), (OrderState.REJECTED, 0), (OrderState.REFUSED, 0),
            (OrderState.APPROVED, 1), (OrderState.DISPATCHED, 1), (OrderState.UNCONFIRMED, 1),
            (OrderState.EFFECTIVE, 1), (OrderState.EXTENDING, 2), (OrderState.LIFTED, 1),
        ],
    )  # fmt: skip
    async def test_a_stop_that_may_yet_take_effect_counts_and_so_does_an_extension(
        self, database: Database, state: OrderState, counts: int
    ) -> None:
        in_force = state in (OrderState.EFFECTIVE, OrderState.EXTENDING, OrderState.LIFTED)
        each = order(OrderKind.STOP, state, order_id="SP-0000000000000001", stop_point_us=T0 if in_force else 0)
        await database.write(lambda c: orders.insert(c, each, None))
        asking = order(OrderKind.STOP, order_id="SP-0000000000000002")
        assert await database.read(lambda c: orders.earlier_stops(c, asking)) == counts

    async def test_lapsing(self, database: Database) -> None:
        applied = order(state=OrderState.APPLIED, stop_point_us=T0, expire_us=T0 + 10)
        await database.write(lambda c: orders.insert(c, applied, None))
        assert await database.read(lambda c: orders.lapsing(c, ["applied"], T0 + 10)) == {("protective_stop", "ccb"): 1}
        assert await database.read(lambda c: orders.lapsing(c, ["applied"], T0 + 9)) == {}


class TestOutbox:
    @staticmethod
    def pending(number: int = 1, priority: int = 0) -> outbox.Pending:
        subject = order(order_id=f"PS-{number:016x}")
        return outbox.Pending(
            command=command_of(subject, now_us=T0),
            order_id=subject.order_id,
            priority=priority,
            created_wall_us=number,
            stamps=outbox.Stamps(5, 6),
        )

    async def test_leases_keep_replicas_apart_until_they_run_out(self, database: Database) -> None:
        await database.write(lambda c: outbox.enqueue(c, self.pending(), "one", 100))
        assert await database.write(lambda c: outbox.lease(c, "two", 100, 200, 9)) == []
        assert await database.write(lambda c: outbox.lease(c, "one", 50, 100, 9)) == [self.pending()]
        taken = await database.write(lambda c: outbox.lease(c, "two", 101, 200, 9))
        assert [each.order_id for each in taken] == [self.pending().order_id]
        assert await database.write(lambda c: outbox.lease(c, "one", 102, 300, 9)) == []

    async def test_urgent_first_and_answered_never_again(self, database: Database) -> None:
        for each in (self.pending(1, 5), self.pending(2, 0), self.pending(3, 0)):
            await database.write(lambda c, each=each: outbox.enqueue(c, each, "one", 100))
        order_of = [each.created_wall_us for each in await database.write(lambda c: outbox.lease(c, "one", 1, 2, 9))]
        assert order_of == [2, 3, 1]
        application_id = self.pending(2).command.application_id
        assert await database.read(lambda c: outbox.is_open(c, application_id))
        assert await database.write(lambda c: outbox.settle(c, application_id, "bank_ok", 7))
        assert not await database.write(lambda c: outbox.settle(c, application_id, "bank_ok", 8))
        assert not await database.read(lambda c: outbox.is_open(c, application_id))
        assert await database.read(outbox.ages) == [("ccb", 2, 1)]
        assert await database.read(lambda c: outbox.stamps_of(c, self.pending(1).order_id)) == outbox.Stamps(5, 6)


async def test_publications_keep_their_order(database: Database) -> None:
    for number in range(3):
        entry = ControlEntry(account=AccountId(f"ccb/{number}"), updated_us=number)
        await database.write(lambda c, entry=entry: publications.publish(c, Topic.CONTROLS, entry.account, entry, 1))
    waiting = await database.read(lambda c: publications.unpublished(c, 2))
    assert [each.key for each in waiting] == [b"ccb/0", b"ccb/1"]
    await database.write(lambda c: publications.remove(c, [each.id for each in waiting]))
    assert [each.key for each in await database.read(lambda c: publications.unpublished(c, 9))] == [b"ccb/2"]


async def test_lists_and_their_changes(database: Database) -> None:
    account = AccountId("ccb/6217")
    change = {"account": account, "level": "black", "reason": "涉案", "maker": "ann", "requested_us": 1}
    assert await database.write(lambda c: lists.propose_change(c, change))
    assert not await database.write(lambda c: lists.propose_change(c, change | {"level": "white"}))
    waiting = await database.read(lambda c: lists.pending_change(c, account))
    assert waiting is not None
    assert await database.write(lambda c: lists.decide_change(c, waiting.id, "approved", "bob", 2))
    assert not await database.write(lambda c: lists.decide_change(c, waiting.id, "rejected", "bob", 3))
    values = {"account": account, "level": "black", "reason": "涉案", "maker": "ann", "checker": "bob", "updated_us": 2}
    for level in ("black", "grey"):
        await database.write(lambda c, level=level: lists.put_level(c, values | {"level": level}))
    assert await database.read(lambda c: lists.level_of(c, account)) is ListLevel.GREY
    assert await database.read(lambda c: lists.level_of(c, AccountId("ccb/1"))) is ListLevel.NONE
    assert await database.write(lambda c: lists.propose_change(c, change))


async def test_what_follows_a_commit_follows_it_before_the_next_write_and_never_a_rollback(database: Database) -> None:
    done: list[str] = []

    def work(name: str, fails: bool) -> str:
        done.append(f"{name} begins")
        if fails:
            raise ValueError(name)
        return name

    futures = [
        database.submit(lambda _c, n=name, f=fails: work(n, f), committed=lambda name: done.append(f"{name} committed"))
        for name, fails in (("first", False), ("second", True), ("third", False))
    ]
    found = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    assert [str(each) for each in found] == ["first", "second", "third"]
    assert done == ["first begins", "first committed", "second begins", "third begins", "third committed"]


async def test_urgent_writes_overtake(database: Database) -> None:
    done: list[str] = []
    begun, gate = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def block(_connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(60)

    first = asyncio.wrap_future(database.submit(block, Priority.BULK))
    await asyncio.wait_for(begun.wait(), 60)
    bulk = asyncio.wrap_future(database.submit(lambda _c: done.append("bulk"), Priority.BULK))
    stop = asyncio.wrap_future(database.submit(lambda _c: done.append("stop"), Priority.STOP))
    gate.set()
    await asyncio.gather(first, bulk, stop)
    assert done == ["stop", "bulk"]


async def test_own_errors_pass_through_and_the_writer_lives_on(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda _c: 1 / 0)
    with pytest.raises(DBAPIError):
        await database.write(lambda c: c.execute(text("SELECT 1 FROM nowhere")) and None)
    assert await database.write(lambda _c: "alive") == "alive"


def told_away() -> dict[str, float | None]:
    return {work: REGISTRY.get_sample_value("sluice_database_away", {"work": work}) for work in ("read", "write")}


async def test_a_database_that_somebody_has_locked_is_told_as_not_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 1)
    store = Database(f"sqlite:///{tmp_path}/x.db")
    upgrade(store.engine)
    store.start()
    intruder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    try:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreAway):
            await store.write(lambda c: transfers.register(c, rows("a")))
        await store.read(transfers.count_transfers)
        assert told_away() == {"read": 0.0, "write": 1.0}
        intruder.execute("ROLLBACK")
        await store.write(lambda c: transfers.register(c, rows("a")))
        assert told_away() == {"read": 0.0, "write": 0.0}
    finally:
        intruder.close()
        store.stop()


@pytest.mark.postgres
async def test_a_database_that_goes_away_is_told_apart_from_a_bug_and_comes_back() -> None:
    server = PostgresServer()
    store = Database(server.new_database())
    try:
        upgrade(store.engine)
        store.start()
        await store.write(lambda c: transfers.register(c, rows("a")))
        server.stop()
        with pytest.raises(StoreAway):
            await store.write(lambda c: transfers.register(c, rows("b")))
        with pytest.raises(StoreAway):
            await store.read(transfers.count_transfers)
        assert told_away() == {"read": 1.0, "write": 1.0}
        server.start()
        answer = await store.write(lambda c: transfers.register(c, rows("a", "b")))
        assert [answer[each].standing for each in "ab"] == [Standing.UNCONFIRMED, Standing.NEW]
        await store.read(transfers.count_transfers)
        assert told_away() == {"read": 0.0, "write": 0.0}
    finally:
        store.stop()
        server.remove()
