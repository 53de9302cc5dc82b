"""Structured logs as JSON lines on stderr, with account numbers masked in this one place."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
"""What ``SLUICE_LOG_LEVEL`` may be, in every program."""

ACCOUNT_FIELDS = frozenset({"account", "payer_account", "payee_account", "account_number", "payer", "payee", "key"})
"""Log fields that hold an account number and are always masked."""

CLEAR_FIELDS = frozenset(
    {"timestamp", "trace_id", "span_id", "digest", "transfer_id", "order_id", "application_id", "version"}
)
"""Log fields left as they are: identifiers a person must be able to search for, none of them an account."""

MAX_DEPTH = 6
"""Containers nested deeper than this are logged as one masked text."""

_LONG_DIGITS = re.compile(r"\d{10,}")


def mask(number: str) -> str:
    """Return an account number with the middle hidden (first 6 and last 4 stay, our default).

    >>> mask("6222021234567890")
    '622202******7890'
    >>> mask("A11835")
    'A1****'
    """
    bank, slash, tail = number.rpartition("/")
    if len(tail) > 10:
        return f"{bank}{slash}{tail[:6]}{'*' * (len(tail) - 10)}{tail[-4:]}"
    return f"{bank}{slash}{tail[:2]}{'*' * max(len(tail) - 2, 1)}"


def _masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own passengers, dropped before rendering
            event[name] = mask_value(name, value)
    return event


def mask_value(name: str, value: Any, depth: int = 0) -> Any:
    """Return a log value with every account number in it masked, containers included.

    Text and numbers in an account field are masked whole, elsewhere every run of
    ten or more digits is. What is no plain data is masked in its ``repr``.

    >>> mask_value("tried", ["icbc/6222021234567890", {"payee": "A11835"}, 7])
    ['icbc/622202******7890', {'payee': 'A1****'}, 7]
    """
    if name in CLEAR_FIELDS or value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return mask(value) if name in ACCOUNT_FIELDS else _digits_masked(value)
    if isinstance(value, int):
        text = mask_value(name, str(value))
        return value if text == str(value) else text
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {_digits_masked(str(key)): mask_value(str(key), item, depth + 1) for key, item in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [mask_value(name, item, depth + 1) for item in value]
    return mask_value(name, repr(value))


def _digits_masked(text: str) -> str:
    return _LONG_DIGITS.sub(lambda hit: mask(hit.group()), text)


CHATTY_LOGGERS = ("httpx", "httpcore", "aiohttp.access", "alembic.runtime.plugins")
"""Loggers of libraries that write a line per call at INFO."""


def configure_logging(program: str, level: LogLevel = "INFO") -> None:
    """Send structlog and the standard library's loggers to stderr as JSON lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _masked,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in CHATTY_LOGGERS:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(program=program)
