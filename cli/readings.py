"""What the programs say of themselves over HTTP while they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from cli.quantiles import ROUND, Quantiles

TIMEOUT_S = 5.0

Samples = dict[str, list[tuple[dict[str, str], float]]]
"""Samples of one program by sample name: labels and value."""


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Victims' money in fen; ``stolen`` is the sum of the other three."""

    stolen: int = 0
    stopped: int = 0
    cashed_out: int = 0
    in_flight: int = 0


class StopCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts on which a protective stop became effective, as the world counts them (`simulators.watch`)."""

    right: int = 0
    false: int = 0
    third_party: int = 0
    in_history: int = 0
    false_by: dict[str, int] = {}


class WorldReading(msgspec.Struct, frozen=True):
    """The part of ``GET /world`` that the supervisor shows."""

    phase: str
    live_s: float
    rate_tps: float
    simulated_days: float
    customers: int
    cases: int
    money_fen: Money
    false_stops: int
    false_stops_per_10k_day: float
    stops: StopCounts


class Sources:
    """Reads the programs of one run; a program that does not answer reads as empty."""

    def __init__(self, *, api_url: str, bank_url: str, world_url: str, operator_key: str) -> None:
        self._api_url, self.bank_url, self._world_url = api_url, bank_url, world_url
        self._client = httpx.Client(timeout=TIMEOUT_S, headers={"X-Api-Key": operator_key})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def world(self) -> WorldReading | None:
        """Return where the world stands, or ``None`` before it answers."""
        try:
            answer = self._client.get(f"{self._world_url}/world")
        except httpx.TransportError:
            return None
        return msgspec.json.decode(answer.content, type=WorldReading) if answer.is_success else None

    def samples(self, url: str) -> Samples:
        """Return the samples of one metrics page."""
        try:
            page = self._client.get(url).text
        except httpx.TransportError:
            return {}
        return parse_samples(page)

    def api(self, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
        """Return the JSON of an operator's page of the api; raise `httpx.HTTPError`."""
        return self._client.get(f"{self._api_url}{path}", timeout=timeout_s).raise_for_status().json()

    def bank(self, path: str) -> Any:
        """Return the JSON of a page of the fake banks; raise `httpx.HTTPError`."""
        return self._client.get(f"{self.bank_url}{path}").raise_for_status().json()


def parse_samples(page: str) -> Samples:
    """Return the samples of a metrics page in Prometheus's text format."""
    found: Samples = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def total(samples: Samples, name: str, **labels: str) -> int:
    """Return the sum of a metric's samples that carry ``labels``."""
    rows = samples.get(name, ())
    return int(sum(value for row, value in rows if labels.items() <= row.items()))


def by_label(samples: Samples, name: str, label: str, **labels: str) -> dict[str, int]:
    """Return the sum of a metric's samples that carry ``labels`` for each value of ``label``, without zeros."""
    found: Counter[str] = Counter()
    for row, value in samples.get(name, ()):
        if labels.items() <= row.items():
            found[row[label]] += int(value)
    return {text: count for text, count in sorted(found.items()) if count}


def merge(pages: Iterable[Samples]) -> Samples:
    """Return the samples of several programs in one."""
    merged: Samples = {}
    for page in pages:
        for name, rows in page.items():
            merged.setdefault(name, []).extend(rows)
    return merged


def since(earlier: Samples, later: Samples) -> Samples:
    """Return by how much the counters and histograms of one program grew between two readings.

    A program that began again in between counts from its new beginning.
    """
    grown: Samples = {}
    for name, rows in later.items():
        before = {tuple(sorted(labels.items())): value for labels, value in earlier.get(name, ())}
        grown[name] = [(labels, _growth(before.get(tuple(sorted(labels.items())), 0.0), now)) for labels, now in rows]
    return grown


def _growth(before: float, now: float) -> float:
    return now - before if now >= before else now


def histogram_quantiles(samples: Samples, name: str, **labels: str) -> Quantiles:
    """Return quantiles in milliseconds of a histogram in seconds, linear within a bucket.

    The same estimate as Prometheus's ``histogram_quantile``.
    """
    counts: dict[float, float] = {}
    for row, value in samples.get(f"{name}_bucket", ()):
        if labels.items() <= row.items():
            edge = float(row["le"])
            counts[edge] = counts.get(edge, 0.0) + value
    buckets = sorted(counts.items())
    if not buckets or not buckets[-1][1]:
        return Quantiles()
    return Quantiles(p50=_quantile(buckets, 0.5), p99=_quantile(buckets, 0.99), p999=_quantile(buckets, 0.999))


def _quantile(buckets: list[tuple[float, float]], share: float) -> float:
    wanted, low_edge, low_count = share * buckets[-1][1], 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted:
            if edge == float("inf"):
                return round(low_edge * 1000, ROUND)
            return round((low_edge + (edge - low_edge) * (wanted - low_count) / (count - low_count)) * 1000, ROUND)
        low_edge, low_count = edge, count
    return round(low_edge * 1000, ROUND)
