"""The dashboard for Grafana, deploy/grafana/conexiones.json: dashboard_panels.py in its form."""

import json
from collections.abc import Iterator
from typing import Any

from dashboard_panels import DASHBOARD
from dashboard_queries import Panel

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SERVERS = 'job=~"$job", instance=~"$instance"'
"""The servers that the variables of the dashboard name."""

COLUMNS, HEIGHT = 24, 8


def dashboard() -> str:
    """The file."""
    document = {
        "title": "Conexiones gRPC",
        "uid": "conexiones",
        "tags": ["conexiones", "grpc"],
        "description": "What a Conexiones gRPC server does. See docs/observability.md.",
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                _variable("job", "label_values(conexiones_ready, job)"),
                _variable("instance", 'label_values(conexiones_ready{job=~"$job"}, instance)'),
            ]
        },
        "panels": list(_panels()),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in DASHBOARD.items():
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        top, left, height = top + 1, 0, HEIGHT
        for panel in panels:
            height = HEIGHT // 2 if panel.kind == "stat" else HEIGHT
            if left + panel.width > COLUMNS:
                left, top = 0, top + height
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": height})
            left += panel.width
        top += height


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": SOURCE,
                "expr": query.replace("OF", SERVERS),
                "legendFormat": legend or "__auto",
            }
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }
