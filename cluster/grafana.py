"""Writes grafana.json, and the table of docs/monitoring.md, from the table of metrics: ``python cluster/grafana.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rbt_ray.monitoring import FAMILIES, MetricFamily

DASHBOARD = Path(__file__).with_name("grafana.json")
PAGE = Path(__file__).parents[1] / "docs" / "monitoring.md"
_UNITS = {"trials": "short", "workers": "short", "ratio": "percentunit", "seconds": "s", "metric": "short"}
"""Grafana's units."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 24
_QUANTILES = (0.5, 0.95)


def selector(name: str) -> str:
    """Returns a selector of a metric's series, with and without Ray's prefix, of the chosen studies."""
    return f'{{__name__=~"(ray_)?{name}",study=~"$study"}}'


def targets(family: MetricFamily) -> dict[str, list[tuple[str, str]]]:
    """Returns the panels of a family by title: each has queries with their legends."""
    legend = " ".join(f"{{{{{label}}}}}" for label in family.labels)
    labels = ", ".join(family.labels)
    title = (
        family.name.removeprefix("rbt_ray_")
        .removesuffix("_total")
        .removesuffix("_seconds")
        .replace("_", " ")
        .capitalize()
    )
    if family.kind == "histogram":
        buckets = f"sum by ({labels}, le) (rate({selector(family.name + '_bucket')}[$__rate_interval]))"
        return {title: [(f"histogram_quantile({q}, {buckets})", f"{legend} {q:.0%}") for q in _QUANTILES]}
    total = (f"max by ({labels}) ({selector(family.name)})", legend)
    if family.kind == "counter":
        rate = (f"sum by ({labels}) (rate({selector(family.name)}[$__rate_interval]))", legend)
        return {title: [total], f"{title} per second": [rate]}
    return {title: [(f"max by ({labels}) ({selector(family.name)})", legend)]}


def panel(number: int, title: str, family: MetricFamily, queries: list[tuple[str, str]]) -> dict[str, Any]:
    """Returns a time series panel."""
    left = number * _WIDTH % _COLUMNS
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "description": family.help,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": number * _WIDTH // _COLUMNS * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": _UNITS[family.unit]}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(queries)
        ],
    }


def dashboard() -> dict[str, Any]:
    """Returns the dashboard, with variables for the data source and the studies."""
    panels = [(title, family, queries) for family in FAMILIES for title, queries in targets(family).items()]
    studies = 'label_values({__name__=~"(ray_)?rbt_ray_workers"}, study)'
    return {
        "uid": "rbt-ray",
        "title": "rbt_ray studies",
        "tags": ["rbt_ray"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "study",
                    "label": "Study",
                    "type": "query",
                    "datasource": _SOURCE,
                    "definition": studies,
                    "query": {"query": studies, "refId": "studies"},
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                },
            ]
        },
        "panels": [panel(number, *one) for number, one in enumerate(panels)],
    }


def docs_table() -> str:
    """Returns the table of the metrics in Markdown."""
    rows = ["| metric | kind | labels | value |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(rows) + "\n"


def page_with(table: str, page: str) -> str:
    """Returns a page with its table of metrics replaced."""
    return re.sub(r"^\| metric \|.*\n(?:\|.*\n)+", lambda _: table, page, count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    DASHBOARD.write_text(json.dumps(dashboard(), indent=2) + "\n")
    PAGE.write_text(page_with(docs_table(), PAGE.read_text()))
