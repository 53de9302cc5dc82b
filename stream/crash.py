"""Ends a crash-only program: says why, leaves nothing half-sent, and goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn, Protocol

import structlog

from stream.exitcodes import ExitCode

log = structlog.get_logger(__name__)


class End(Protocol):
    """How a program ends itself; tests put an exception in its place."""

    def __call__(self, code: ExitCode, reason: str) -> NoReturn:
        """End with ``code``, telling ``reason``; never returns."""
        ...


class CrashOnly:
    """Ends the process at once, after the last rites that were asked for.

    A rite must not take long. One that fails is told and keeps nobody from going;
    one that itself runs into a reason to end ends the process there and then.
    """

    def __init__(self) -> None:
        self.rites: list[Callable[[ExitCode], None]] = []
        self._ending = False

    def __call__(self, code: ExitCode, reason: str) -> NoReturn:
        """End the process with ``code``."""
        log.critical("worker ends", code=int(code), why=code.name.lower(), reason=reason)
        if not self._ending:
            self._ending = True
            for rite in self.rites:
                self._perform(rite, code)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _perform(self, rite: Callable[[ExitCode], None], code: ExitCode) -> None:
        try:
            rite(code)
        except Exception as error:
            log.error("last rite failed", exc_info=error)
