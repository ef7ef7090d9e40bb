"""Writes the dashboard down as Grafana reads it: `python -m monitoring.dashboard >FILE`.

FILE is `monitoring/grafana/translation_dashboard.json`; a test holds it against `monitoring.panels`.
"""

from __future__ import annotations

import json
from typing import Any

from monitoring.panels import ROWS, Panel, Row

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHT = {"stat": 4, "timeseries": 8, "heatmap": 8}
_COLUMNS = 24
_SCHEMA_VERSION = 39  # of Grafana 10 and 11; later ones migrate it
# Where all is zero, Grafana's own axis goes up to 100.
_LEAST_TOP = {"ops": 0.1, "reqps": 0.1, "cps": 1, "s": 0.01}


def dashboard() -> dict[str, Any]:
    """Return the document."""
    return {
        "uid": "nllb-translation",
        "title": "NLLB on Ray",
        "description": "The translation service: traffic, latency, cache, errors, engine, adapters, training.",
        "tags": ["nllb", "ray"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "",
        "templating": {"list": [_datasource_variable()]},
        "annotations": {"list": [_alerts_annotation()]},
        "links": [],
        "panels": _panels(),
    }


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}


def _alerts_annotation() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "target": {"refId": "Anno", "expr": 'ALERTS{alertname!="", alertstate="firing"}'},
        "titleFormat": "{{alertname}}",
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        panels.append(_row(row, y, len(panels) + 1))
        y += 1
        x, height = 0, 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT[panel.kind]}
            panels.append(_panel(panel, place, len(panels) + 1))
            x, height = x + panel.width, max(height, place["h"])
        y += height
    return panels


def _row(row: Row, y: int, number: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": row.title, "gridPos": place, "collapsed": False, "panels": []}


def _panel(panel: Panel, place: dict[str, int], number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.question,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": query.expr.replace("$range", "$__rate_interval"),
                "legendFormat": query.legend,
                "instant": False,
                "range": True,
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [
        {"color": color, "value": value} for color, value in zip(("yellow", "red"), panel.thresholds, strict=False)
    ]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "noValue": panel.empty,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.words:
        named = {str(value): {"text": word, "index": value} for value, word in enumerate(panel.words)}
        defaults |= {"max": len(named) - 1, "decimals": 0, "mappings": [{"type": "value", "options": named}]}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": 60_000,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
        if panel.unit in _LEAST_TOP:
            defaults["custom"]["axisSoftMax"] = _LEAST_TOP[panel.unit]
    return defaults


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"graphMode": "area", "colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "heatmap": {
        "calculate": False,
        "yAxis": {"unit": "s"},
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "steps": 64,
            "exponent": 0.5,
            "fill": "dark-orange",
            "reverse": False,
        },
    },
}


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
