"""Which transfers get which trace, and whose spans leave."""

from __future__ import annotations

from typing import Any

from api.traces import Traces
from models.risk.assessment import StageTimes
from telemetry.tracing import NoSpans, Trace, parse_traceparent, record_header

BANKS_OWN = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
TIMES = StageTimes(accepted_us=1_000, debited_us=3_000, assessed_us=6_000)


class Kept:
    """Spans that a test can look at."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, int, int]] = []
        self.closed = False

    def record(self, name: str, trace: Trace | None, start_us: int, end_us: int, **attributes: Any) -> None:
        assert trace is not None
        self.spans.append((name, trace.trace_id, start_us, end_us))

    def close(self) -> None:
        self.closed = True


def test_a_banks_own_trace_goes_on() -> None:
    traces = Traces(NoSpans())
    first, second = traces.of_transfer(BANKS_OWN), traces.of_transfer(BANKS_OWN)
    assert first.trace_id == second.trace_id == BANKS_OWN.trace_id
    assert len({first.span_id, second.span_id, BANKS_OWN.span_id}) == 3
    assert first.sampled


def test_without_one_each_transfer_gets_its_own_and_none_is_sampled() -> None:
    traces = Traces(NoSpans())
    made = [traces.of_transfer(None) for _ in range(50)]
    assert len({trace.trace_id for trace in made}) == 50
    assert not any(trace.sampled for trace in made)


def test_the_share_that_is_sampled() -> None:
    traces = Traces(NoSpans(), sample=0.25, seed=3)
    share = sum(traces.of_transfer(None).sampled for _ in range(4_000)) / 4_000
    assert 0.22 < share < 0.28
    assert all(Traces(NoSpans(), sample=1.0).of_transfer(None).sampled for _ in range(10))


def test_both_stages_of_sampled_transfers_are_exported() -> None:
    kept = Kept()
    traces = Traces(kept)
    unsampled = Trace("1" * 32, "2" * 16)
    traces.assessed([(TIMES, [record_header(BANKS_OWN)]), (TIMES, [record_header(unsampled)]), (TIMES, None)])
    assert kept.spans == [
        ("debit side", BANKS_OWN.trace_id, 1_000, 3_000),
        ("credit side", BANKS_OWN.trace_id, 3_000, 6_000),
    ]
    traces.close()
    assert kept.closed


def test_what_a_bank_writes_as_a_trace_may_be_nonsense() -> None:
    assert parse_traceparent("00-zz-zz-00") is None
    assert Traces(NoSpans()).of_transfer(parse_traceparent("nonsense")).trace_id
