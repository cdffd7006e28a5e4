"""The charts of a verdict: equity out of sample, and the logits of the cross-validation."""

from __future__ import annotations

import numpy as np

from rbt_ray.analysis.overfitting import LogitShares
from rbt_ray.analysis.recorded import benchmark_name, walk_forward_of
from rbt_ray.analysis.validation import ValidationResult, validation_result
from rbt_ray.analysis.verdict import Verdict
from rbt_ray.analysis.walk_forward import WalkForwardResult
from rbt_ray.block_sums import block_ends
from rbt_ray.reporting.charts import Chart
from rbt_ray.reporting.text import json_values, label
from rbt_ray.reporting.theme import BEST, INK, OTHER, WORSE, Figure, axis, clip_for_plot, downsample, layout
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.types import FloatArray

_HEIGHT = 260
_MOST_POINTS, _MOST_OF_PATH = 1_500, 200
_NOISE = "rgba(92, 103, 117, 0.22)"
_OF_PATH = "rgba(29, 90, 158, 0.35)"


def verdict_charts(record: StudyRecord, verdict: Verdict) -> list[Chart]:
    """Returns the charts that have data, in the order of the page."""
    charts = [_out_of_sample(record), None if verdict.logits is None else _logits(verdict.logits)]
    return [chart for chart in charts if chart is not None]


def bar_times(record: StudyRecord) -> FloatArray | None:
    """Returns the times of the training bars, and maybe of later ones, in milliseconds since 1970; None if unknown."""
    for recorded in (record.validated, record.review):
        found = None if recorded is None else recorded.curves.get("time_ms")
        if found is not None and record.study.bundle is not None and len(found) >= record.study.bundle.train_bars:
            return found
    return None


def beside_name(record: StudyRecord) -> str | None:
    """Returns the name of the benchmark; None if trials are compared with nothing."""
    benchmark = record.benchmark
    return None if benchmark is None or not benchmark.squares.any() else benchmark_name(record)


def _out_of_sample(record: StudyRecord) -> Chart | None:
    validation = record.study.validation
    if validation is not None and record.validated is not None:
        found = validation_result(record.validated, validation.name, record.study.metric)
        return _of_validation(found, beside_name(record)) if len(found.paths) else None
    walk = walk_forward_of(record)
    return None if walk is None else _of_blocks(walk, record)


def _of_validation(found: ValidationResult, beside: str | None) -> Chart:
    time = found.time.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # of huge returns
        paths = np.cumprod(1 + np.nan_to_num(found.paths), axis=1)
    single = len(paths) == 1
    traces = [
        _line(time, path, "the choice", BEST if single else _OF_PATH, 1.8 if single else 1.0, number == 0, single)
        for number, path in enumerate(paths)
    ]
    if beside is not None:
        traces.append(_line(time, found.benchmark_equity, beside, OTHER, 1.4, True, True))
    caption = "Each window's choice on bars that it was not chosen on, compounded."
    if not single:
        caption = f"The {len(paths)} paths of the cross-validation, compounded: each has every bar once, out of sample."
    return _chart(traces, axis(type="date", showgrid=False, nticks=5), "wealth, start = 1", caption)


def _of_blocks(walk: WalkForwardResult, record: StudyRecord) -> Chart:
    sums, benchmark = record.block_sums(), record.benchmark
    assert sums is not None
    assert benchmark is not None
    rows = np.searchsorted(sums.trials, [window.trial for window in walk.windows])
    chosen = [sums.sums[row, slice(*window.test)].sum() for row, window in zip(rows, walk.windows, strict=True)]
    held = [benchmark.sums[slice(*window.test)].sum() for window in walk.windows]
    ends = np.concatenate([[0], block_ends(int(benchmark.lengths.sum()))])
    at = ends[[walk.windows[0].test[0], *(window.test[1] for window in walk.windows)]]
    times, x = bar_times(record), at.astype(np.float64)
    across = axis("bar", showgrid=False, nticks=5)
    if times is not None:
        x, across = times[np.maximum(at - 1, 0)], axis(type="date", showgrid=False, nticks=5)
    beside = beside_name(record)
    traces = [_line(x, np.cumsum([0.0, *chosen]), "the choice", BEST, 1.8, True, True)]
    if beside is not None:
        traces.append(_line(x, np.cumsum([0.0, *held]), beside, OTHER, 1.4, True, True))
    for trace in traces:
        trace.update(mode="lines+markers", marker={"size": 5})
    caption = "Walk-forward by blocks: the best by Sharpe ratio of 8 blocks on the next one; returns are added."
    return _chart(traces, across, "sum of returns", caption, tickformat=".0%")


def _chart(traces: list[Figure], across: Figure, title: str, caption: str, **more: str) -> Chart:
    figure = layout(_HEIGHT, xaxis=across, yaxis=axis(title, **more), showlegend=True)
    figure["margin"] = {"l": 52, "r": 12, "t": 30, "b": 36}
    return Chart("out-of-sample", "Out of sample, stitched", {"": {"data": traces, "layout": figure}}, caption)


def _line(x: FloatArray, y: FloatArray, name: str, colour: str, width: float, legend: bool, hover: bool) -> Figure:
    y = clip_for_plot(y)
    rows = downsample(y, _MOST_POINTS if hover else _MOST_OF_PATH)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "showlegend": legend,
        "x": json_values(x[rows]),
        "y": json_values(y[rows]),
        "line": {"color": colour, "width": width},
        "hoverinfo": "x+y+name" if hover else "skip",
    }


def _logits(found: LogitShares) -> Chart:
    # The two open bins at the ends are drawn as wide as the others.
    edges = np.concatenate([[found.edges[1] - 0.5], found.edges[1:-1], [found.edges[-2] + 0.5]])
    centres = (edges[1:] + edges[:-1]) / 2
    steps, corners = np.repeat(edges, 2)[1:-1], [np.repeat(ends, 2) for ends in (found.low, found.high)]
    texts = [
        f"{_bin(low, high)}: {share:.1%} of the splits; without skill {least:.1%} to {most:.1%}"
        for low, high, share, least, most in zip(
            found.edges[:-1], found.edges[1:], found.shares, found.low, found.high, strict=True
        )
    ]
    bars = {
        "type": "bar",
        "name": "splits",
        "x": json_values(centres),
        "y": json_values(found.shares),
        "width": 0.46,
        "marker": {"color": [WORSE if centre < 0 else BEST for centre in centres]},
        "text": texts,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    line = {"type": "scatter", "mode": "lines", "x": json_values(steps), "hoverinfo": "skip"}
    noise = [
        {**line, "y": json_values(corners[0]), "line": {"width": 0}, "showlegend": False},
        {
            **line,
            "y": json_values(corners[1]),
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": _NOISE,
            "name": "90 % without skill",
        },
    ]
    figure = layout(
        _HEIGHT,
        xaxis=axis(
            "logit of the rank out of sample", range=[float(edges[0]) - 0.1, float(edges[-1]) + 0.1], showgrid=False
        ),
        yaxis=axis("share of splits", tickformat=".0%", rangemode="tozero", nticks=5),
        showlegend=True,
        shapes=[
            {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": INK, "width": 1}}
        ],
    )
    figure["margin"] = {"l": 52, "r": 12, "t": 30, "b": 42}
    caption = "The best on one half of history, ranked on the other: left of 0 it is below the median there."
    return Chart("logits", "Logits of the cross-validation", {"": {"data": [bars, *noise], "layout": figure}}, caption)


def _bin(low: float, high: float) -> str:
    if np.isinf(low):
        return f"below {high:g}"
    return f"above {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
