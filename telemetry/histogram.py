"""A histogram that takes a batch at once: a metric costs by the call, and a transfer is observed in every stage."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from prometheus_client import Histogram


class BatchHistogram(Histogram):
    """A histogram of prometheus-client with one more way to observe; reaches into its buckets."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each amount; the same as `observe` for each of them.

        >>> sizes = BatchHistogram("sizes", "Sizes.", registry=None, buckets=(1, 2, 5))
        >>> sizes.observe_all([0.5, 2, 2, 7])
        >>> [(sample.labels["le"], sample.value) for sample in sizes._child_samples() if sample.name == "_bucket"]
        [('1.0', 1.0), ('2.0', 3.0), ('5.0', 3.0), ('+Inf', 4.0)]
        """
        self._sum.inc(sum(amounts))
        bounds = self._upper_bounds
        for place, number in Counter([bisect_left(bounds, amount) for amount in amounts]).items():
            self._buckets[place].inc(number)
