"""A real Prometheus over the running stack: every panel and rule finds its series, every alert fires by its fault.

The tests of this module run in order: each causes one fault in the same stack and heals it, but for the last ones.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import pytest
from confluent_kafka import Producer

from cli.plan import BANKS
from models.wire import ACCEPTED_HEADER, Topic
from stream.exitcodes import ExitCode
from stream.ports import free_ports
from telemetry.clock import parse_clock
from tests.conftest import ALERTS_FIRED
from tests.deploy_files import DASHBOARDS, dashboard_queries, rules, selected
from tests.promkit import Prometheus, Stack, wait_until
from tests.streamkit import new_producer, post_raw, require_kafka, transfer

pytestmark = [pytest.mark.slow, pytest.mark.prometheus, pytest.mark.kafka]

QUIET_S: Final = 6.0
SETTINGS: Final = {
    "SLUICE_HOLD_S": "10800",
    "SLUICE_BANK_TIMEOUT_S": "1",
    "SLUICE_WORLD_CASES_PER_10K_DAY": "960",
    "SLUICE_WORLD_HISTORY_TRANSFERS": "4000",
    "SLUICE_MATURITY_S": "3600",
    "SLUICE_PUBLISH_EVERY_S": "2",
}
"""Short holds, so that one is always about to lapse; enough crime for statistics; a trainer that tells much."""

FLOODED: Final = "the history posted at the start is a flood, and a day of the rules is a minute"
NATURAL: Final = {
    "SluiceHoldNearExpiry": "holds last three hours of the world, so one is always in its last hour",
    "SluiceReviewOverdue": "half an hour of the world is a few seconds, and nobody reviews",
    "SluiceAssessLatencyBurn": FLOODED,
    "SluiceAssessLatencyBudgetLow": FLOODED,
    "SluiceStopLatencyBurn": FLOODED,
    "SluiceBacklog": FLOODED,
    "SluiceDrift": "a day of the world passes in minutes, with its morning, noon and night",
    "SluiceModelVersionsDiffer": "every other second a new snapshot is swapped in, by one worker after the other",
    "SluiceWorkerSaturated": "a tenth of a core counts as full here, and the machine is shared",
}
"""What may fire without a fault of ours, and why; the others must be quiet in a healthy stack."""

MAY_BE_EMPTY: Final = {"sluice_money_returned_fen_total": "the return of funds is not built yet"}
"""Series whose queries may return nothing, and why. A test fails as soon as one appears."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_kafka()
    running = Stack(tmp_path_factory.mktemp("stack"), "kafka", 2, SETTINGS)
    try:
        running.start()
        running.blacklist_shops()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    (port,) = free_ports(1)
    server = Prometheus(tmp_path_factory.mktemp("watch") / "prometheus", stack, port)
    try:
        wait_until(server.ready, "Prometheus answers")
        yield server
    finally:
        server.stop()


def expect(prometheus: Prometheus, *alerts: str) -> None:
    """Wait until each alert has fired since now."""
    missing = set(alerts)

    def all_seen() -> bool:
        nonlocal missing
        missing = missing - prometheus.firing()
        return not missing

    try:
        wait_until(all_seen, "alerts")
    except AssertionError as error:
        raise AssertionError(f"did not fire: {sorted(missing)}") from error


def expect_quiet(prometheus: Prometheus, *alerts: str) -> None:
    """Wait until none of these alerts fires."""
    wait_until(lambda: not set(alerts) & prometheus.firing(), f"quiet again: {alerts}")


def value(prometheus: Prometheus, query: str) -> float:
    return sum(prometheus.query(query))


def test_a_healthy_stack_alerts_nobody(stack: Stack, prometheus: Prometheus) -> None:
    wait_until(lambda: value(prometheus, "sum(sluice_stop_confirm_latency_seconds_count)") > 15, "stops")
    wait_until(lambda: value(prometheus, "sum(increase(sluice_transfers_accepted_total[10s]))") > 100, "live flow")
    quiet_since, firing = time.monotonic(), set[str]()

    def quiet() -> bool:
        nonlocal quiet_since, firing
        firing = prometheus.firing() - set(NATURAL)
        if firing:
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > QUIET_S

    try:
        wait_until(quiet, "quiet")
    except AssertionError as error:
        raise AssertionError(f"in a healthy stack: {firing}") from error
    assert prometheus.unhealthy_rules() == []


def test_false_stops(stack: Stack, prometheus: Prometheus) -> None:
    def found_honest() -> bool:
        stack.find_honest()
        return "SluiceFalseStopsHigh" in prometheus.firing()

    wait_until(found_honest, "SluiceFalseStopsHigh")


def test_banks_that_confirm_late(stack: Stack, prometheus: Prometheus) -> None:
    for bank in BANKS:
        stack.fault(bank, delay_ms=700)
    expect(prometheus, "SluiceStopLatencyBurn")
    stack.heal()


def test_a_silent_bank(stack: Stack, prometheus: Prometheus) -> None:
    for bank in BANKS:
        stack.fault(bank, delay_ms=20_000)
    expect(prometheus, "SluiceBankSilent", "SluiceBreakerOpen", "SluiceOutboxStuck", "SluiceOrdersUnconfirmed")
    stack.heal()
    expect_quiet(prometheus, "SluiceBankSilent", "SluiceBreakerOpen", "SluiceOutboxStuck")


def test_a_bank_that_refuses(stack: Stack, prometheus: Prometheus) -> None:
    for bank in BANKS:
        stack.fault(bank, refuse=1.0, refuse_code="1300")
    expect(prometheus, "SluiceBankRefusing", "SluiceReleaseFailed")
    stack.heal()
    expect_quiet(prometheus, "SluiceReleaseFailed")


def test_a_database_that_somebody_has_locked(stack: Stack, prometheus: Prometheus) -> None:
    with stack.locked_database():
        expect(prometheus, "SluiceDatabaseAway")
    expect_quiet(prometheus, "SluiceDatabaseAway")


def test_records_that_nobody_relays(stack: Stack, prometheus: Prometheus) -> None:
    with stack.refused_records(Topic.CONTROLS):
        expect(prometheus, "SluiceRecordsUnpublished")
    expect_quiet(prometheus, "SluiceRecordsUnpublished")


def test_poison(stack: Stack, prometheus: Prometheus) -> None:
    for number in range(40):
        post_raw(stack.broker, Topic.TRANSFERS, f"poison-{number}".encode(), b"{}")
    expect(prometheus, "SluiceDeadLetters", "SluiceDeadLetterBurn")


def test_workers_stop_themselves_when_most_records_are_bad(stack: Stack, prometheus: Prometheus) -> None:
    producer = new_producer(stack.broker)
    for number in range(4_000):
        producer.produce(Topic.TRANSFERS, b"{}", f"poison-{number}".encode())
        producer.poll(0)
    assert producer.flush(60) == 0
    for name in ("worker-1", "worker-2"):
        wait_until(partial(stack.ended_by, name, ExitCode.BRAKE), f"{name} stops itself")
    stack.restart("worker-1", "worker-2", SLUICE_BRAKE_SHARE="1.0")
    expect(prometheus, "SluiceWorkerBrake")


def test_workers_that_are_gone(stack: Stack, prometheus: Prometheus) -> None:
    stack.kill("worker-2")
    expect(prometheus, "SluiceProcessDown", "SluiceWorkerDown")
    stack.kill("worker-1")
    expect(prometheus, "SluiceNoWorker", "SluiceNotScoring")
    stack.restart("worker-1", "worker-2")
    expect_quiet(prometheus, "SluiceProcessDown", "SluiceNoWorker", "SluiceNotScoring")


def test_nobody_posts(stack: Stack, prometheus: Prometheus) -> None:
    stack.signal("world", signal.SIGSTOP)
    try:
        expect(prometheus, "SluiceNoTransfers", "SluiceBankFeedSilent")
    finally:
        stack.signal("world", signal.SIGCONT)
    expect_quiet(prometheus, "SluiceNoTransfers", "SluiceBankFeedSilent")


def test_a_broker_that_stands_still(stack: Stack, prometheus: Prometheus) -> None:
    with stack.frozen_broker():
        expect(prometheus, "SluiceBrokerAway")
    expect_quiet(prometheus, "SluiceBrokerAway")
    wait_until(lambda: value(prometheus, "sum(increase(sluice_transfers_assessed_total[10s]))") > 100, "live flow")
    stack.rearm_brake()


def flood(stack: Stack, size: int) -> None:
    """Write transfers to the topic as fast as the broker takes them, as a bank that posts a day's file."""
    now_us = parse_clock(stack.plan.clock).now_us()
    producer = new_producer(stack.broker, **{"queue.buffering.max.messages": 200_000})
    header = {ACCEPTED_HEADER: str(time.time_ns() // 1000).encode()}
    for number in range(size):
        record = transfer(number, payer=f"P{number % 500}", payee=f"Q{number % 700}", occurred_us=now_us)
        producer.produce(Topic.TRANSFERS, msgspec.json.encode(record), record.payer.encode(), headers=header)
        producer.poll(0)
    assert producer.flush(60) == 0


def test_a_flood(stack: Stack, prometheus: Prometheus) -> None:
    missing = {
        "SluiceBacklog",
        "SluiceAssessLatencyBurn",
        "SluiceAssessLatencyBudgetLow",
        "SluiceWorkerSaturated",
        "SluiceDrift",
        "SluiceReviewOverdue",
        "SluiceHoldNearExpiry",
    }
    flood(stack, 40_000)

    def all_fired() -> bool:
        nonlocal missing
        if prometheus.query("sluice:backlog:records < 20000"):
            flood(stack, 10_000)
        missing = missing - prometheus.firing()
        return not missing

    wait_until(all_fired, "the alerts of a flood")
    expect_quiet(prometheus, "SluiceBacklog")


def test_workers_that_score_with_different_models(stack: Stack, prometheus: Prometheus) -> None:
    """A worker with another key refuses every snapshot and goes on with what it began with."""
    wait_until(lambda: value(prometheus, "sum(sluice_snapshots_published_total)") > 0, "a snapshot")
    key = stack.plan.keys.snapshot
    stack.kill("worker-2")
    stack.restart("worker-2", SLUICE_SNAPSHOT_KEY="somebody-elses")
    expect(prometheus, "SluiceModelVersionsDiffer")
    stack.kill("worker-2")
    stack.restart("worker-2", SLUICE_SNAPSHOT_KEY=key)


def test_garbage_at_the_edge_is_refused_and_counted(stack: Stack, prometheus: Prometheus) -> None:
    headers = {"Authorization": f"Bearer {stack.plan.keys.banks[BANKS[0]]}"}
    answer = stack.http.post(f"{stack.plan.api_url}/v1/transfers", content=b"{}", headers=headers)
    assert answer.status_code == 422
    stack.http.post(f"{stack.plan.api_url}/v1/transfers", content=b"{}", headers=headers)
    wait_until(lambda: bool(prometheus.query("rate(sluice_transfers_refused_total[1m])")), "refusals")


def expect_series(prometheus: Prometheus, queries: Iterable[tuple[str, str]]) -> None:
    """Wait until every query has shown something; they come as where they stand and what they ask."""
    empty = [each for each in queries if not any(name in each[1] for name in MAY_BE_EMPTY)]

    def all_shown() -> bool:
        nonlocal empty
        empty = [(where, query) for where, query in empty if not prometheus.has_shown(query)]
        return not empty

    try:
        wait_until(all_shown, "series")
    except AssertionError as error:
        raise AssertionError(f"nothing to show: {empty}") from error


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_something(path: Path, prometheus: Prometheus) -> None:
    expect_series(prometheus, dashboard_queries(path))


def test_every_recorded_series_exists(prometheus: Prometheus) -> None:
    expect_series(prometheus, [("recording.yml", rule["record"]) for rule in rules("recording.yml")])


def test_every_alert_looks_at_series_that_exist(prometheus: Prometheus) -> None:
    """An alert is silent in good times, so its selectors are asked, over the life of the stack."""
    asked = []
    for rule in rules("alerts.yml"):
        for selector in selected(rule["expr"]):
            matchers = ",".join(f'{each.name}{_sign(each)}"{each.value}"' for each in selector.matchers.matchers)
            query = f"count(count_over_time({selector.name}{{{matchers}}}[1h]))"
            asked.append((rule["alert"], query))
    expect_series(prometheus, asked)
    assert prometheus.unhealthy_rules() == []


def _sign(matcher: object) -> str:
    return {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}[str(matcher.op).rpartition(".")[2]]  # type: ignore[attr-defined]


def test_what_is_said_to_be_missing_is_missing(prometheus: Prometheus) -> None:
    assert [name for name in MAY_BE_EMPTY if prometheus.query(f"count(count_over_time({name}[1h]))")] == []


def test_an_audit_chain_that_nobody_checks_and_then_is_broken(stack: Stack, prometheus: Prometheus) -> None:
    stack.signal("api", signal.SIGSTOP)
    try:
        expect(prometheus, "SluiceAuditCheckStale")
    finally:
        stack.signal("api", signal.SIGCONT)
    expect_quiet(prometheus, "SluiceAuditCheckStale")
    stack.kill("api")
    with sqlite3.connect(stack.plan.folder / "sluice.db", timeout=30) as connection:
        guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        for (guard,) in connection.execute(guards).fetchall():
            connection.execute(f"DROP TRIGGER {guard}")
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")
    stack.restart("api", SLUICE_BRAKE_SHARE="0.000001", SLUICE_BRAKE_SHARE_MIN_TRANSFERS="1")
    expect(prometheus, "SluiceAuditChainBroken")


def test_the_brake(stack: Stack, prometheus: Prometheus) -> None:
    """The api was started with a cap that the next stops exceed."""
    expect(prometheus, "SluiceBrakeTripped")
    wait_until(lambda: value(prometheus, "sum(sluice_brake_withheld_total)") > 0, "a stop is withheld")


def test_a_gap_in_the_offsets(stack: Stack, prometheus: Prometheus) -> None:
    """A transaction's marker takes an offset that no record has."""
    producer = Producer({"bootstrap.servers": stack.broker, "transactional.id": "intruder", "log_level": 2})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(Topic.TRANSFERS, b"{}", b"intruder", partition=0)
    producer.commit_transaction(60)
    post_raw(stack.broker, Topic.TRANSFERS, b"after", b"{}", partition=0)
    expect(prometheus, "SluiceOffsetGap")


def test_a_program_that_keeps_restarting(stack: Stack, prometheus: Prometheus) -> None:
    started = 'process_start_time_seconds{job="trainer"}'
    for _ in range(2):
        before = prometheus.query(started)
        stack.kill("trainer")
        stack.restart("trainer")
        wait_until(lambda before=before: prometheus.query(started) not in ([], before), "the new one is seen")  # type: ignore[misc]
    flapping = 'ALERTS{alertname="SluiceProcessFlapping", alertstate="firing", job="trainer"}'
    wait_until(lambda: bool(prometheus.firing() and prometheus.query(flapping)), "SluiceProcessFlapping")


def told(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={text}" for key, text in sorted(labels.items()) if key not in {"alertname", "region"})


def test_every_alert_has_fired(prometheus: Prometheus, request: pytest.FixtureRequest) -> None:
    names = {rule["alert"] for rule in rules("alerts.yml")}
    request.config.stash[ALERTS_FIRED] = [
        f"{name}: {told(labels)}" + (f" (without a fault, too: {NATURAL[name]})" if name in NATURAL else "")
        for name, labels in sorted(prometheus.seen.items())
    ]
    assert names - set(prometheus.seen) == set()
