"""Reads what is deployed: the compose file with its variables, dashboards, rules, and the metrics in PromQL."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from telemetry import metrics

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?::(?P<how>[-?])(?P<rest>[^{}]*))?\}")

LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")
"""What Grafana asks for the choices of a variable."""

GRAFANA_VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$region": ".*",
    "$bank": ".*",
}
"""What Grafana puts in for its variables when everything is chosen."""


def compose() -> dict[str, Any]:
    """Return the compose file with merges resolved and variables as they stand."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def example_env() -> dict[str, str]:
    """Return the variables of ``.env.example``, quotes removed as compose does."""
    pairs = (
        line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if re.match(r"[A-Z]", line)
    )
    return {name: value.strip("'") for name, value in pairs}


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with ``${NAME}``, ``${NAME:-default}``, ``${NAME:?error}`` put in as compose does."""

    def put_in(hit: re.Match[str]) -> str:
        value = values.get(hit["name"], "")
        if not value and hit["how"] == "?":
            raise KeyError(f"{hit['name']}: {hit['rest']}")
        return value or (hit["rest"] or "" if hit["how"] == "-" else "")

    return VARIABLE.sub(put_in, text)


def rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of one rule file, all groups together."""
    groups = yaml.safe_load((PROMETHEUS / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, headings left out."""
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def dashboard_queries(dashboard: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(where, query)`` of every panel, variable and annotation, Grafana's variables put in."""
    loaded = json.loads(dashboard.read_text())
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield f"{dashboard.stem}: {panel['title']} {target['refId']}", without_variables(target["expr"])
    for variable in loaded["templating"]["list"]:
        asked = LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert asked, variable["name"]
        yield f"{dashboard.stem}: variable {variable['name']}", f'count by ({asked[2]}) ({asked[1]}{{{asked[2]}!=""}})'
    for annotation in loaded["annotations"]["list"]:
        yield f"{dashboard.stem}: annotation {annotation['name']}", without_variables(annotation["expr"])


def without_variables(query: str) -> str:
    """Return a panel's query as Grafana sends it when everything is chosen."""
    for name, value in GRAFANA_VARIABLES.items():
        query = query.replace(name, value)
    return query


def selected(query: str) -> list[promql_parser.VectorSelector]:
    """Return every selector of series in a query; raise `ValueError` if it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def look(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(query), look)
    return found


def series_labels() -> dict[str, set[str]]:
    """Return every series name that ``telemetry/metrics.py`` declares, with its labels."""
    known: dict[str, set[str]] = {name: set() for name in metrics.BORROWED}
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        name, labels = next(iter(metric.describe())).name, set(metric._labelnames)
        if isinstance(metric, Counter):
            known[f"{name}_total"] = labels
        elif isinstance(metric, Histogram):
            known |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            known[name] = labels
    return known


def schema(name: str) -> dict[str, Any]:
    """Return a JSON schema that check-jsonschema ships, such as ``compose-spec``."""
    found = importlib.util.find_spec("check_jsonschema")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "builtin_schemas" / "vendor" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
