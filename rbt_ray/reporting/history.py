"""The progress of the search: the metric of each trial, the best so far, and failed trials."""

from __future__ import annotations

import numpy as np

from rbt_ray.reporting.text import json_values, label, pluralize
from rbt_ray.reporting.theme import BEST, INK, OTHER, WORSE, Figure, axis, clip_for_plot, downsample, frame, layout
from rbt_ray.store.table import TrialTable
from rbt_ray.types import COMPLETED, BoolArray, FloatArray, IntArray

MOST_POINTS = 5_000
MOST_TICKS = 1_000


def history(table: TrialTable) -> Figure:
    """Returns a figure of the metric by trial number, with the running best at full fidelity and ticks for failures."""
    metric = label(table.study.metric)
    values = table.numbers(table.study.metric)
    sign = 1.0 if table.study.mode == "max" else -1.0
    completed = (table.outcomes.status == COMPLETED) & np.isfinite(values)
    values = clip_for_plot(values)
    infeasible = completed & ~table.is_feasible
    full = completed & ~infeasible & (table.fidelity == 1.0)
    traces = []
    if (lower := completed & ~infeasible & ~full).any():
        traces.append(_points("lower fidelity", table, values, lower, "#d3d8de"))
    if infeasible.any():
        traces.append(_points("infeasible", table, values, infeasible, WORSE))
    traces.append(_points(metric, table, values, full, OTHER))
    steps, height = running_best(sign * values, full)
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": json_values(table.trials[steps]),
            "y": json_values(sign * height),
            "line": {"color": BEST, "width": 2, "shape": "hv"},
            "hovertemplate": f"best {metric} so far %{{y:.6g}}<br>trial %{{x}}<extra></extra>",
        }
    )
    failed = np.flatnonzero(table.outcomes.status != COMPLETED)
    if len(failed):
        traces.append(_failures(table.trials[failed]))
    low, high, n_beyond = frame(sign * values[completed])
    margin = (high - low) * 0.08 or 0.5
    bounds = sorted([sign * (low - 2 * margin), sign * (high + margin)])
    vertical = axis(metric, range=bounds)
    aside = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    figure = layout(400, xaxis=axis("trial", rangemode="nonnegative"), yaxis=vertical, yaxis2=aside, showlegend=True)
    figure["margin"]["t"] = 44
    if n_beyond:
        verb = "lies" if n_beyond == 1 else "lie"
        figure["annotations"] = [_note(f"{pluralize(n_beyond, 'trial')} {verb} outside this range")]
    return {"data": traces, "layout": figure}


def running_best(goodness: FloatArray, counts: BoolArray) -> tuple[IntArray, FloatArray]:
    """Returns the rows in which the best so far rose, and the last row, with the best so far in each.

    Args:
        goodness: ``(n,)`` higher is better.
        counts: ``(n,)`` which rows count; their goodness is finite.
    """
    if not counts.any():
        return np.empty(0, np.int64), np.empty(0)
    best = np.maximum.accumulate(np.where(counts, goodness, -np.inf))
    rose = np.flatnonzero(np.append(best[0] > -np.inf, best[1:] > best[:-1]))
    steps = np.unique(np.append(rose, len(best) - 1))
    return steps, best[steps]


def _points(name: str, table: TrialTable, values: FloatArray, which: BoolArray, colour: str) -> Figure:
    rows = np.flatnonzero(which)
    rows = rows[downsample(values[rows], MOST_POINTS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": json_values(table.trials[rows]),
        "y": json_values(values[rows]),
        "marker": {"size": 4 if len(rows) > 500 else 6, "color": colour, "opacity": 0.6},
        "hovertemplate": f"trial %{{x}}<br>{label(table.study.metric)} %{{y:.6g}}<extra></extra>",
    }


def _failures(trials: IntArray) -> Figure:
    """Returns one tick per failure; if there are many, one per group of adjacent trials."""
    width = max((int(trials[-1]) - int(trials[0])) // MOST_TICKS + 1, 1)
    _, first, n = np.unique(trials // width, return_index=True, return_counts=True)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "did not complete",
        "x": json_values(trials[first]),
        "y": [0.03] * len(first),
        "yaxis": "y2",
        "text": [f"trial {t}" if k == 1 else f"{k} from trial {t}" for t, k in zip(trials[first], n, strict=True)],
        "marker": {"symbol": "line-ns-open", "size": 9, "color": WORSE, "line": {"width": 1.2, "color": WORSE}},
        "hovertemplate": "did not complete: %{text}<extra></extra>",
    }


def _note(text: str) -> Figure:
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 1,
        "y": 1.02,
        "xanchor": "right",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"color": INK, "size": 12},
    }
