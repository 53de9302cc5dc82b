"""Gives every accepted transfer its trace, and exports spans of sampled ones (off by default)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import Final

from models.risk.assessment import StageTimes
from telemetry.tracing import Headers, Spans, Trace, child_of, new_trace, trace_of

POOL_BYTES: Final = 8_192


class EntropyPool:
    """Random bytes of the system, fetched many at a time: a system call for each id would cost more than the id."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def take(self, size: int) -> bytes:
        """Return ``size`` bytes that nobody was given before."""
        if self._used + size > len(self._bytes):
            self._bytes, self._used = os.urandom(POOL_BYTES), 0
        self._used += size
        return self._bytes[self._used - size : self._used]


class Traces:
    """``sample`` is the share of transfers without a bank's own trace whose spans are wanted."""

    def __init__(self, spans: Spans, *, sample: float = 0.0, seed: int = 1) -> None:
        self._spans = spans
        self._sample = sample
        self._dice = random.Random(seed)
        self._entropy = EntropyPool().take

    def of_transfer(self, parent: Trace | None) -> Trace:
        """Return the trace of one transfer: part of the bank's if its request had one, else a new one."""
        if parent is not None:
            return child_of(parent, self._entropy)
        return new_trace(self._entropy, sampled=self._sample > 0 and self._dice.random() < self._sample)

    def assessed(self, found: Iterable[tuple[StageTimes, Headers]]) -> None:
        """Export what both stages spent on sampled transfers."""
        for times, headers in found:
            trace = trace_of(headers)
            if trace is None or not trace.sampled:
                continue
            self._spans.record("debit side", trace, times.accepted_us, times.debited_us)
            self._spans.record("credit side", trace, times.debited_us, times.assessed_us)

    def close(self) -> None:
        """Send what is buffered."""
        self._spans.close()
