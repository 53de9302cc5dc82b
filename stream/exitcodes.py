"""Exit codes of the stream's programs: each names why a process ended by itself.

Workers are crash-only. Where going on could lose or double a transfer they end
at once and are started again; the broker's log and the changelog hold all that
is needed. Codes below 64 are left to the shell and to Python.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """Why a worker or trainer ended."""

    OK = 0
    """Stopped on request, with everything in flight confirmed."""

    BROKER_AWAY = 64
    """No broker answered within the time allowed at the start."""

    UNCONFIRMED = 65
    """A write was not confirmed in time; a later one could land over a successor's."""

    OFFSET_GAP = 66
    """A stage saw a break in a partition's offsets: a record that the broker holds was not delivered."""

    MEMBERSHIP_LOST = 67
    """The group gave this worker up while it had work in flight."""

    DRAIN_TIMEOUT = 68
    """Partitions were taken away and the work in flight was not confirmed in time."""

    SHUTDOWN_TIMEOUT = 69
    """Stopping took longer than allowed; nothing unconfirmed was acknowledged."""

    ENGINE_FAILED = 70
    """The streaming engine or an agent failed with an unexpected error."""

    BRAKE = 71
    """Too large a share of the records was bad; a person has to look."""

    MISCONFIGURED = 72
    """Settings and broker do not fit: a topic has other partitions, or the broker refuses what is sent for good."""

    PRODUCER_FATAL = 73
    """The producer met an error it cannot recover from; a new process begins with a new one."""


RESTART_CODES: Final = frozenset(
    {
        ExitCode.BROKER_AWAY,
        ExitCode.UNCONFIRMED,
        ExitCode.OFFSET_GAP,
        ExitCode.MEMBERSHIP_LOST,
        ExitCode.DRAIN_TIMEOUT,
        ExitCode.ENGINE_FAILED,
        ExitCode.PRODUCER_FATAL,
    }
)
"""Codes after which a supervisor starts the program again; the others need a person or were asked for."""
