"""Prints studies side by side: their results, and the settings that differ."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rbt_ray.cli.streams import visible
from rbt_ray.cli.tables import cell, print_json
from rbt_ray.errors import SettingError

if TYPE_CHECKING:
    from rbt_ray.study.study import Study
    from rbt_ray.tuner.result_grid import ResultGrid

_NO_SETTINGS = ("name", "why", "phases", "points_to_evaluate", "space", "benchmark", "accounting")
_LONGEST = 40


def compare(paths: Sequence[str], *, as_json: bool) -> int:
    """Prints two or more studies side by side."""
    from rbt_ray.store.location import StudyLocation
    from rbt_ray.tuner.result_grid import ResultGrid

    if len(paths) < 2:
        raise SettingError("`compare` takes two studies or more; got one.")
    grids = [ResultGrid(StudyLocation(path).fetch()) for path in paths]
    results = [_results(grid) for grid in grids]
    settings = differences([grid.study for grid in grids])
    if as_json:
        named = [{"study": path, **found} for path, found in zip(paths, results, strict=True)]
        print_json({"studies": named, "settings_that_differ": settings})
        return 0
    _print([grid.study.name for grid in grids], results, settings)
    if len({(grid.study.metric, grid.study.mode) for grid in grids}) > 1:
        print("The studies optimize different metrics: their best trials cannot be compared by them.")
    elif "bundle" in {name.partition("/")[0] for name in settings}:
        print("The studies use different prices: a better metric need not mean a better config.")
    return 0


def differences(studies: Sequence[Study]) -> dict[str, list[Any]]:
    """Returns the settings that differ, by flat name, a value for each study; None where a study lacks it."""
    flat = [_flat(study) for study in studies]
    names = dict.fromkeys(name for one in flat for name in one)
    found = {name: [one.get(name) for one in flat] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _flat(study: Study) -> dict[str, Any]:
    plain = json.loads(json.dumps(study.to_json(), default=repr))
    space = plain["space"]
    found = {f"config/{one['name']}": _without_name(one) for one in (*space["parameters"], *space["constants"])}
    for name, value in plain.items():
        if name in _NO_SETTINGS or name == "space_fingerprint":
            continue
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": part for inner, part in value.items()}
        else:
            found[name] = value
    return found


def _without_name(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "name"}


def _results(grid: ResultGrid) -> dict[str, Any]:
    best = grid.table.ranking(1)
    result = grid[int(best[0])] if len(best) else None
    return {
        "trials": len(grid),
        "failed": grid.num_errors,
        "cost": grid.cost,
        "done": grid.is_done,
        "metric": grid.study.metric,
        "best": None if result is None else result.metrics[grid.study.metric],
        "config": None if result is None else dict(result.config),
        "metrics": None if result is None else dict(result.metrics),
        "verdict": grid.verdict().word if len(grid) else None,
    }


def _print(names: Sequence[str], results: Sequence[Mapping[str, Any]], settings: Mapping[str, list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows: dict[str, list[Any]] = {key: [one[key] for one in results] for key in ("trials", "failed", "cost", "done")}
    rows["verdict"] = [one["verdict"] for one in results]
    for part, prefix in (("metrics", "best "), ("config", "config/")):
        given = [one[part] or {} for one in results]
        inner = dict.fromkeys(name for one in given for name in one)
        rows |= {f"{prefix}{name}": [one.get(name) for one in given] for name in inner}
    table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("", *names):
        table.add_column(Text(visible(title)), overflow="fold")
    for name, values in rows.items():
        table.add_row(*(Text(visible(text)) for text in (name, *map(_text, values))))
    for name, values in settings.items():
        texts = (f"setting {name}", *(_text(value) for value in values))
        table.add_row(*(Text(visible(text), style="cyan") for text in texts))
    Console(file=sys.stdout, markup=False).print(table)
    if not settings:
        print("No setting differs.")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (Mapping, list)):
        value = json.dumps(value, default=repr)
    text = cell(value)
    return text if len(text) <= _LONGEST else f"({len(text)} characters; `--json` has them)"
