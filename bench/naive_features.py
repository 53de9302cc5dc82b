"""Features of the obvious way: the 56 of the reference, as one writes them with dictionaries and deques.

The reference is ``docs/sources.md#reference-detector``: amount, hour, counts and
sums of both accounts in three windows, counterparties, ratios, ages, pair.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

WEEK_US: Final = 7 * 86_400_000_000
SPANS_US: Final = {"1h": 3_600_000_000, "24h": 86_400_000_000, "7d": WEEK_US}
CHANNELS: Final = ("mobile", "web", "atm", "pos", "counter", "qr", "crypto")

Features = Callable[[dict[str, "Account"], Any], dict[str, float]]


class Window:
    """Count and sum of the last ``span_us`` microseconds."""

    def __init__(self, span_us: int) -> None:
        self.span_us = span_us
        self.events: deque[tuple[int, int]] = deque()
        self.total = 0

    def add(self, when_us: int, amount: int) -> None:
        """Add an event."""
        self.events.append((when_us, amount))
        self.total += amount

    def expire(self, now_us: int) -> None:
        """Drop what is too old."""
        while self.events and self.events[0][0] < now_us - self.span_us:
            self.total -= self.events.popleft()[1]


class Side:
    """Money that an account received, or paid."""

    def __init__(self) -> None:
        self.windows = {name: Window(span_us) for name, span_us in SPANS_US.items()}
        self.parties_7d: Counter[str] = Counter()
        self.recent: deque[tuple[int, str]] = deque()
        self.parties: set[str] = set()
        self.last_us = 0
        self.last_amount = 0

    def add(self, when_us: int, amount: int, party: str) -> None:
        """Add a transfer."""
        for window in self.windows.values():
            window.add(when_us, amount)
        self.parties_7d[party] += 1
        self.recent.append((when_us, party))
        self.parties.add(party)
        self.last_us, self.last_amount = when_us, amount

    def expire(self, now_us: int) -> None:
        """Drop what is too old."""
        for window in self.windows.values():
            window.expire(now_us)
        while self.recent and self.recent[0][0] < now_us - WEEK_US:
            party = self.recent.popleft()[1]
            self.parties_7d[party] -= 1
            if not self.parties_7d[party]:
                del self.parties_7d[party]

    def features(self, name: str, now_us: int) -> dict[str, float]:
        """Return this side's features."""
        self.expire(now_us)
        row: dict[str, float] = {}
        for span, window in self.windows.items():
            row[f"{name}_n_{span}"] = len(window.events)
            row[f"{name}_sum_{span}"] = math.log1p(window.total)
        row[f"{name}_parties_7d"] = len(self.parties_7d)
        row[f"{name}_parties"] = len(self.parties)
        row[f"{name}_idle"] = math.log1p(max(now_us - self.last_us, 0) / 1e6)
        return row


class Account:
    """What is remembered of an account."""

    def __init__(self) -> None:
        self.money_in = Side()
        self.money_out = Side()
        self.first_us = 0
        self.count = 0
        self.mean = 0.0
        self.spread = 0.0

    def features(self, name: str, now_us: int) -> dict[str, float]:
        """Return the features of one account."""
        self.first_us = self.first_us or now_us
        row = self.money_in.features(f"{name}_in", now_us)
        row.update(self.money_out.features(f"{name}_out", now_us))
        paid, received = self.money_out.windows["7d"].total, self.money_in.windows["7d"].total
        row[f"{name}_turnover"] = math.log1p(paid) - math.log1p(received)
        row[f"{name}_age"] = math.log1p(max(now_us - self.first_us, 0) / 1e6)
        return row

    def paid(self, amount: float) -> None:
        """Learn the habit of a payer (Welford)."""
        self.count += 1
        step = amount - self.mean
        self.mean += step / self.count
        self.spread += step * (amount - self.mean)

    def z(self, amount: float) -> float:
        """Return how unusual an amount is."""
        deviation = math.sqrt(self.spread / self.count) if self.count > 1 else 0.0
        return (amount - self.mean) / deviation if deviation else 0.0


def features_of(accounts: dict[str, Account], transfer: Any) -> dict[str, float]:
    """Return the features of a transfer, and remember it."""
    payer_id = f"{transfer.payer_bank}/{transfer.payer_account}"
    payee_id = f"{transfer.payee_bank}/{transfer.payee_account}"
    payer, payee = accounts[payer_id], accounts[payee_id]
    now_us, amount = transfer.occurred_us, transfer.amount_fen
    angle = now_us / 86_400_000_000 % 1 * 2 * math.pi
    size = math.log1p(amount)
    row = payer.features("payer", now_us)
    row.update(payee.features("payee", now_us))
    row["amount"] = size
    row["hour_sin"], row["hour_cos"] = math.sin(angle), math.cos(angle)
    row["to_inflow_24h"] = size - math.log1p(payer.money_in.windows["24h"].total)
    row["to_last_in"] = size - math.log1p(payer.money_in.last_amount)
    row["pair_new"] = float(payee_id not in payer.money_out.parties)
    row["reverse_seen"] = float(payee_id in payer.money_in.parties)
    row["z"] = payer.z(size)
    row["same_bank"] = float(transfer.payer_bank == transfer.payee_bank)
    for channel in CHANNELS:
        row[f"channel_{channel}"] = float(transfer.channel == channel)
    payer.paid(size)
    payer.money_out.add(now_us, amount, payee_id)
    payee.money_in.add(now_us, amount, payer_id)
    return row


def lean_features_of(accounts: dict[str, Account], transfer: Any) -> dict[str, float]:
    """Return seven features of the payer, and remember the transfer."""
    account = accounts[f"{transfer.payer_bank}/{transfer.payer_account}"]
    side, amount = account.money_out, transfer.amount_fen
    payee = f"{transfer.payee_bank}/{transfer.payee_account}"
    row = {
        "amount": math.log1p(amount),
        "count": account.count,
        "mean": account.mean,
        "last": side.last_amount,
        "idle_s": (transfer.occurred_us - side.last_us) / 1e6 if side.last_us else 0.0,
        "new_payee": float(payee not in side.parties),
        "hour": transfer.occurred_us // 3_600_000_000 % 24,
    }
    account.count += 1
    account.mean += (amount - account.mean) / account.count
    side.last_us, side.last_amount = transfer.occurred_us, amount
    side.parties.add(payee)
    return row
