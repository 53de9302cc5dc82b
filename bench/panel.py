"""A trained panel of detectors, so that no figure is taken without them."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Producer

from bench.traffic import Scored, scored_town
from models.risk.learning.learner import Learner
from models.risk.panel import TrainedPanel
from models.risk.scorer import Scorer
from models.risk.snapshot import Snapshot
from models.signing import sign_snapshot
from models.wire import PARTITIONER, Topic, encode

CUSTOMERS: Final = 1_000
DAYS: Final = 10.0
ROWS: Final = 16_000
FRAUD_SHARE: Final = 0.02
SEED: Final = 7
BATCH: Final = 500
FLUSH_S: Final = 10.0


class Trained(msgspec.Struct, frozen=True):
    """A panel with novelty, linear and trees, what it learned from, and how it is published."""

    panel: TrainedPanel
    town: Scored
    snapshot: Snapshot


def train() -> Trained:
    """Train on a labelled town; takes some ten seconds."""
    town = scored_town(customers=CUSTOMERS, days=DAYS, fraud_share=FRAUD_SHARE, seed=SEED, limit=ROWS)
    learner, scorer = Learner(seed=SEED), Scorer()
    for start in range(0, len(town.drafts), BATCH):
        found = scorer.judge(town.drafts[start : start + BATCH])
        rows = np.array([assessment.features for assessment in found])
        fraud = np.array(town.fraud[start : start + BATCH])
        learner.observe(rows, at_us=found[-1].transfer.occurred_us)
        learner.learn(rows, fraud, np.ones(len(rows)))
    learner.refit(town.transfers[-1].occurred_us)
    (snapshot,) = learner.snapshots()
    return Trained(learner.panel(), town, snapshot)


def publish(broker: str, snapshot: Snapshot, *, key: bytes, now_us: int) -> None:
    """Put a signed snapshot onto the topic that workers follow."""
    record = sign_snapshot(snapshot, key=key, created_us=now_us)
    producer = Producer({"bootstrap.servers": broker, "partitioner": PARTITIONER, "log_level": 2})
    producer.produce(Topic.MODELS, encode(record), snapshot.detector.encode())
    if producer.flush(FLUSH_S):
        raise TimeoutError("the snapshot was not confirmed by the broker")
