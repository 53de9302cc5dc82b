"""What ``sluice up`` shows: the live view, plain lines where there is no terminal, the summary."""

from __future__ import annotations

import time
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from cli.main import app
from cli.observer import Observer
from cli.plan import PARTITIONS
from cli.progress import latency_rows, live_view
from cli.quantiles import Quantiles
from cli.readings import Money, StopCounts, WorldReading, parse_samples
from cli.summary import FalseStops, Latencies, Orders, Summary, TransferCounts, summary_table
from cli.up import Run, UpOptions
from models.risk.assessment import StageTimes
from models.wire import Topic
from stream.broker import EmbeddedBroker
from tests.streamkit import WAIT_S

STOPS = StopCounts(right=4, false=2, third_party=1, in_history=3, false_by={"active": 1, "otc": 1})
HISTOGRAM = """
# TYPE {name} histogram
{name}_bucket{{{labels}le="0.01"}} 100
{name}_bucket{{{labels}le="+Inf"}} 100
"""
CONTRACT = {
    "broker": None,
    "seconds": None,
    "transfers": {"accepted", "assessed", "duplicate", "dead"},
    "rate_tps": None,
    "latency_ms": {"accept_to_assess", "assess_to_stop_confirmed"},
    "orders": {"protective_stop", "freeze"},
    "money_fen": {"stolen", "stopped", "cashed_out", "in_flight"},
    "false_stops": None,
    "customers": None,
    "reconciled": None,
}
"""Keys that scripts rely on, and those inside them."""


def shown(view: RenderableType) -> str:
    console = Console(file=StringIO(), width=140)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined]


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if name in line)


def summary(**changes: Any) -> Summary:
    some = Quantiles(p50=1.0, p99=2.0, p999=3.0)
    values: dict[str, Any] = {
        "broker": "embedded",
        "seconds": 60.0,
        "transfers": TransferCounts(accepted=10, assessed=10, duplicate=0, repeated=7, dead=0),
        "rate_tps": 150.0,
        "bands": {},
        "stop_band": {},
        "latency_ms": Latencies(
            accept_to_assess=some, assess_to_stop_sent=Quantiles(p50=4.5, p99=5.5), assess_to_stop_confirmed=some
        ),
        "orders": Orders(protective_stop={}, stop={}, freeze={}),
        "money_fen": Money(),
        "false_stops": STOPS.false + STOPS.in_history,
        "false_stops_by": FalseStops.of(STOPS),
        "false_stops_per_10k_day": 14.6,
        "customers": 10_000,
        "simulated_days": 0.137,
        "restarts": {},
        "reconciled": True,
        "breaches": [],
    }
    return Summary(**(values | changes))


def world() -> WorldReading:
    return WorldReading(
        phase="live",
        local_time="08:31",
        live_s=1.0,
        rate_tps=150.0,
        simulated_days=0.1,
        customers=10_000,
        cases=3,
        money_fen=Money(stolen=100, stopped=100),
        false_stops=5,
        false_stops_per_10k_day=14.6,
        stops=STOPS,
    )


def test_the_summary_keeps_its_contract() -> None:
    found = msgspec.to_builtins(summary())
    assert found.keys() >= CONTRACT.keys()
    for name, inside in CONTRACT.items():
        assert inside is None or found[name].keys() >= inside
    assert found["transfers"]["repeated"] == 7
    assert found["latency_ms"]["assess_to_stop_sent"]["p99"] == 5.5
    assert found["false_stops"] == found["false_stops_by"]["history"] + sum(found["false_stops_by"]["live"].values())


def test_the_table_says_what_was_repeated_and_whom_false_stops_hit() -> None:
    text = shown(summary_table(summary()))
    assert "7" in line_of(text, "assessed again after redelivery")
    assert "5.5 ms" in line_of(text, "assessed -> stop sent")
    assert "5" in line_of(text, "false stops: accounts of no crook")
    assert "3" in line_of(text, "in the history")
    assert "active 1, otc 1" in line_of(text, "by whom they hit")
    assert "14.6" in line_of(text, "per 10,000 customers")


def test_the_live_view_names_one_window_for_every_stage() -> None:
    recent = parse_samples(
        HISTOGRAM.format(name="sluice_stage_latency_seconds", labels='stage="debited",')
        + HISTOGRAM.format(name="sluice_stop_sent_latency_seconds", labels='bank="xihe",')
        + HISTOGRAM.format(name="sluice_stop_confirm_latency_seconds", labels='bank="xihe",')
    )
    rows = dict(latency_rows(recent, Quantiles(p50=12.0, p99=34.0)))
    assert rows.pop("latency") == "of the last 60 s, live phase only"
    assert "34.0 ms" in rows.pop("  accepted -> assessed")
    assert rows.keys() == {"  accepted -> debited", "  assessed -> stop sent", "  assessed -> stop confirmed"}
    assert all("p50    5.0 ms" in text for text in rows.values())


def test_without_a_stop_in_the_window_its_stages_are_empty_whatever_was_counted_before() -> None:
    observer = Observer("127.0.0.1:1")
    before = parse_samples(HISTOGRAM.format(name="sluice_stop_sent_latency_seconds", labels=""))
    text = shown(live_view(world=world(), observer=observer, samples=before, recent={}, addresses=[], notes=[]))
    assert line_of(text, "assessed -> stop sent").rstrip(" │").endswith("-")
    assert "5 (3 of them in the history)" in line_of(text, "false stops")


def seen(transfer_id: str, accepted_us: int) -> Any:
    from cli.observer import _Seen, _TransferId

    return _Seen(transfer=_TransferId(transfer_id), band="allow", stages=StageTimes(accepted_us, 0, 0))


def test_an_assessment_that_comes_again_is_repeated_and_measured_once() -> None:
    observer = Observer("127.0.0.1:1")
    observer.live_from_us = 1_000
    for transfer_id, accepted_us in (("history", 999), ("t-1", 1_000), ("t-1", 1_000)):
        observer._take(seen(transfer_id, accepted_us))
    assert (observer.assessed, observer.repeated) == (2, 1)
    assert len(observer._latencies) == 1


def test_what_nobody_can_read_is_counted_and_the_observer_goes_on() -> None:
    broker = EmbeddedBroker()
    observer = Observer(broker.bootstrap)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    news = b'{"schema":1,"transfer":{"transfer_id":"t-1"},"band":"allow"}'
    for value in (b"{", b"\xff", news[:-1] + b',"news":' + b"[" * 100_000, news):
        producer.produce(Topic.ASSESSMENTS, value, partition=0)
    assert producer.flush(WAIT_S) == 0
    observer.start()
    deadline = time.monotonic() + WAIT_S
    while not observer.assessed:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    observer.stop()
    broker.close()
    assert (observer.unreadable, observer.assessed) == (3, 1)


def run_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, as_json: bool, terminal: bool, **changes: Any) -> Run:
    monkeypatch.chdir(folder)
    options: dict[str, Any] = {
        "seconds": 1.0,
        "rate_tps": 1.0,
        "as_json": as_json,
        "broker": "embedded",
        "workers": 1,
        "customers": 100,
        "seed": 1,
    }
    return Run(UpOptions(**(options | changes)), Console(file=StringIO(), force_terminal=terminal, width=40))


@pytest.mark.parametrize(("as_json", "terminal", "lines"), [(False, False, 1), (True, True, 1), (False, True, 0)])
def test_a_note_is_a_line_of_its_own_unless_a_live_view_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool, terminal: bool, lines: int
) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=as_json, terminal=terminal)
    run._note("worker-1 [ended] with code 75 and is started again, which is told in one line")
    told = run._console.file.getvalue()  # type: ignore[attr-defined]
    assert told.count("\n") == lines
    assert ("worker-1 [ended]" in told) is bool(lines)


def test_on_its_own_broker_a_run_uses_the_plain_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)._plan
    assert (plan.topic_prefix, plan.worker_group, plan.api_group) == ("", "sluice", "sluice-api")


def test_on_anybodys_broker_every_program_uses_the_names_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_TOPIC_PREFIX", "of-the-shell.")
    monkeypatch.setenv("SLUICE_REPLICATION", "3")
    plan = run_in(tmp_path, monkeypatch, as_json=True, terminal=False, broker="kafka.example:9092")._plan
    assert plan.topic_prefix.startswith("sluice-up-")
    programs = [*plan.workers("b:1"), plan.trainer("b:1"), plan.api("b:1")]
    assert {program.env["SLUICE_TOPIC_PREFIX"] for program in programs} == {plan.topic_prefix}
    assert [program.env["SLUICE_GROUP"] for program in programs] == [plan.worker_group] * 2 + [plan.api_group]
    settings = plan.stream_settings("b:1")
    assert (settings.topic_prefix, settings.group) == (plan.topic_prefix, plan.worker_group)
    assert (settings.partitions, settings.replication) == (PARTITIONS, 3)


def test_a_run_has_settled_when_the_api_says_so_whoever_wrote_to_the_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)
    stats = {"transfers": {"accepted": 5, "assessed": 6}, "outbox_open": 0, "settled": True}
    monkeypatch.setattr(run._sources, "api", lambda _path: stats)
    monkeypatch.setattr(run._supervisor, "check", lambda: pytest.fail("it waits though all is settled"))
    assert run._settle() == stats


def test_a_broker_that_is_none_is_refused_at_once() -> None:
    result = CliRunner().invoke(app, ["up", "--broker", "rabbit"])
    assert result.exit_code == 2
    assert "embedded, kafka or HOST:PORT" in result.output
