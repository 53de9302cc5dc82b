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

from cli import up as module
from cli.latency import LatencyWindow
from cli.main import app
from cli.observer import Observer
from cli.plan import PARTITIONS
from cli.progress import Moment, latency_rows, live_view, plain_line
from cli.quantiles import Quantiles
from cli.readings import Money, StopCounts, WorldReading, parse_samples
from cli.summary import FalseStops, Latencies, Orders, Summary, TransferCounts, summary_table
from cli.up import Run, UpOptions, run_up
from cli.verify import find_untold
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


ORDERS = """
# TYPE sluice_orders gauge
sluice_orders{bank="xihe",kind="protective_stop",state="applied"} 274
sluice_orders{bank="beishan",kind="protective_stop",state="released"} 3
sluice_orders{bank="xihe",kind="protective_stop",state="unconfirmed"} 2
sluice_orders{bank="xihe",kind="protective_stop",state="declined"} 1
sluice_orders{bank="xihe",kind="freeze",state="draft"} 12345
sluice_orders{bank="xihe",kind="freeze",state="effective_deficient"} 12
# TYPE sluice_transfers_accepted_total counter
sluice_transfers_accepted_total 1234567
"""
WORLD_TIME = "2026-03-17 08:31 (Shanghai), 1260 x real time"


def moment(**changes: Any) -> Moment:
    values: dict[str, Any] = {
        "world": world(),
        "world_time": WORLD_TIME,
        "assessed": 1_234_560,
        "bands": {"allow": 1_230_000, "stop": 1_065, "watch": 12_345},
        "assess_ms": Quantiles(p50=1234.5, p99=12345.6, p999=12345.6),
        "samples": parse_samples(ORDERS),
        "recent": parse_samples(HISTOGRAM.format(name="sluice_stop_confirm_latency_seconds", labels='bank="xihe",')),
    }
    return Moment(**(values | changes))


def test_a_plain_line_tells_stops_at_the_bank_from_the_band_and_names_the_worlds_time() -> None:
    line = plain_line(moment())
    assert WORLD_TIME in line
    assert "stop band 1,065" in line
    assert "stops ordered 280, confirmed by the bank 277 in p50    5.0 ms" in line
    assert "\n" not in line


def test_the_live_view_tells_stops_at_the_bank_from_the_band_and_names_the_worlds_time() -> None:
    text = shown(live_view(moment(), []))
    assert WORLD_TIME in line_of(text, "world time")
    assert "stop 1,065" in line_of(text, "bands of risk")
    assert "280 / 277 by the bank" in line_of(text, "stops ordered / confirmed")
    assert "2" in line_of(text, "waiting for the bank")


@pytest.mark.parametrize("tripped", [False, True])
def test_a_brake_that_withholds_stops_is_told(tripped: bool) -> None:
    page = f"{ORDERS}# TYPE sluice_brake_tripped gauge\nsluice_brake_tripped {int(tripped)}\n"
    now = moment(samples=parse_samples(page))
    assert ("BRAKE TRIPPED" in plain_line(now)) == tripped
    assert ("BRAKE TRIPPED" in line_of(shown(live_view(now, [])), "stops ordered / confirmed")) == tripped


def test_the_live_view_fits_a_small_terminal_addresses_and_all() -> None:
    rich = msgspec.structs.replace(world(), money_fen=Money(stolen=123_456_789_00, stopped=123_456_789_00))
    console = Console(file=StringIO(), width=80)
    addresses = [("API docs", "http://127.0.0.1:12345/docs"), ("logs and keys", ".run/up-20261126-135345-1234567")]
    console.print(live_view(moment(world=rich), addresses))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 24
    assert addresses[-1][1] in lines[-1]


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
    before = parse_samples(HISTOGRAM.format(name="sluice_stop_sent_latency_seconds", labels=""))
    text = shown(live_view(moment(samples=before), []))
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


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_told_is_a_line_that_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=False, terminal=terminal)
    run._tell("worker-1 [ended] with code 75 and is started again, which is told in one line")
    told = run._console.file.getvalue()  # type: ignore[attr-defined]
    assert told.count("\n") == 1
    assert "worker-1 [ended]" in told


def test_a_run_that_restarted_a_worker_waits_longer_for_what_is_not_assessed_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)
    restarts: dict[str, int] = {}
    now_s = iter(range(0, 10_000, 10))
    monkeypatch.setattr(type(run._supervisor), "restarts", restarts)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now_s))
    monkeypatch.setattr(module.time, "sleep", lambda _s: None)
    asked: list[str] = []
    monkeypatch.setattr(run._sources, "api", lambda path: asked.append(path) or {"settled": False})
    run._settle()
    without = len(asked)
    restarts["worker-1"] = 1
    run._settle()
    assert len(asked) - without > without


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


def test_workers_and_trainer_alone_are_started_again_when_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = run_in(tmp_path, monkeypatch, as_json=True, terminal=False, workers=2)._plan
    programs = [*plan.workers("b:1"), plan.trainer("b:1"), plan.api("b:1"), plan.bank(), plan.world()]
    names = {program.name for program in [*programs, plan.broker("embedded")] if program.restarts_killed}
    assert names == {"worker-1", "worker-2", "trainer"}


def test_what_is_assessed_is_never_read_after_what_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, observer = run_in(tmp_path, monkeypatch, as_json=True, terminal=False), Observer("127.0.0.1:1")
    observer.assessed = 5

    def pages() -> dict[str, Any]:
        observer.assessed += 3
        return {}

    monkeypatch.setattr(run, "_pages", pages)
    monkeypatch.setattr(run._sources, "world", lambda: None)
    assert run._moment(observer, LatencyWindow(0.0, {})).assessed == 5


def test_stopped_by_hand_never_more_is_assessed_than_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)
    counts = {"accepted": 100, "assessed": 110}
    monkeypatch.setattr(run._sources, "api", lambda _path: {"transfers": dict(counts)})
    monkeypatch.setattr(module.time, "sleep", lambda _s: counts.update(accepted=130, assessed=140))
    assert run._stats_by_hand() == {"transfers": {"accepted": 130, "assessed": 110}}


@pytest.mark.parametrize(
    ("stats", "said"),
    [
        ({"pending": 0, "post_refused": 0}, []),
        ({"pending": 1_200, "post_refused": 0}, ["1,200 executed transfers their banks have not posted yet"]),
        ({"pending": 0, "post_refused": 3}, ["3 executed transfers Sluice refused"]),
    ],
)
def test_what_banks_executed_and_sluice_does_not_have_is_a_breach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stats: dict[str, int], said: list[str]
) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)
    monkeypatch.setattr(run._sources, "bank", lambda _path: stats)
    assert find_untold(run._sources) == said


def test_a_run_has_settled_when_the_api_says_so_whoever_wrote_to_the_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(tmp_path, monkeypatch, as_json=True, terminal=False)
    stats = {"transfers": {"accepted": 5, "assessed": 6}, "outbox_open": 0, "settled": True}
    monkeypatch.setattr(run._sources, "api", lambda _path: stats)
    monkeypatch.setattr(run._supervisor, "check", lambda: pytest.fail("it waits though all is settled"))
    assert run._settle() == stats


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["up", "--broker", "rabbit"], "embedded, kafka or HOST:PORT"),
        (["up", "--seconds", "inf"], "give a finite number"),
        (["up", "--rate", "inf"], "give a finite number"),
        (["broker", "--port", "9092"], "goes with --kind kafka"),
    ],
)
def test_what_cannot_run_is_refused_at_once(arguments: list[str], why: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert why in result.output


def test_where_no_folder_can_be_made_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".run").write_text("a file is in the way")
    options = UpOptions(seconds=1.0, rate_tps=1.0, as_json=True, broker="embedded", workers=1, customers=100, seed=1)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    assert run_up(options) == 1
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert "in a folder in which you may write" in errors


def test_the_version_and_short_help_are_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("sluice 0.")
    assert "newest 5" in " ".join(CliRunner().invoke(app, ["up", "-h"]).output.split())
