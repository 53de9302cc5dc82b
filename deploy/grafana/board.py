"""What a dashboard of Sluice is made of, and its JSON as Grafana provisions it.

Titles are Chinese with English beside; every panel says what it shows and when
to worry. All queries go to one Prometheus, filtered by region and bank.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

DATASOURCE: Final = {"type": "prometheus", "uid": "sluice-prometheus"}
SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
"""Width of Grafana's grid."""

R: Final = 'region=~"$region"'
"""Matcher of the chosen regions: the sites whose processes were scraped."""
RB: Final = R + ', bank=~"$bank"'
"""Matcher of the chosen regions and banks."""

Json = dict[str, Any]


class Text(msgspec.Struct, frozen=True):
    """One text in both languages, Chinese first."""

    zh: str
    en: str

    def __str__(self) -> str:
        """Return both, side by side."""
        return f"{self.zh} {self.en}"


class Query(msgspec.Struct, frozen=True):
    """One PromQL query; ``now`` asks for the present value only."""

    expr: str
    legend: str = ""
    now: bool = False


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One panel; ``steps`` are thresholds from green on, ``link`` the dashboard its series lead to."""

    title: Text
    about: Text
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    names: tuple[tuple[str, str, str], ...] = ()
    """Values with a name and a colour, such as ``("1", "打开 open", "red")``."""
    stacked: bool = False
    share: bool = False
    """Whether the values are a share of 1, drawn from 0 to 100 %."""
    link: str = ""


class Row(msgspec.Struct, frozen=True):
    """Panels under one heading."""

    title: Text
    panels: tuple[Panel, ...]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard; ``uid`` is its address, ``/d/<uid>``."""

    uid: str
    title: Text
    about: Text
    rows: tuple[Row, ...]


def dashboard_json(board: Board) -> Json:
    """Return a dashboard as Grafana reads it from a file."""
    return {
        "uid": board.uid,
        "title": str(board.title),
        "description": str(board.about),
        "tags": ["sluice"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "Asia/Shanghai",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "links": [_links()],
        "annotations": {"list": [_alert_annotation()]},
        "templating": {
            "list": [_variable("region", "区域 Region", "up"), _variable("bank", "银行 Bank", "sluice_outbox_pending")]
        },
        "panels": _placed(board.rows),
    }


def _links() -> Json:
    return {
        "type": "dashboards",
        "title": "水闸 Sluice",
        "tags": ["sluice"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _alert_annotation() -> Json:
    return {
        "name": "告警 Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": f'ALERTS{{alertstate="firing", {R}}}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{bank}} {{instance}}",
        "step": "30s",
    }


def _variable(name: str, label: str, metric: str) -> Json:
    query = f"label_values({metric}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all", "selected": True},
    }


def _placed(rows: tuple[Row, ...]) -> list[Json]:
    """Return headings and panels with their place: left to right, wrapped at the grid's width."""
    made: list[Json] = []
    top = 0
    for row in rows:
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": str(row.title),
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            }
        )
        top += 1
        left, line = 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, line = top + line, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            made.append(_panel(panel, len(made) + 1, place))
            left, line = left + panel.width, max(line, panel.height)
        top += line
    return made


def _panel(panel: Panel, number: int, place: Json) -> Json:
    made: Json = {
        "id": number,
        "type": panel.kind,
        "title": str(panel.title),
        "description": f"{panel.about.zh}\n\n{panel.about.en}",
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, index) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }
    if panel.kind == "table":
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}}},
        ]
    return made


def _target(panel: Panel, query: Query, index: int) -> Json:
    formats = {"table": "table", "heatmap": "heatmap"}
    now = query.now or panel.kind in {"table", "bargauge"}
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": formats.get(panel.kind, "time_series"),
        "instant": now,
        "range": not now,
    }


def _field(panel: Panel) -> Json:
    steps = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.steps]
    field: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, "noData": "无 none"}
    if panel.share:
        field |= {"min": 0, "max": 1}
    if panel.names:
        options = {value: {"text": text, "color": color} for value, text, color in panel.names}
        field["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    if panel.link:
        field["links"] = [
            {
                "title": "详情 details",
                "url": f"/d/{panel.link}?${{region:queryparam}}&${{bank:queryparam}}&${{__url_time_range}}",
            }
        ]
    return field


def _options(panel: Panel) -> Json:
    latest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "stat":
        return {"reduceOptions": latest, "colorMode": "background" if panel.steps else "value", "graphMode": "area"}
    if panel.kind == "bargauge":
        return {"reduceOptions": latest, "orientation": "horizontal", "displayMode": "gradient"}
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "exponent": 0.5, "scale": "exponential"},
            "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "legend": {"show": True},
        }
    if panel.kind == "state-timeline":
        return {"mergeValues": True, "showValue": "auto", "rowHeight": 0.8}
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
