"""Quarantine: records that cannot be worked on, with their bytes, place and reason, and the brake on them."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from itertools import repeat
from typing import Any, Final

import structlog

from models.wire import DeadLetter, dead_letter, encode
from stream.crash import End
from stream.exitcodes import ExitCode
from telemetry.clock import wall_us
from telemetry.metrics import DEAD_LETTERS

log = structlog.get_logger(__name__)

MAX_LOGGED_PER_S: Final = 10


class Fault(StrEnum):
    """Why a record is quarantined."""

    EMPTY = "empty"
    MALFORMED = "malformed"
    KEY = "key"
    MISPLACED = "misplaced"
    FUTURE = "future"
    TIME_UNIT = "time_unit"
    FEATURE_SET = "feature_set"
    SCORING = "scoring"
    SIGNATURE = "signature"
    TOO_LARGE = "too_large"


class RecordFault(Exception):
    """A record cannot be worked on; the reason is one of `Fault`."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class Brake:
    """Ends the worker when too large a share of the latest records is bad.

    A few poison records must not stop a bank's money; a sender that has changed
    its format must. The brake looks at the last ``window`` records, and only
    once it has seen so many.
    """

    def __init__(self, *, window: int, share: float, end: End) -> None:
        self._window: deque[bool] = deque(maxlen=window)
        self._share = share
        self._end = end
        self._bad = 0

    def count(self, *, good: int = 0, bad: int = 0) -> None:
        """Count records of a batch; end the worker if the share is passed."""
        window = self._window
        if not bad and not self._bad:
            window.extend(repeat(False, good))
            return
        for is_bad in (*(False,) * good, *(True,) * bad):
            if len(window) == window.maxlen:
                self._bad -= window[0]
            window.append(is_bad)
            self._bad += is_bad
        if len(window) == window.maxlen and self._bad > self._share * len(window):
            self._end(ExitCode.BRAKE, f"{self._bad} of the last {len(window)} records are bad")


class Quarantine:
    """Makes dead letters of records; sending them is the caller's."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._second = 0
        self._logged = 0

    def letter(self, record: Any, fault: Fault, detail: str) -> tuple[bytes | None, bytes]:
        """Return key and value of the dead letter of a record (anything with topic, partition, offset, key, value)."""
        letter = dead_letter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            reason=fault.value,
            detail=detail,
            program=self._program,
            seen_us=wall_us(),
        )
        DEAD_LETTERS.labels(record.topic, fault.value).inc()
        self._tell(letter)
        return letter.key, encode(letter)

    def _tell(self, letter: DeadLetter) -> None:
        """Log a dead letter, but not more than `MAX_LOGGED_PER_S` of them; all are counted and kept."""
        second = letter.seen_us // 1_000_000
        if second != self._second:
            self._second, self._logged = second, 0
        self._logged += 1
        if self._logged > MAX_LOGGED_PER_S:
            return
        log.warning(
            "record quarantined",
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            fault=letter.reason,
            detail=letter.detail,
        )
