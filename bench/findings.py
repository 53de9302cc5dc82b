"""What the parts of the bench are given, and what they hand back."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from bench.machine import Machine
from bench.panel import Trained, train
from bench.stack import Say, Stack
from bench.traffic import Traffic
from telemetry.clock import wall_us


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often is measured."""

    seconds: float = 4.0
    """Length of one throughput trial; everything else is a multiple of it."""
    runs: int = 3


class Bench:
    """What every part is given; traffic and detectors are made when they are first needed."""

    def __init__(self, *, length: Length, broker: str, folder: Path, run: str, say: Say) -> None:
        self.length = length
        self.say = say
        self._broker, self._folder, self._run = broker, folder, run
        self._stacks = 0

    def stack(self) -> Stack:
        """Start a broker of its own, or use the external one; close it after use."""
        self._stacks += 1
        return Stack(self._folder / f"stack-{self._stacks}", self._broker, self.say)

    @cached_property
    def traffic(self) -> Traffic:
        """The load of the simulated town."""
        self.say("simulating a town for the load")
        return Traffic(self._run, wall_us())

    @cached_property
    def trained(self) -> Trained:
        """A trained panel of detectors."""
        self.say("training the detectors")
        return train()


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
