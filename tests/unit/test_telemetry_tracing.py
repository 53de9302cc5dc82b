"""Trace ids follow W3C Trace Context; spans leave only where a collector is named."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry.otlp import ExportedSpans
from telemetry.tracing import (
    TRACEPARENT,
    ExporterMissing,
    NoSpans,
    Trace,
    carried,
    child_of,
    format_traceparent,
    new_trace,
    open_spans,
    parse_traceparent,
    record_header,
    trace_of,
)

TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

hex_ids = st.tuples(
    st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}"),
    st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}"),
)


@given(hex_ids, st.booleans())
def test_format_and_parse_are_inverse(ids: tuple[str, str], sampled: bool) -> None:
    trace = Trace(*ids, sampled=sampled)
    assert parse_traceparent(format_traceparent(trace)) == trace
    assert parse_traceparent(format_traceparent(trace).encode()) == trace


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00",
        HEADER.upper(),
        HEADER + "-more",
        " " + HEADER,
        HEADER.replace("00-", "ff-", 1),
        HEADER.replace(TRACE.trace_id, "0" * 32),
        HEADER.replace(TRACE.span_id, "0" * 16),
        HEADER.replace("4bf9", "4bfg"),
        b"\xff\xfe",
    ],
)
def test_what_breaks_the_standard_is_no_trace(text: str | bytes | None) -> None:
    assert parse_traceparent(text) is None


def test_a_later_release_may_say_more() -> None:
    assert parse_traceparent("01" + HEADER[2:] + "-whatever") == TRACE


@given(st.binary(min_size=16, max_size=16))
def test_new_ids_are_always_valid(raw: bytes) -> None:
    trace = new_trace(lambda size: raw[:size])
    assert parse_traceparent(format_traceparent(trace)) == trace


def test_new_ids_differ() -> None:
    assert new_trace().trace_id != new_trace().trace_id


def test_a_child_keeps_trace_and_sampling() -> None:
    child = child_of(TRACE, lambda size: b"\x07" * size)
    assert child == Trace(TRACE.trace_id, "07" * 8, sampled=True)


@pytest.mark.parametrize(
    "headers",
    [
        [("sluice-accepted-us", b"1"), record_header(TRACE)],
        {"sluice-accepted-us": b"1", TRACEPARENT: HEADER.encode()},
        ((TRACEPARENT, HEADER.encode()), (TRACEPARENT, b"second")),
    ],
    ids=["pairs", "mapping", "twice"],
)
def test_records_carry_the_header_on_untouched(headers: object) -> None:
    assert carried(headers) == [(TRACEPARENT, HEADER.encode())]  # type: ignore[arg-type]
    assert trace_of(headers) == TRACE  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [None, [], {}, [("other", b"1")]])
def test_a_record_without_a_trace_carries_none(headers: object) -> None:
    assert carried(headers) == []  # type: ignore[arg-type]
    assert trace_of(headers) is None  # type: ignore[arg-type]


def test_spans_are_off_by_default() -> None:
    spans = open_spans("worker", "")
    assert isinstance(spans, NoSpans)
    spans.record("assess", TRACE, 1, 2)
    spans.close()


def test_a_sampled_trace_is_exported_under_its_parent() -> None:
    exporter = InMemorySpanExporter()
    spans = ExportedSpans("worker", SimpleSpanProcessor(exporter))
    spans.record("assess", TRACE, 1_000_000, 1_000_250, partition=3)
    spans.record("assess", Trace(TRACE.trace_id, TRACE.span_id, sampled=False), 0, 1)
    spans.record("assess", None, 0, 1)
    (span,) = exporter.get_finished_spans()
    spans.close()
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE.trace_id
    assert f"{span.parent.span_id:016x}" == TRACE.span_id
    assert (span.start_time, span.end_time) == (1_000_000_000, 1_000_250_000)
    assert dict(span.attributes or {}) == {"partition": 3}
    assert span.resource.attributes["service.name"] == "sluice-worker"


def test_a_named_collector_without_the_extra_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "telemetry.otlp", None)
    with pytest.raises(ExporterMissing):
        open_spans("worker", "http://127.0.0.1:4318/v1/traces")
