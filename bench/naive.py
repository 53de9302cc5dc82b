"""The obvious way, for comparison: one Faust agent as its tutorials write it.

JSON by `faust.Record`, state in a dictionary, a River pipeline called for each
record, one topic in and one out, Faust's own settings. It does less than Sluice:
one account of a transfer instead of two, seven features, no rules, no reasons;
and its state is gone when the process ends.

    SLUICE_BROKER=127.0.0.1:9092 python -m bench.naive
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import faust
from river import anomaly, compose, preprocessing

from stream.ready import announce_ready

SOURCE: Final = "naive-transfers"
SINK: Final = "naive-scores"


class Transfer(faust.Record, serializer="json"):
    """A transfer; what a bank may not know has a default."""

    transfer_id: str
    payer_bank: str
    payer_account: str
    payee_bank: str
    payee_account: str
    amount_fen: int
    occurred_us: int
    channel: str = ""
    payer_balance_after_fen: int | None = None
    payee_known: bool | None = None


class Score(faust.Record, serializer="json"):
    """What comes out."""

    transfer_id: str
    score: float


class Account:
    """What is remembered of a payer."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.largest = 0
        self.last_us = 0
        self.payees: set[str] = set()


def features_of(account: Account, transfer: Transfer) -> dict[str, float]:
    """Return the features of a transfer, and remember it."""
    amount, payee = transfer.amount_fen, f"{transfer.payee_bank}/{transfer.payee_account}"
    features = {
        "amount": math.log1p(amount),
        "count": account.count,
        "mean": account.total / account.count if account.count else 0.0,
        "largest": account.largest,
        "idle_s": (transfer.occurred_us - account.last_us) / 1e6 if account.last_us else 0.0,
        "new_payee": float(payee not in account.payees),
        "hour": transfer.occurred_us // 3_600_000_000 % 24,
    }
    account.count += 1
    account.total += amount
    account.largest = max(account.largest, amount)
    account.last_us = transfer.occurred_us
    account.payees.add(payee)
    return features


def create_app(broker: str) -> Any:
    """Return the Faust app."""
    app = faust.App(
        "naive",
        broker=f"kafka://{broker}",
        topic_partitions=4,
        topic_allow_declare=False,  # the bench makes the topics; the embedded broker answers no such request
        topic_disable_leader=True,
        web_enabled=False,
    )
    source, sink = app.topic(SOURCE, value_type=Transfer), app.topic(SINK, value_type=Score)
    accounts: dict[str, Account] = defaultdict(Account)
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=1))

    async def score(transfers: Any) -> None:
        async for transfer in transfers:
            account = accounts[f"{transfer.payer_bank}/{transfer.payer_account}"]
            features = features_of(account, transfer)
            scored = model.score_one(features)
            model.learn_one(features)
            await sink.send(key=transfer.payee_account, value=Score(transfer_id=transfer.transfer_id, score=scored))

    async def say_ready(_app: Any, *_args: Any, **_kwargs: Any) -> None:
        announce_ready(Path(os.environ["SLUICE_READY_FILE"]) if "SLUICE_READY_FILE" in os.environ else None, "naive")

    app.agent(source)(score)
    signal: Any = app.on_partitions_assigned
    signal.connect(say_ready, weak=False)
    return app


def main() -> None:
    """Run the worker until it is stopped."""
    worker = faust.Worker(create_app(os.environ["SLUICE_BROKER"]), loglevel="WARNING")
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
