"""Many accounts with a past: states of a simulated town, given to as many account numbers as are wanted."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from bench.traffic import Payment, Scored
from cli.plan import BANKS
from models.wire import TransferRecord, encode
from stream.tables import AccountState

MATURE_EVENTS: Final = 8
"""Transfers in and out from which an account counts as one with a past."""

FIRST_ACCOUNT: Final = 6_230_000_000_000_000
HOUR_US: Final = 3_600_000_000
STEP_US: Final = 1_000


def mature_states(town: Scored) -> list[bytes]:
    """Return the encoded states of a town's accounts that have a past."""
    found = [
        AccountState(profile).encode()
        for profile in town.profiles.values()
        if profile.inflow.count + profile.outflow.count >= MATURE_EVENTS
    ]
    if not found:
        raise ValueError("no account of the town has a past")
    return found


def account_key(number: int) -> bytes:
    """Return the key of an account by number; banks take turns.

    >>> account_key(2)
    b'beishan/6230000000000002'
    """
    return f"{BANKS[number % len(BANKS)]}/{FIRST_ACCOUNT + number}".encode()


def peopled(accounts: int, states: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and a state's bytes of its own for each account."""
    for number in range(accounts):
        state = states[number % len(states)]
        yield account_key(number), state[:-1] + state[-1:]


class Strangers:
    """Payments between accounts drawn evenly: the worst case for every cache, the same for every number of accounts."""

    def __init__(self, run: str, accounts: int, *, after_us: int, seed: int) -> None:
        self._run = run
        self._accounts = accounts
        self._after_us = after_us
        self._random = random.Random(seed)
        self._number = 0

    def take(self, count: int) -> list[Payment]:
        """Return the next payments."""
        return [self._next() for _ in range(count)]

    def number_of(self, transfer_id: str) -> int:
        """Return the number of a transfer of ours, or -1 for somebody else's."""
        run, _, number = transfer_id.rpartition("-")
        return int(number) if run == self._run else -1

    def _next(self) -> Payment:
        source, number = self._random, self._number
        payer, payee = source.sample(range(self._accounts), 2)
        bank = BANKS[payer % len(BANKS)]
        record = TransferRecord(
            transfer_id=f"{self._run}-{number}",
            payer_bank=bank,
            payer_account=str(FIRST_ACCOUNT + payer),
            payee_bank=BANKS[payee % len(BANKS)],
            payee_account=str(FIRST_ACCOUNT + payee),
            amount_fen=int(source.lognormvariate(9, 1.2)) + 1,
            occurred_us=self._after_us + HOUR_US + number * STEP_US,
            channel="mobile",
        )
        self._number += 1
        return Payment(number, bank, record.payer.encode(), encode(record))


def latest_us(town: Scored) -> int:
    """Return the time of a town's last transfer."""
    return town.transfers[-1].occurred_us
