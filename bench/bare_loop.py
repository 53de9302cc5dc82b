"""The ceiling, for comparison: consume, decode, encode, produce, and nothing else.

confluent-kafka and msgspec in a plain loop, records by the batch, one topic in
and one out. No state, no scoring, no second account, no metrics; what it held
when it dies is scored again or lost.

    SLUICE_BROKER=127.0.0.1:9092 python -m bench.bare_loop
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer

from models.wire import PARTITIONER, decode_transfer, encode
from stream.ready import announce_ready

SOURCE: Final = "bare-transfers"
SINK: Final = "bare-copies"
WAIT_S: Final = 0.005
TAKEN: Final = 500
COMMIT_S: Final = 0.1


class Loop:
    """One consumer and one producer."""

    def __init__(self, broker: str, ready_file: Path | None) -> None:
        self._ready_file = ready_file
        self._stopping = False
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "linger.ms": 1,
                "compression.type": "lz4",
                "partitioner": PARTITIONER,
                "log_level": 2,
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "bare-loop",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "log_level": 2,
            }
        )

    def run(self) -> None:
        """Copy until asked to stop."""
        self._consumer.subscribe([SOURCE], on_assign=self._assigned)
        committed_s = time.monotonic()
        while not self._stopping:
            self._turn()
            if time.monotonic() - committed_s > COMMIT_S:
                committed_s = time.monotonic()
                self._commit()
        self._producer.flush()
        self._consumer.close()

    def stop(self, *_args: Any) -> None:
        """Stop after this turn."""
        self._stopping = True

    def _turn(self) -> None:
        message = self._consumer.poll(WAIT_S)
        taken = 0
        while message is not None:
            if message.error():
                raise KafkaException(message.error())
            transfer = decode_transfer(message.value() or b"")
            self._producer.produce(SINK, encode(transfer), transfer.payee.encode())
            taken += 1
            message = self._consumer.poll(0) if taken < TAKEN else None
        self._producer.poll(0)

    def _commit(self) -> None:
        """Commit what was consumed once it is produced."""
        self._producer.flush()
        try:
            self._consumer.commit(asynchronous=True)
        except KafkaException as error:
            if error.args[0].name() != "_NO_OFFSET":
                raise

    def _assigned(self, *_args: Any) -> None:
        announce_ready(self._ready_file, "bare loop")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    ready_file = os.environ.get("SLUICE_READY_FILE")
    loop = Loop(os.environ["SLUICE_BROKER"], Path(ready_file) if ready_file else None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, loop.stop)
    loop.run()


if __name__ == "__main__":
    main()
