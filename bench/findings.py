"""What the parts of the bench are given, and what they hand back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bench.machine import Machine
from bench.panel import Trained
from bench.stack import Stack
from bench.traffic import Traffic


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often is measured."""

    seconds: float = 6.0
    """Length of one throughput trial; everything else is a multiple of it."""
    runs: int = 3


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What every part is given."""

    length: Length
    stack: Callable[[], Stack]
    """Starts a broker of its own, or uses the external one; close it after use."""
    traffic: Traffic
    trained: Trained
    say: Callable[[str], None]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a part has found, under the headings of the result."""

    throughput: dict[str, Any] = msgspec.field(default_factory=dict)
    ratios: dict[str, Any] = msgspec.field(default_factory=dict)
    latency_ms: dict[str, Any] = msgspec.field(default_factory=dict)
    us_per_transfer: dict[str, Any] = msgspec.field(default_factory=dict)
    growth: dict[str, Any] = msgspec.field(default_factory=dict)
    memory: dict[str, Any] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take over what another part has found."""
        for name in HEADINGS:
            getattr(self, name).update(getattr(other, name))
        self.notes.extend(other.notes)


HEADINGS = ("throughput", "ratios", "latency_ms", "us_per_transfer", "growth", "memory")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of ``sluice bench``."""

    machine: Machine
    quiet: bool
    """Whether the machine did nothing else at the start; figures of a busy one say little."""
    seconds: float
    """Length of the whole bench."""
    length: Length
    parts: list[str]
    failures: dict[str, str]
    """Parts that ended by an error, with the error."""
    notes: list[str]
    throughput: dict[str, Any]
    ratios: dict[str, Any]
    latency_ms: dict[str, Any]
    us_per_transfer: dict[str, Any]
    growth: dict[str, Any]
    memory: dict[str, Any]
