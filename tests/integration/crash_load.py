"""What the crash proof posts: transfers at a steady rate, some of them to accounts that are listed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

from models.wire import ACCEPTED_HEADER, Topic, TransferRecord, encode
from tests.integration.crash_desk import BANK
from tests.streamkit import START_US, new_producer, transfer

PAYERS, PAYEES, BOTH = 3_000, 1_500, 500
LISTED = tuple(f"Z{number}" for number in range(25))
"""Accounts on the black list: every payment to one is in the stop band, on a ground that convicts it."""

LISTED_SHARE = 0.01
TICK_S = 0.001


def payments(count: int, seed: int) -> Iterator[TransferRecord]:
    """Yield transfers: most accounts only pay or only receive, some do both, some that receive are listed."""
    rng = random.Random(seed)
    for number in range(count):
        payer = f"X{rng.randrange(BOTH)}" if rng.random() < 0.1 else f"P{rng.randrange(PAYERS)}"
        payee = f"X{rng.randrange(BOTH)}" if rng.random() < 0.1 else f"Q{rng.randrange(PAYEES)}"
        payee = rng.choice(LISTED) if rng.random() < LISTED_SHARE else payee
        yield transfer(
            number,
            payer,
            payee,
            transfer_id=f"crash-{seed}-{number}",
            payee_bank=BANK,
            occurred_us=START_US + number * 1_000,
        )


class Load(threading.Thread):
    """Posts transfers at a steady rate, over a broker's death; knows which were accepted."""

    def __init__(self, address: str, count: int, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._producer = new_producer(
            address, **{"enable.idempotence": True, "message.timeout.ms": 120_000, "linger.ms": 1}
        )
        self._payments = list(payments(count, seed))
        self._rate = rate
        self.sent = 0
        self.accepted: set[str] = set()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._post_all()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the load tells it
            self.failure = error

    def _post_all(self) -> None:
        start = time.monotonic()
        for number, record in enumerate(self._payments):
            while time.monotonic() < start + number / self._rate:
                self._producer.poll(0)
                time.sleep(TICK_S)
            self._post(record)
        self._producer.flush(120)

    def _post(self, record: TransferRecord) -> None:
        def confirmed(error: object, _message: object) -> None:
            if error is None:
                self.accepted.add(record.transfer_id)

        header = {ACCEPTED_HEADER: str(time.time_ns() // 1000).encode()}
        self._producer.produce(
            Topic.TRANSFERS, encode(record), record.payer.encode(), headers=header, on_delivery=confirmed
        )
        self.sent += 1

    def wait_for(self, share: float) -> None:
        """Wait until a share of the load is sent; raise what ended it before."""
        while self.sent < share * len(self._payments):
            self.check()
            time.sleep(0.01)

    def check(self) -> None:
        """Raise what has ended the load too early."""
        if self.failure is not None:
            raise RuntimeError(f"the load ended after {self.sent} transfers") from self.failure
