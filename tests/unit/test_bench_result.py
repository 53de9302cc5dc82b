"""The JSON of ``sluice bench``, as issue 6 names it, and its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.findings import Findings, Length, Result
from bench.growth import Size
from bench.growth_kafka import Start
from bench.growth_kafka import findings_of as recovery_findings
from bench.machine import Machine
from bench.report import BEGIN, END, NoPlace, page_block, put_into, render
from bench.screening import findings_of as screening_findings
from bench.stats import Latency, spread
from bench.stops import Stops
from bench.stops import findings_of as stop_findings
from bench.suite import PARTS
from bench.throughput import findings_of as throughput_findings
from tests.benchkit import seen, trial

RATES = {
    "one_worker": [4_000.0, 4_400.0, 5_000.0],
    "two_workers": [3_900.0, 4_100.0, 4_000.0],
    "naive": [1_000.0, 1_000.0, 800.0],
    "naive_lean": [2_000.0, 2_000.0, 2_000.0],
    "bare_loop": [20_000.0, 22_000.0, 20_000.0],
}
LATENCY = Latency(p50=9.0, p99=40.0, p999=60.0, worst=61.0, count=500)


def machine(load: float = 0.1) -> Machine:
    return Machine(
        cores=2, cpu="a CPU", memory_gb=8.0, system="Linux", python="3.11", scoring="compiled", broker="a broker",
        libraries={"x": "1"}, load_before=load,
    )  # fmt: skip


def growth_findings() -> Findings:
    size = Size(
        accounts=10_000, us_per_transfer=90.0, batch_ms_p50=6.0, batch_ms_p99=7.0, memory_bytes_per_account=7_900.0,
        filled_s=1.0,
    )  # fmt: skip
    start = Start(ready_s=4.0, latency_ms=LATENCY, us_per_transfer=150.0, worker_mb=200.0)
    history = {
        "transfers_per_account": {"1x": 9.4, "10x": 93.9},
        "us_per_transfer": {"1x": 90.0, "10x": 95.0},
        "ratio": 1.06,
        "largest_state_bytes": 2_972,
    }
    first = Start(ready_s=60.0, worker_mb=400.0)
    found = recovery_findings({"rocksdb": start}, {"rocksdb_first": first, "rocksdb_restart": start})
    assert found.growth["worker_p99_1m_vs_10k"] == 1.0
    return Findings(
        growth={
            **found.growth,
            "accounts": {"decoded": {"10000": size}},
            "history": history,
        },
        memory={"state_bytes": {"mean": 946, "max": 2_785}},
        notes=["5,000,000 decoded accounts left out: they need 39.0 GB"],
    )


def whole() -> Result:
    found = throughput_findings(seen(RATES), trial(3_000.0), 120.0)
    found.add(screening_findings([LATENCY] * 3, [500.0, 480.0, 510.0], {"api": 900.0}, []))
    found.add(stop_findings([Stops(from_assessed=LATENCY, from_accepted=LATENCY)] * 3))
    found.add(growth_findings())
    found.us_per_transfer["scorer"] = {"total": spread([80.0])}
    return Result(
        machine=machine(), quiet=True, seconds=900.0, length=Length(), parts=["throughput"], failures={},
        notes=found.notes, throughput=found.throughput, ratios=found.ratios, latency_ms=found.latency_ms,
        us_per_transfer=found.us_per_transfer, growth=found.growth, memory=found.memory,
    )  # fmt: skip


@pytest.fixture
def result() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(msgspec.json.encode(whole()))
    return loaded


def test_json_has_the_headings_and_names_of_the_issue(result: dict[str, Any]) -> None:
    headings = {"machine", "throughput", "ratios", "latency_ms", "us_per_transfer", "growth", "memory"}
    assert headings <= result.keys()
    for name in ("one_worker_tps", "two_workers_tps", "naive_tps", "naive_lean_tps", "bare_loop_tps"):
        assert isinstance(result["throughput"][name], float)
        assert set(result["throughput"]["spread"][name]) == {"min", "median", "max"}
    for name in ("at_1000", "screening", "stop_confirmed"):
        for quantile in ("p50", "p99", "p999"):
            assert set(result["latency_ms"][name][quantile]) == {"min", "median", "max"}


def test_rates_are_medians_and_ratios_are_medians_of_each_runs_ratio(result: dict[str, Any]) -> None:
    assert result["throughput"]["one_worker_tps"] == 4_400.0
    assert result["ratios"]["throughput_vs_naive"] == 4.4, "of 4.0, 4.4 and 6.25"
    assert result["ratios"]["throughput_vs_naive_lean"] == 2.2
    assert result["ratios"]["throughput_vs_bare_loop"] == 0.2


def test_a_run_that_held_nothing_gives_no_ratio() -> None:
    found = throughput_findings(seen({**RATES, "naive": [0.0, 0.0, 0.0]}), trial(3_000.0), 120.0)
    assert found.ratios["throughput_vs_naive"] is None
    assert found.throughput["naive_tps"] == 0.0


def test_rules_without_detectors_are_confessed() -> None:
    found = throughput_findings(seen(RATES, panel=""), trial(3_000.0), 120.0)
    assert any("rules alone" in note for note in found.notes)
    assert not throughput_findings(seen(RATES), trial(3_000.0), 120.0).notes


def test_tables_show_every_part(result: dict[str, Any]) -> None:
    text = render(result)
    for words in (
        "| one worker: Kafka in, assessment out | 4,000 | 4,400 | 5,000 |",
        "| one worker / naive | 4.00 | 4.40 | 6.25 |",
        "| accepted -> assessed, 1000/s | 9.00 (10.0) | 21.0 (22.0) | 30.0 (30.0) | 100 |",
        "One worker at 3,000/s for 120 s: held",
        "| 1,000,000 rocksdb, first | 60.0 | - | - | - | 400.0 |",
        "| 1,000,000 rocksdb, restart | 4.00 | 9.00 | 40.0 | 150.0 | 200.0 |",
        "| 10,000 decoded | 90.0 | 6.00 | 7.00 | 7,900 |",
        "* 5,000,000 decoded accounts left out",
    ):
        assert words in text
    assert "busy" not in text


def test_tables_of_a_busy_machine_and_of_failed_parts_say_so() -> None:
    empty = Result(
        machine=machine(load=7.0), quiet=False, seconds=1.0, length=Length(), parts=["stops"],
        failures={"stops": "StopsMissing: 3 of 4"}, notes=[], throughput={}, ratios={}, latency_ms={},
        us_per_transfer={}, growth={}, memory={},
    )  # fmt: skip
    text = render(json.loads(msgspec.json.encode(empty)))
    assert "busy (load 7.0)" in text
    assert "**stops failed:** StopsMissing: 3 of 4" in text
    assert "|" not in text, "no table without figures"


def test_tables_go_between_the_marks_of_the_page() -> None:
    page = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    assert put_into(page, r"new \1") == f"above\n{BEGIN}\nnew \\1\n{END}\nbelow\n"
    with pytest.raises(NoPlace):
        put_into("a page without marks", "new")


def json_of(page: str) -> dict[str, Any]:
    """Return the JSON that stands in a page."""
    loaded: dict[str, Any] = json.loads(page.split("```json\n")[1].split("```", maxsplit=1)[0])
    return loaded


def test_the_json_goes_with_the_tables_but_for_single_trials(result: dict[str, Any]) -> None:
    found = json_of(page_block(result))
    del result["throughput"]["trials"]
    assert found == result


def test_the_page_holds_the_json_of_a_whole_run_and_its_tables() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    found = json_of(page)
    assert found["parts"] == list(PARTS)
    assert not found["failures"]
    for name in ("one_worker_tps", "two_workers_tps", "naive_tps", "bare_loop_tps"):
        assert found["throughput"][name] > 0
    assert {"throughput_vs_naive", "throughput_vs_bare_loop"} <= set(found["ratios"])
    assert {"at_1000", "screening", "stop_confirmed"} <= set(found["latency_ms"])
    assert put_into(page, page_block(found)) == page
