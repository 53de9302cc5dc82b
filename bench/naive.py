"""The obvious way, for comparison: one Faust agent as its tutorials write it.

JSON by `faust.Record`, state in a dictionary, a River pipeline called for each
record, one topic in and one out, Faust's own settings. Its features are the 56 of
the reference (`bench.naive_features`). It does less than Sluice: no rules, no
reasons, nothing learned from verdicts; its state is gone when the process ends,
and with two workers each would know half of an account.

    SLUICE_BROKER=127.0.0.1:9092 python -m bench.naive

With ``NAIVE_FEATURES=lean`` in the environment it knows seven features, of the payer alone; that is hardly faster.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import faust
from river import anomaly, compose, preprocessing

from bench.naive_features import Account, Features, features_of, lean_features_of
from stream.ready import announce_ready

SOURCE: Final = "naive-transfers"
SINK: Final = "naive-scores"

TREES: Final = 25
"""As in the reference without labels (``docs/sources.md#reference-detector``)."""


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


def create_app(broker: str, features: Features) -> Any:
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
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(n_trees=TREES, seed=1))

    async def score(transfers: Any) -> None:
        async for transfer in transfers:
            row = features(accounts, transfer)
            scored = model.score_one(row)
            model.learn_one(row)
            await sink.send(key=transfer.payee_account, value=Score(transfer_id=transfer.transfer_id, score=scored))

    async def say_ready(_app: Any, *_args: Any, **_kwargs: Any) -> None:
        announce_ready(Path(os.environ["SLUICE_READY_FILE"]) if "SLUICE_READY_FILE" in os.environ else None, "naive")

    app.agent(source)(score)
    signal: Any = app.on_partitions_assigned
    signal.connect(say_ready, weak=False)
    return app


def main() -> None:
    """Run the worker until it is stopped."""
    features = lean_features_of if os.environ.get("NAIVE_FEATURES") == "lean" else features_of
    worker = faust.Worker(create_app(os.environ["SLUICE_BROKER"], features), loglevel="WARNING")
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
