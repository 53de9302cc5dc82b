"""Trace ids that follow one transfer through HTTP, record headers and logs.

The header is W3C Trace Context (level 1, ``traceparent``), so a bank's own
trace goes on in ours. Ids are always carried; spans are exported only where
an operator names an OpenTelemetry collector (`open_spans`), off by default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec
import structlog

TRACEPARENT: Final = "traceparent"
"""Name of the HTTP and record header."""

SAMPLED_FLAG: Final = 0x01
MAX_TRACE_BYTES: Final = 256
"""Release 00 of the standard has 55; a later one may be longer."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

Entropy = Callable[[int], bytes]
"""Gives so many random bytes; ``os.urandom`` outside tests."""

Headers = Mapping[str, Any] | Iterable[tuple[str, Any]] | None
"""Record headers in the forms that Kafka clients hand out."""


class ExporterMissing(RuntimeError):
    """An OpenTelemetry collector is configured, but the extra `otlp` is not installed."""


class Trace(msgspec.Struct, frozen=True):
    """Where one piece of work stands: 32 hex digits of trace, 16 of span, and whether spans are wanted."""

    trace_id: str
    span_id: str
    sampled: bool = False


def new_trace(entropy: Entropy = os.urandom, *, sampled: bool = False) -> Trace:
    """Return a fresh trace.

    >>> new_trace(lambda size: b"\\x01" * size).span_id
    '0101010101010101'
    """
    return Trace(trace_id=_identifier(entropy, 16), span_id=_identifier(entropy, 8), sampled=sampled)


def child_of(trace: Trace, entropy: Entropy = os.urandom) -> Trace:
    """Return the same trace with a span of its own."""
    return msgspec.structs.replace(trace, span_id=_identifier(entropy, 8))


def _identifier(entropy: Entropy, size: int) -> str:
    """Return hex of ``size`` bytes; all zero means "invalid" to the standard, so it is never returned."""
    return (entropy(size).hex().lstrip("0") or "1").rjust(2 * size, "0")


def parse_traceparent(text: str | bytes | None) -> Trace | None:
    """Return the trace a header names, or ``None`` if there is none or it breaks the standard.

    The standard says to start a new trace then, never to refuse the request.

    >>> parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").sampled
    True
    """
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    match = _TRACEPARENT.fullmatch(text or "")
    if match is None:
        return None
    release, trace_id, span_id, flags, rest = match.groups()
    if release == "ff" or (release == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id, span_id, sampled=bool(int(flags, 16) & SAMPLED_FLAG))


def format_traceparent(trace: Trace) -> str:
    """Return the header's value.

    >>> format_traceparent(Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True))
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    """
    return f"00-{trace.trace_id}-{trace.span_id}-{SAMPLED_FLAG if trace.sampled else 0:02x}"


def carried(headers: Headers) -> list[tuple[str, bytes]]:
    """Return what a record made from another one takes along: its trace header, untouched, or nothing.

    One that is too long to be a trace is nothing, too: it could make the new record larger than a broker takes.

    >>> carried([("traceparent", b"00-x"), ("other", b"1")])
    [('traceparent', b'00-x')]
    >>> carried([("traceparent", b"0" * 1_000)])
    []
    """
    if not headers:
        return []
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if name == TRACEPARENT and isinstance(value, bytes):
            return [(TRACEPARENT, value)] if len(value) <= MAX_TRACE_BYTES else []
    return []


def trace_of(headers: Headers) -> Trace | None:
    """Return the trace in record headers, if they carry a valid one."""
    found = carried(headers)
    return parse_traceparent(found[0][1]) if found else None


def record_header(trace: Trace) -> tuple[str, bytes]:
    """Return the header to put on a record."""
    return TRACEPARENT, format_traceparent(trace).encode()


def logged(trace: Trace | None) -> AbstractContextManager[None]:
    """Put the trace id on every log line written inside the ``with`` block."""
    return structlog.contextvars.bound_contextvars(**({"trace_id": trace.trace_id} if trace else {}))


class Spans(Protocol):
    """Takes finished pieces of work."""

    def record(self, name: str, trace: Trace | None, start_us: int, end_us: int, **attributes: str | int) -> None:
        """Export one span below ``trace`` if that is sampled; times are wall time in UTC microseconds.

        Attributes must not hold an account number: nothing masks them on the way out.
        """
        ...

    def close(self) -> None:
        """Send what is buffered and stop."""
        ...


class NoSpans:
    """The default: nothing leaves the process."""

    def record(self, name: str, trace: Trace | None, start_us: int, end_us: int, **attributes: str | int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_spans(program: str, endpoint: str) -> Spans:
    """Return where spans go: nowhere if ``endpoint`` is empty, else an OTLP/HTTP collector.

    ``endpoint`` is the full address, such as ``http://collector:4318/v1/traces``.
    Raises `ExporterMissing` if the extra ``otlp`` is not installed.
    """
    if not endpoint:
        return NoSpans()
    try:
        from telemetry.otlp import otlp_spans  # noqa: PLC0415 - the extra `otlp` may be absent
    except ImportError as error:
        raise ExporterMissing(str(error)) from error
    return otlp_spans(program, endpoint)
