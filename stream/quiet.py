"""Keeps the engine's loggers from costing CPU, and from flooding the log while a broker is away."""

from __future__ import annotations

import logging
import time
from typing import Final

CHATTY: Final = ("faust", "mode", "aiokafka", "kafka", "asyncio", "stream.driver")
"""Loggers that tell an operator nothing below warnings; the last is what Faust derives from our driver."""

REPEAT_S: Final = 10.0
"""A message of the same form from these loggers is logged once in so many seconds."""

MAX_FORMS: Final = 1_000


class SeldomFilter(logging.Filter):
    """Lets each form of message (logger and text before its arguments) through once in `REPEAT_S`."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        form, now_s = (record.name, str(record.msg)), time.monotonic()
        if now_s - self._last_s.get(form, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._last_s) >= MAX_FORMS:
            self._last_s.clear()
        self._last_s[form] = now_s
        return True


def quiet_engine() -> None:
    """Set levels of the engine's loggers and thin out what the log's handlers get from them."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    seldom = SeldomFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith(CHATTY) or seldom.filter(record))
