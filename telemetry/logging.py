"""Structured logs as JSON lines on stderr, with account numbers masked in this one place."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

ACCOUNT_FIELDS = frozenset({"account", "payer_account", "payee_account", "account_number", "payer", "payee", "key"})
"""Log fields that hold an account number and are always masked."""

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
        if not isinstance(value, str):
            continue
        if name in ACCOUNT_FIELDS:
            event[name] = mask(value)
        elif name not in ("timestamp", "trace_id", "digest"):
            event[name] = _LONG_DIGITS.sub(lambda hit: mask(hit.group()), value)
    return event


def configure_logging(program: str, level: str = "INFO") -> None:
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
    structlog.contextvars.bind_contextvars(program=program)
