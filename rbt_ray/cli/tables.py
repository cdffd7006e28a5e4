"""Prints results: ranked tables, or one JSON object."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbt_ray.cli.streams import visible
from rbt_ray.study.regions import sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rbt_ray.analysis.rungs import Rung
    from rbt_ray.tuner.result_grid import ResultGrid

_TOP, _MOST_OF_FRONT, _OTHERS = 10, 50, 3


def print_results(results: ResultGrid, *, as_json: bool, report: Path | None) -> None:
    """Prints the best trials with their search, order-level and hold-out metrics, the verdict, and the report's path."""
    if as_json:
        print_json(summary(results, report))
        return
    from rich.console import Console

    console = Console(file=sys.stdout, markup=False)  # names may contain brackets
    rows = _top_rows(results)
    if rows:
        table, left_out = _table_for_width(console, results, rows)
        console.print(table)
        notes = [f"not shown, as the terminal is narrow: {', '.join(left_out)}"] if left_out else []
        if not results.study.further_goals:
            notes.append(sentence(results.study.space, results.table.points[results.table.ranking(_TOP)]))
        for note in filter(None, notes):
            console.print(textwrap.fill(visible(note), console.width), highlight=False, soft_wrap=True)
        for row in rows:
            if row["note"]:
                console.print(visible(f"trial {row['trial']}: {row['note']}"), highlight=False, soft_wrap=True)
    if len(results):
        said = textwrap.fill(visible(str(results.verdict())), console.width, break_on_hyphens=False)
        console.print(said, highlight=False, soft_wrap=True)
    counts = ", ".join(f"{n:,} {name}" for name, n in results.status_counts().items() if n) or "no trials"
    wall = sum(run.wall_s for run in results.runs)
    pace = f" in {wall:.1f} s ({len(results) / wall:,.0f} trials/s)" if wall else ""
    console.print(visible(f"{results.study.name}: {counts}{pace}"), highlight=False)
    if (note := results.failure_note) and rows:  # without rows, the exit status comes with it
        console.print(visible(note), highlight=False, soft_wrap=True)
    if len(results.rungs) > 1:
        console.print(_fidelity_summary(results), highlight=False, soft_wrap=True)
    if results.table.outcomes.shares:
        console.print(visible(results.stopped_notes[-1]), highlight=False, soft_wrap=True)
    for note in results.constraint_notes:
        console.print(visible(note), highlight=False, soft_wrap=True)
    if not results.is_done:
        console.print(
            visible(f"not finished; continue with: rbt-ray resume {results.path}"), highlight=False, soft_wrap=True
        )
    console.print(visible(f"study   {results.path}"), highlight=False, soft_wrap=True)
    if report is not None:
        console.print(visible(f"report  {report}"), highlight=False, soft_wrap=True)


def summary(results: ResultGrid, report: Path | None) -> dict[str, Any]:
    """Returns the study's results as one JSON object."""
    wall = sum(run.wall_s for run in results.runs)
    top = _top_rows(results)
    several = bool(results.study.further_goals)
    return {
        "best": {"config": top[0]["config"], "metrics": top[0]["sweep"]} if top and not several else None,
        **({"n_front": len(results.table.front)} if several else {}),
        "table_hash": results.table_hash(),
        "n_trials": len(results),
        "n_failed": results.num_errors,
        "cost": results.cost,
        **({"n_infeasible": results.feasibility.n_infeasible} if results.study.constraints else {}),
        "rungs": [asdict(rung) for rung in results.rungs],
        "notes": results.notes,
        "wall_s": wall,
        "trials_per_s": len(results) / wall if wall else None,
        "backend": results.runs[-1].backend if results.runs else None,
        "report": None if report is None else str(report),
        "study": str(results.path),
        "done": results.is_done,
        "top": top,
        "verdict": results.verdict().to_dict(),
    }


def print_json(value: Any) -> None:
    """Prints one JSON object. NaN and infinity become null, since JSON lacks them."""
    print(json.dumps(_finite(value), indent=2, default=str))


def _top_rows(results: ResultGrid) -> list[dict[str, Any]]:
    reviewed = {row["trial"]: row for row in results.review.rows} if results.review else {}
    rows = []
    table = results.table
    for row in table.front[:_MOST_OF_FRONT] if results.study.further_goals else table.ranking(_TOP):
        result = results[int(row)]
        found = reviewed.get(result.trial_id, {})
        rows.append(
            {
                "trial": result.trial_id,
                "config": dict(result.config),
                "sweep": result.metrics,
                **{key: found.get(key) for key in ("order_level", "holdout", "holdout_order_level", "error", "note")},
            }
        )
    return rows


def _table_for_width(console: Console, results: ResultGrid, rows: list[dict[str, Any]]) -> tuple[Table, list[str]]:
    """Returns the ranking with as many additional metrics as fit into the console's width, and those that do not."""
    unlimited = console.options.update(max_width=10_000)
    others = _others(results, rows)
    for n in range(len(others), 0, -1):
        table = _ranking(results, rows, others[:n])
        if console.measure(table, options=unlimited).maximum <= console.width:
            return table, others[n:]
    return _ranking(results, rows, []), others


def _others(results: ResultGrid, rows: list[dict[str, Any]]) -> list[str]:
    """Returns the metrics to show beside those that the study optimizes."""
    optimized = {goal.metric for goal in results.study.goals}
    return [name for name in rows[0]["sweep"] if name not in optimized][:_OTHERS]


def _ranking(results: ResultGrid, rows: list[dict[str, Any]], others: list[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    study = results.study
    flat = [_flat(row["config"]) for row in rows]
    params = [name for name in dict.fromkeys(name for config in flat for name in config) if name in study.space.names]
    optimized = [goal.metric for goal in study.goals]
    reviewed = [key for key in ("order_level", "holdout") if any(row[key] for row in rows)]
    table = Table(
        title=Text(visible(_title(results))), title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    titles = {"order_level": "order level", "holdout": "hold-out"}
    columns = [("#", "dim"), *((name, "") for name in params), *((name, "bold") for name in optimized)]
    columns += [(name.replace("_", "\n"), "") for name in others]
    columns += [(f"{name}\n{titles[key]}", "cyan") for key in reviewed for name in optimized]
    for title, style in columns:
        # Fold cells that do not fit: a truncated number would be a wrong number.
        table.add_column(Text(visible(title)), justify="right", style=style, overflow="fold")
    for place, (row, config) in enumerate(zip(rows, flat, strict=True), 1):
        cells = [str(place), *(cell(config.get(name)) for name in params)]
        cells += [cell(row["sweep"].get(name)) for name in (*optimized, *others)]
        cells += [cell((row[key] or {}).get(name)) for key in reviewed for name in optimized]
        table.add_row(*(Text(visible(cell)) for cell in cells))
    return table


def _fidelity_summary(results: ResultGrid) -> str:
    rungs = ", ".join(f"{rung.n_trials:,} at {rung.fidelity:.3g}{_correlation(rung)}" for rung in results.rungs)
    return f"cost {results.cost:.1f} evaluations at full fidelity: {rungs}"


def _correlation(rung: Rung) -> str:
    return "" if rung.fidelity == 1 or math.isnan(rung.correlation) else f" (rank correlation {rung.correlation:.2f})"


def _title(results: ResultGrid) -> str:
    bundle, best = results.study.bundle, _what_is_best(results)
    if bundle is None:
        return best
    held = bundle.n_bars - bundle.train_bars
    bars = f"{bundle.train_bars:,} bars" + (f", hold-out of {held:,}" if held else "")
    return f"{best} on {bundle.name or 'the bundle'} ({bars})"


def _what_is_best(results: ResultGrid) -> str:
    study = results.study
    if not study.further_goals:
        return f"Best by {study.metric}"
    n = len(results.table.front)
    shown = (
        f"the first {_MOST_OF_FRONT} of {n:,} trials"
        if n > _MOST_OF_FRONT
        else f"{n:,} {'trial' if n == 1 else 'trials'}"
    )
    return f"Pareto front of {', '.join(map(str, study.goals))}: {shown}"


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}/"))
        else:
            flat[prefix + name] = value
    return flat


def cell(value: Any) -> str:
    """Returns a value as the cell of a table: a float with four digits or in whole units, "-" for None."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:#.4g}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
