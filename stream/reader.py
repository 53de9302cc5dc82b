"""A thread with a consumer of its own, beside the engine; what ends it is kept for whoever checks it."""

from __future__ import annotations

import threading
from typing import Final

import structlog
from confluent_kafka import Consumer

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
STOP_TIMEOUT_S: Final = 2.0
MAX_RECORD_BYTES: Final = 32 * 1024 * 1024


Config = dict[str, str | int | bool]
"""Settings of librdkafka."""


class Reader:
    """Calls `_turn` until it is stopped or that raises; ``config`` is what its consumer has beside the usual."""

    def __init__(self, name: str, config: Config) -> None:
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._consumer = Consumer(
            {
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": MAX_RECORD_BYTES,
                "log_level": 2,
                **config,
            }
        )

    def check(self) -> None:
        """Raise what ended the reader, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Read no more; wait a little for what is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _turn(self) -> None:
        """Read for at most `POLL_S` and deal with what came."""
        raise NotImplementedError

    def _ended(self) -> None:
        """Hear that `_turn` has raised."""

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except Exception as error:  # noqa: BLE001 - kept for whoever calls `check`
            log.error("reader ended", reader=self._thread.name, error=repr(error))
            self._failure = error
            self._ended()
        finally:
            self._consumer.close()
