"""The charts of a study of several metrics: trials and their Pareto front, and the hypervolume by evaluations."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rbt_ray.pareto import by_evaluations
from rbt_ray.reporting.text import json_values, label
from rbt_ray.reporting.theme import BEST, OTHER, WORSE, Figure, axis, clip_for_plot, downsample, layout
from rbt_ray.store.table import TrialTable
from rbt_ray.study.goals import Goal
from rbt_ray.types import COMPLETED, FloatArray, IntArray

MOST_POINTS = 5_000


def front_figures(table: TrialTable) -> dict[str, Figure]:
    """Returns a figure for each pair of metrics, by their names: trials at full fidelity, and the Pareto front."""
    goals = table.study.goals
    return {f"{x.metric}, {y.metric}": _pair(table, x, y) for x, y in combinations(goals, 2)}


def hypervolume_figure(table: TrialTable) -> Figure:
    """Returns a figure of the hypervolume after each trial, as a share of the last one.

    It counts from the worst value of each metric among the feasible trials at full fidelity.
    """
    losses = clip_for_plot(np.where(table.is_eligible[:, None], table.losses, np.nan))
    volume = by_evaluations(losses, np.nanmax(losses, axis=0))
    share = volume / volume[-1] if volume[-1] > 0 else np.ones(len(volume))
    rows = downsample(share, MOST_POINTS)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "hypervolume",
        "x": json_values(table.trials[rows]),
        "y": json_values(share[rows]),
        "line": {"color": BEST, "width": 2, "shape": "hv"},
        "hovertemplate": "%{y:.1%} of the last<br>trial %{x}<extra></extra>",
    }
    return {
        "data": [line],
        "layout": layout(
            300, xaxis=axis("trial", rangemode="nonnegative"), yaxis=axis("hypervolume", tickformat=".0%")
        ),
    }


def _pair(table: TrialTable, x: Goal, y: Goal) -> Figure:
    values = clip_for_plot(np.column_stack([table.numbers(x.metric), table.numbers(y.metric)]))
    full = (table.outcomes.status == COMPLETED) & (table.fidelity == 1.0) & np.isfinite(values).all(axis=1)
    front = table.front
    on_front = np.zeros(len(table), dtype=bool)
    on_front[front] = True
    dominated = np.flatnonzero(full & table.is_feasible & ~on_front)
    infeasible = np.flatnonzero(full & ~table.is_feasible)
    traces = [_points("dominated", table, values, dominated, OTHER, 5)]
    if len(infeasible):
        traces.append(_points("infeasible", table, values, infeasible, WORSE, 5))
    traces.append(_points("Pareto front", table, values, front, BEST, 8))
    if len(table.study.goals) == 2:
        traces[-1] |= {"mode": "lines+markers", "line": {"color": BEST, "width": 1, "dash": "dot"}}
    better = {"max": "more is better", "min": "less is better"}
    titles = [f"{label(goal.metric)} ({better[goal.mode]})" for goal in (x, y)]
    figure = layout(420, xaxis=axis(titles[0]), yaxis=axis(titles[1]), showlegend=True)
    figure["margin"]["t"] = 44
    for trace in traces:
        trace["hovertemplate"] = (
            f"trial %{{text}}<br>{label(x.metric)} %{{x:.6g}}<br>{label(y.metric)} %{{y:.6g}}<extra></extra>"
        )
    return {"data": traces, "layout": figure}


def _points(name: str, table: TrialTable, values: FloatArray, rows: IntArray, colour: str, size: int) -> Figure:
    rows = rows[downsample(values[rows, 1], MOST_POINTS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": json_values(values[rows, 0]),
        "y": json_values(values[rows, 1]),
        "text": json_values(table.trials[rows]),
        "marker": {"size": size, "color": colour, "opacity": 0.6 if colour != BEST else 1.0},
    }
