"""Dashboards: as built, complete, linked, explained, and about metrics and labels that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from models.control.states import IN_FORCE
from tests.deploy_files import (
    DASHBOARDS,
    DEPLOY,
    ROOT,
    dashboard_queries,
    panels,
    rules,
    selected,
    series_labels,
    without_variables,
)

GRAFANA = DEPLOY / "grafana"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
RECORDED = {rule["record"]: rule["expr"] for rule in rules("recording.yml")}
TARGET_LABELS = {"job", "instance", "region"}
ALERT_LABELS = {"alertname", "alertstate", "severity", "bank"}
KNOWN_TYPES = {"timeseries", "stat", "heatmap", "table", "bargauge", "state-timeline"}
boards = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def loaded(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text())
    return board


def test_the_committed_files_are_what_the_builder_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(GRAFANA / "build.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_there_are_four() -> None:
    assert [path.stem for path in DASHBOARDS] == [
        "sluice-critical-path",
        "sluice-detection",
        "sluice-money",
        "sluice-orders-banks",
    ]


@boards
def test_a_dashboard_has_its_address_variables_and_links(path: Path) -> None:
    board = loaded(path)
    assert board["uid"] == path.stem
    assert CHINESE.search(board["title"])
    assert {variable["name"] for variable in board["templating"]["list"]} == {"region", "bank"}
    assert all(variable["includeAll"] for variable in board["templating"]["list"])
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["sluice"], True, True)
    assert board["tags"] == ["sluice"]


@boards
def test_every_panel_is_titled_in_both_languages_and_explained(path: Path) -> None:
    for panel in panels(path):
        title, description = panel["title"], panel["description"]
        assert panel["type"] in KNOWN_TYPES
        assert CHINESE.search(title), title
        assert re.search(r"[A-Za-z]{2}", title), title
        chinese, english = description.split("\n\n")
        assert CHINESE.search(chinese), title
        assert len(english) > 10, title
        assert not CHINESE.search(english), title


@boards
def test_panels_fit_the_grid_and_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in loaded(path)["panels"]]
    assert len(ids) == len(set(ids))
    for panel in loaded(path)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@boards
def test_queries_read_declared_metrics_and_their_labels(path: Path) -> None:
    known = series_labels()
    known["ALERTS"] = ALERT_LABELS
    for where, query in dashboard_queries(path):
        for selector in selected(query):
            if selector.name in RECORDED:
                continue
            assert selector.name in known, f"{where}: telemetry/metrics.py does not declare {selector.name}"
            used = {matcher.name for matcher in selector.matchers.matchers}
            assert used <= known[selector.name] | TARGET_LABELS, where


@boards
def test_every_query_obeys_the_chosen_region_and_bank(path: Path) -> None:
    """A panel that ignored the choice would show other people's numbers under their name."""
    known = series_labels()
    for panel in panels(path):
        for target in panel["targets"]:
            for selector in selected(_marked(target["expr"])):
                values = {matcher.value for matcher in selector.matchers.matchers}
                assert {"chosen-region", "chosen-region|"} & values, panel["title"]
                if path.stem not in {"sluice-money", "sluice-orders-banks"}:
                    continue
                assert selector.name not in RECORDED, f"{panel['title']}: no recorded series keeps the bank"
                if "bank" in known[selector.name]:
                    assert "chosen-bank" in values, panel["title"]


def test_an_alert_without_a_region_shows_whatever_region_is_chosen() -> None:
    (table,) = (each for each in panels(GRAFANA / "dashboards" / "sluice-critical-path.json") if each["type"] == "table"
                and "ALERTS" in each["targets"][0]["expr"])  # fmt: skip
    (selector,) = selected(_marked(table["targets"][0]["expr"]))
    (chosen,) = (each.value for each in selector.matchers.matchers if each.name == "region")
    assert re.fullmatch(chosen, "")
    assert re.fullmatch(chosen, "chosen-region")
    assert not re.fullmatch(chosen, "another")


def test_the_same_money_is_not_counted_twice() -> None:
    """A stop and the freeze drafted after it are about the same money."""
    for panel in panels(GRAFANA / "dashboards" / "sluice-money.json"):
        for target in panel["targets"]:
            for selector in selected(without_variables(target["expr"])):
                if selector.name in {"sluice_money_at_risk_fen_total", "sluice_money_held_fen_total"}:
                    kinds = [each for each in selector.matchers.matchers if each.name == "kind"]
                    assert kinds or "by (kind)" in target["expr"], panel["title"]


REPLICATED: Final = {"sluice_orders", "sluice_orders_lapsing", "sluice_outbox_pending"}
"""Counts that every replica of the api reads from the one database."""


def test_what_replicas_show_alike_is_counted_once() -> None:
    queries = [query for path in DASHBOARDS for where, query in dashboard_queries(path) if ": variable " not in where]
    asked = [query for query in [*queries, *(rule["expr"] for rule in rules("alerts.yml"))] if _replicated(query)]
    assert len(asked) > 8
    for query in asked:
        assert re.search(r"\bmax by \([\w, ]+\) \(sluice_(orders|outbox)", query), query


def _replicated(query: str) -> bool:
    return any(selector.name in REPLICATED for selector in selected(query))


def _marked(query: str) -> str:
    marks = {"$region": "chosen-region", "$bank": "chosen-bank", "$__rate_interval": "1m", "$__range": "1h"}
    for name, mark in marks.items():
        query = query.replace(name, mark)
    assert "$" not in query, query
    return query


@boards
def test_legends_name_labels_that_the_query_keeps(path: Path) -> None:
    for panel in panels(path):
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            if kept:
                assert named <= {label.strip() for group in kept for label in group.split(",")}, panel["title"]


def _links(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", []):
            yield link["url"]


def test_data_links_lead_to_dashboards_that_exist() -> None:
    uids = {path.stem for path in DASHBOARDS}
    led_to: set[str] = set()
    for path in DASHBOARDS:
        for url in _links(loaded(path)):
            match = re.match(r"/d/([a-z-]+)\?", url)
            assert match is not None
            assert match[1] != path.stem
            led_to.add(match[1])
    assert led_to == uids


def test_in_force_means_what_the_model_says() -> None:
    text = "".join(
        target["expr"]
        for panel in panels(GRAFANA / "dashboards" / "sluice-orders-banks.json")
        for target in panel["targets"]
    )
    (states,) = set(re.findall(r'state=~"(applied\|under_review\|bank[a-z_|]*)"', text))
    assert set(states.split("|")) == {str(state) for state in IN_FORCE}


def test_provisioning_points_at_the_dashboards_and_at_prometheus() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/sluice.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in compose["grafana"]["volumes"]
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape
    for path in DASHBOARDS:
        for panel in panels(path):
            assert panel["datasource"]["uid"] == source["uid"]
