"""The live view's latencies: one window for all stages, and nothing from before the live phase."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from cli.latency import STEP_S, WINDOW_S, LatencyWindow, RecentLatencies, grown
from cli.quantiles import Quantiles, quantiles
from cli.readings import Samples, histogram_quantiles, parse_samples, total

MS = 1_000
S = 1_000_000


class Program:
    """A program with one histogram."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._wait = Histogram("wait_seconds", "Wait.", buckets=(0.01, 0.02, 5.0, 10.0), registry=self._registry)

    def waited(self, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            self._wait.observe(seconds)

    def page(self) -> Samples:
        return parse_samples(generate_latest(self._registry).decode())


def counted(samples: Samples) -> int:
    return total(samples, "wait_seconds_bucket", le="+Inf")


def test_nothing_measured_is_no_quantile() -> None:
    assert quantiles([]) == RecentLatencies().quantiles(0) == Quantiles()


def test_recent_latencies_are_those_of_the_window() -> None:
    recent = RecentLatencies()
    window_us = int(WINDOW_S * S)
    recent.add(10 * S, 900 * MS)
    recent.add(11 * S, 2 * MS)
    assert recent.quantiles(10 * S + window_us).p99 == pytest.approx(891.02)
    assert recent.quantiles(11 * S + window_us) == Quantiles(p50=2.0, p99=2.0, p999=2.0)
    assert recent.quantiles(12 * S + window_us) == Quantiles()


def test_what_the_history_took_does_not_count() -> None:
    program = Program()
    program.waited(7.0, times=1_000)
    window = LatencyWindow(0.0, {"a": program.page()})
    program.waited(0.005, times=10)
    found = histogram_quantiles(window.note(0.5, {"a": program.page()}), "wait_seconds")
    assert found.p99 is not None
    assert found.p99 < 10


def test_the_window_goes_on_and_forgets() -> None:
    program = Program()
    window = LatencyWindow(0.0, {"a": program.page()})
    program.waited(7.0)
    moments = [STEP_S * number for number in range(1, 20)]
    counts = []
    for moment in moments:
        program.waited(0.005)
        counts.append(counted(window.note(moment, {"a": program.page()})))
    assert counts[0] == 2
    full = int(WINDOW_S / STEP_S)
    assert max(counts) == full + 1
    assert counts[-1] == full, "the slow one is forgotten, and as many stay as the window has steps"


def test_readings_between_two_steps_are_shown_and_not_kept() -> None:
    program = Program()
    window = LatencyWindow(0.0, {"a": program.page()})
    for number in range(1, 9):
        program.waited(0.005)
        assert counted(window.note(number * STEP_S / 10, {"a": program.page()})) == number
    assert len(window._kept) == 1


def test_programs_are_compared_each_with_itself() -> None:
    one, two = Program(), Program()
    one.waited(0.005, times=5)
    two.waited(0.005, times=3)
    before = {"one": one.page(), "two": two.page()}
    two.waited(0.005, times=4)
    assert counted(grown(before, {"one": one.page(), "two": two.page()})) == 4


def test_a_program_whose_beginning_is_unknown_is_left_out() -> None:
    late = Program()
    late.waited(7.0, times=100)
    assert grown({}, {"late": late.page()}) == {}
