"""Reading metrics pages: sums by label, and quantiles as Prometheus estimates them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from cli.readings import by_label, histogram_quantiles, merge, parse_samples, since, total


def page(values: list[float]) -> str:
    registry = CollectorRegistry()
    counter = Counter("things_total", "Things.", ["kind"], registry=registry)
    counter.labels("good").inc(3)
    counter.labels("bad").inc(2)
    histogram = Histogram("wait_seconds", "Wait.", ["stage"], buckets=(0.01, 0.02, 0.04), registry=registry)
    for value in values:
        histogram.labels("one").observe(value)
    return generate_latest(registry).decode()


def test_totals_are_summed_over_labels_and_programs() -> None:
    samples = merge([parse_samples(page([])), parse_samples(page([]))])
    assert total(samples, "things_total") == 10
    assert total(samples, "things_total", kind="bad") == 4
    assert total(samples, "unknown_total") == 0
    assert by_label(samples, "things_total", "kind")["bad"] == 4
    assert by_label(samples, "unknown_total", "kind") == {}


def test_quantiles_are_linear_within_a_bucket() -> None:
    samples = parse_samples(page([0.005] * 50 + [0.015] * 50))
    found = histogram_quantiles(samples, "wait_seconds", stage="one")
    assert found.p50 == pytest.approx(10.0)
    assert found.p99 == pytest.approx(19.8)


def test_beyond_the_last_bucket_its_edge_is_given() -> None:
    assert histogram_quantiles(parse_samples(page([1.0] * 10)), "wait_seconds").p50 == pytest.approx(40.0)


def test_nothing_measured_is_no_quantile() -> None:
    assert histogram_quantiles(parse_samples(page([])), "wait_seconds").p50 is None


def test_what_came_before_does_not_count() -> None:
    slow, then_fast = [1.0] * 10, [1.0] * 10 + [0.005] * 990
    grown = since(parse_samples(page(slow)), parse_samples(page(then_fast)))
    assert histogram_quantiles(grown, "wait_seconds") == histogram_quantiles(
        parse_samples(page([0.005] * 990)), "wait_seconds"
    )


def test_a_program_begun_again_counts_from_its_new_beginning() -> None:
    grown = since(parse_samples(page([0.005] * 20)), parse_samples(page([0.005] * 7)))
    assert total(grown, "wait_seconds_count") == 7
