"""The page on monitoring and Grafana's dashboard are made from the table of metrics."""

import json
import re
import runpy
from pathlib import Path

import ray

from rbt_ray.monitoring import FAMILIES

ROOT = Path(__file__).parents[1]
MADE = runpy.run_path(str(ROOT / "cluster" / "grafana.py"))
DASHBOARD = json.loads((ROOT / "cluster" / "grafana.json").read_text())
NAMES = {name for family in FAMILIES for name in family.sample_labels}
RAYS = Path(ray.__file__).parent / "dashboard/modules/metrics/dashboards/default_grafana_dashboard_base.json"


def queries():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def named(text):
    return set(re.findall(r"rbt_ray_\w+", text))


def test_both_files_are_what_the_table_gives():
    assert MADE["dashboard"]() == DASHBOARD, "run `python cluster/grafana.py`"
    page = (ROOT / "docs" / "monitoring.md").read_text()
    assert MADE["docs_table"]() in page, "run `python cluster/grafana.py`"


def test_each_query_names_metrics_of_the_table_and_each_family_has_a_panel():
    assert all(named(query) and named(query) <= NAMES for query in queries())
    shown = set.union(*map(named, queries()))
    assert all(shown & family.sample_labels.keys() for family in FAMILIES)
    page = (ROOT / "docs" / "monitoring.md").read_text()
    assert named(page) <= NAMES | {family.name for family in FAMILIES}


def test_queries_find_the_series_of_ray_and_of_one_machine():
    for query in queries():
        [pattern] = re.findall(r'__name__=~"([^"]+)"', query)
        [name] = named(pattern)
        assert re.fullmatch(pattern, name)
        assert re.fullmatch(pattern, f"ray_{name}")
        family = next(family for family in FAMILIES if name in family.sample_labels)
        grouped = re.search(r"by \(([^)]*)\)", query)[1].split(", ")
        assert grouped == list(family.sample_labels[name])
        assert query.count("(") == query.count(")")


def test_the_dashboard_has_the_parts_that_rays_own_has():
    rays = json.loads(RAYS.read_text())
    # Of an export by hand, or deprecated by Grafana.
    assert set(rays) - set(DASHBOARD) <= {
        "gnetId",
        "graphTooltip",
        "iteration",
        "links",
        "rayMeta",
        "style",
        "timepicker",
        "version",
    }
    source, study = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert study["type"] == "query"
    used = [panel["datasource"] for panel in DASHBOARD["panels"]] + [study["datasource"]]
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in used)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(x + width <= 24 for x, _, width, _ in places)
