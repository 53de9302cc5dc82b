"""Every metric is declared once, named as Prometheus wants it, and explained."""

from __future__ import annotations

import re
import socket
import urllib.request

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from telemetry import metrics

DECLARED = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}

FORBIDDEN_LABELS = {"account", "payer", "payee", "transfer_id", "order_id", "device", "ip"}
"""Labels that would hold personal data, or one series per transfer."""

UNITS = ("seconds", "fen", "records", "bytes", "timestamp_seconds", "info")
"""Endings that say a unit; every other gauge counts things or is a switch."""


def names(metric: MetricWrapperBase) -> str:
    return next(iter(metric.describe())).name


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_metric_says_what_it_means(name: str) -> None:
    family = next(iter(DECLARED[name].describe()))
    assert family.name.startswith("sluice_")
    assert re.fullmatch(r"[a-z_]+", family.name)
    assert family.documentation.endswith(".")
    assert len(family.documentation) > 20


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_labels_are_few_and_hold_no_person(name: str) -> None:
    labels = set(DECLARED[name]._labelnames)
    assert not labels & FORBIDDEN_LABELS
    assert len(labels) <= 3


@pytest.mark.parametrize("name", sorted(name for name, value in DECLARED.items() if isinstance(value, Histogram)))
def test_a_histogram_measures_a_unit(name: str) -> None:
    assert names(DECLARED[name]).endswith(UNITS)


def test_the_slo_bounds_are_bucket_bounds() -> None:
    """Burn rates read whole buckets; a bound between two would be a guess."""
    assert {0.1, 0.5} <= set(metrics.LATENCY_BUCKETS)
    assert min(metrics.LATENCY_BUCKETS) == 0.001
    assert max(metrics.LATENCY_BUCKETS) == 10.0


def test_no_two_metrics_share_a_name() -> None:
    known = [names(metric) for metric in DECLARED.values()]
    assert len(known) == len(set(known))
    assert all(isinstance(metric, Counter | Gauge | Histogram) for metric in DECLARED.values())


def test_borrowed_metrics_exist_or_are_made_by_prometheus() -> None:
    made_by_client = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    made_by_prometheus = {"up", "ALERTS"}
    assert set(metrics.BORROWED) <= made_by_client | made_by_prometheus


def test_a_process_serves_its_metrics_and_its_name() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    metrics.identify("worker")
    metrics.serve_metrics("127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    assert re.search(r'sluice_build_info\{program="worker",scoring="(compiled|plain)",version="[^"]+"\} 1\.0', text)
    assert "process_cpu_seconds_total" in text


def test_port_zero_serves_nothing() -> None:
    metrics.serve_metrics("127.0.0.1", 0)
