"""Spans to an OpenTelemetry collector; needs the extra ``otlp``. Import it through `telemetry.tracing.open_spans`."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from telemetry.tracing import Trace


class ExportedSpans:
    """Hands sampled spans to a span processor of the OpenTelemetry SDK."""

    def __init__(self, program: str, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"sluice-{program}"}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("sluice")

    def record(self, name: str, trace: Trace | None, start_us: int, end_us: int, **attributes: str | int) -> None:
        """Export one span below ``trace`` if that is sampled; times are UTC microseconds of the wall."""
        if trace is None or not trace.sampled:
            return
        parent = SpanContext(
            trace_id=int(trace.trace_id, 16),
            span_id=int(trace.span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(parent)),
            attributes=attributes,
            start_time=start_us * 1000,
        )
        span.end(end_time=end_us * 1000)

    def close(self) -> None:
        """Send what is buffered and stop the exporter's thread."""
        self._provider.shutdown()


def otlp_spans(program: str, endpoint: str) -> ExportedSpans:
    """Return spans that leave in batches to an OTLP/HTTP collector at ``endpoint``."""
    return ExportedSpans(program, BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
