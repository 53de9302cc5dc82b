"""The bench's schedule: fixed before the run, latency from due time, whatever the system or the loader does."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bench.http_load import ask_all
from bench.schedule import BURST, drive, due_times
from telemetry.clock import wall_us
from tests.benchkit import SECOND_US, HandClock, Server

RATE, COUNT = 100.0, 1_000


def test_due_times_do_not_drift() -> None:
    due = due_times(5, 3_000.0, 360_000)
    assert due[0] == 5
    assert due[-1] == 5 + int(359_999 * SECOND_US / 3_000)
    assert set((due[1:] - due[:-1]).tolist()) == {333, 334}


def test_quick_system_holds_its_rate() -> None:
    clock = HandClock()
    passage = drive(Server(clock, service_us=1_000), rate=RATE, count=COUNT, drain_s=5, clock=clock)
    assert passage.held
    assert not passage.missing
    found = passage.latency()
    assert found.count == COUNT
    assert 1.0 <= found.p50 <= found.worst <= 2.5


def test_stall_counts_for_everything_that_was_due_in_it() -> None:
    """A loader that waited for answers would have sent one request into the stall, and shown one slow answer."""
    clock = HandClock()
    server = Server(clock, service_us=1_000, stall=(3 * SECOND_US, 5 * SECOND_US))
    passage = drive(server, rate=RATE, count=COUNT, drain_s=5, clock=clock)
    spans_us = passage.arrived_us - passage.due_us
    assert int((spans_us > SECOND_US).sum()) >= RATE * 0.95
    assert int((spans_us > 100_000).sum()) >= RATE * 1.9
    assert passage.latency().p99 > 1_700
    late_us = [sent - due for sent, due in zip(server.sent_us, server.due_us, strict=True)]
    assert max(late_us) < 2_000, "the stall must not have slowed the load"


def test_late_loader_makes_the_figure_worse_not_better() -> None:
    clock = HandClock()

    class Pausing(Server):
        def send(self, number: int, due_us: int) -> None:
            super().send(number, due_us)
            if number == 500:
                clock.us += 400_000

    server = Pausing(clock, service_us=1_000)
    passage = drive(server, rate=RATE, count=COUNT, drain_s=5, clock=clock)
    assert passage.worst_delay_us >= 380_000
    assert passage.latency().p99 > 300
    assert server.due_us == passage.due_us.tolist(), "everything is dated by its due time"


def test_overloaded_system_does_not_hold_even_if_all_arrives() -> None:
    clock = HandClock()
    passage = drive(Server(clock, service_us=11_000), rate=RATE, count=COUNT, drain_s=10, clock=clock)
    assert not passage.missing
    assert passage.backlog_s == pytest.approx(0.9, abs=0.1)
    assert not passage.held


def test_what_never_arrives_is_missing_and_the_wait_for_it_is_bounded() -> None:
    clock = HandClock()
    server = Server(clock, service_us=1_000, stall=(9 * SECOND_US, 3_600 * SECOND_US))
    passage = drive(server, rate=RATE, count=COUNT, drain_s=2, clock=clock)
    assert 95 <= passage.missing <= 105
    assert not passage.held
    assert clock.us <= passage.due_us[-1] + 2.1 * SECOND_US
    assert passage.latency().count == COUNT - passage.missing


def test_repeated_answers_are_counted_and_the_first_one_counts() -> None:
    clock = HandClock()
    passage = drive(Server(clock, service_us=1_000, twice=True), rate=RATE, count=200, drain_s=1, clock=clock)
    assert 199 <= passage.repeated <= 200, "the run ends with the first answer to the last"
    assert passage.latency().worst <= 2.5


def test_warm_up_is_left_out_of_latency() -> None:
    clock = HandClock()
    server = Server(clock, service_us=1_000, stall=(0, SECOND_US))
    passage = drive(server, rate=RATE, count=COUNT, drain_s=5, clock=clock)
    assert passage.latency().worst > 900
    assert passage.latency(warm_s=3.0).worst <= 2.5
    assert passage.latency(warm_s=3.0).count == COUNT - 300


def test_burst_is_sent_in_parts_so_that_arrivals_are_seen_in_between() -> None:
    clock = HandClock()
    looks: list[int] = []

    class Watching(Server):
        def arrived(self) -> list[int]:
            clock.us += 10
            looks.append(len(self.sent_us))
            return list(super().arrived())

    drive(Watching(clock, service_us=1), rate=1e9, count=5 * BURST, drain_s=1, clock=clock)
    assert max(after - before for before, after in pairwise(looks)) <= BURST


async def test_requests_leave_although_none_is_answered() -> None:
    """With a loader that waits for answers this would never end: they come only after the last request."""
    asked: list[int] = []
    everything_asked = asyncio.Event()

    async def ask(number: int) -> bool:
        asked.append(number)
        if len(asked) == 50:
            everything_asked.set()
        await everything_asked.wait()
        return number != 7

    answers = await asyncio.wait_for(ask_all(ask, rate=5_000.0, count=50, now_us=wall_us), 60)
    assert sorted(asked) == list(range(50))
    assert answers.unwanted == 1
    assert answers.spans_us[0] >= answers.due_us[-1] - answers.due_us[0], "the first waited for the last"
