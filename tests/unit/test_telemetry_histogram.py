"""A batch observed at once leaves what its amounts leave one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram

from telemetry.histogram import BatchHistogram
from telemetry.metrics import LATENCY_BUCKETS

# Halves and bounds: sums of floats in another order are the same then.
AMOUNTS = st.lists(st.one_of(st.sampled_from(LATENCY_BUCKETS), st.integers(0, 40).map(lambda n: n / 2)))


@given(AMOUNTS)
def test_at_once_or_one_by_one(amounts: list[float]) -> None:
    at_once = BatchHistogram("at_once", "All.", ["stage"], buckets=LATENCY_BUCKETS, registry=None).labels("debited")
    singly = Histogram("singly", "All.", ["stage"], buckets=LATENCY_BUCKETS, registry=None).labels("debited")
    at_once.observe_all(amounts)
    for amount in amounts:
        singly.observe(amount)
    ours = {(s.name, *s.labels.values()): s.value for s in at_once._child_samples() if s.name != "_created"}
    theirs = {(s.name, *s.labels.values()): s.value for s in singly._child_samples() if s.name != "_created"}
    assert abs(ours.pop(("_sum",)) - theirs.pop(("_sum",))) < 1e-9
    assert ours == theirs
