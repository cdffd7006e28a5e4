"""A timeline of when each worker was busy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.reporting.text import duration, json_values, label, pluralize
from rbt_ray.reporting.theme import BEST, MUTED, ROW_BACKGROUND, Figure, axis, layout
from rbt_ray.store.table import TrialTable
from rbt_ray.types import BoolArray, FloatArray, IntArray

MOST_BARS = 2_000
_PAUSE_S = 60.0
_UNITS = ((7200.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True, eq=False)
class Busy:
    """The busy times of workers, without the pauses between a study's runs.

    Args:
        worker: ``(n_bars,)`` indices into the table's workers.
        start: ``(n_bars,)`` seconds since the first batch started.
        length: ``(n_bars,)`` seconds.
        share: ``(n_bars,)`` share of each bar's length with running batches.
        n_batches: ``(n_bars,)`` batches in each bar.
        pauses: ``(n_pauses,)`` seconds that were removed at each of `cuts`.
        cuts: ``(n_pauses,)`` seconds since the first batch started.
        span: seconds from the first batch to the last.
        busy_s: ``(n_workers,)`` busy seconds of each worker.
    """

    worker: IntArray
    start: FloatArray
    length: FloatArray
    share: FloatArray
    n_batches: IntArray
    pauses: FloatArray
    cuts: FloatArray
    span: float
    busy_s: FloatArray


def busy(table: TrialTable) -> Busy:
    """Computes the workers' busy times. The table has at least one batch."""
    batches = table.batches[np.argsort(table.batches[:, 1], kind="stable")]
    worker = batches[:, 0].astype(np.int64)
    start, wall = batches[:, 1] - batches[0, 1], batches[:, 2]
    start, pauses, cuts = _without_pauses(start, wall)
    order = np.lexsort((start, worker))
    worker, start, wall = worker[order], start[order], wall[order]
    first = _merged(worker, start, start + wall)
    bar = np.cumsum(first) - 1
    bar_start = start[first]
    length = np.maximum.reduceat(start + wall, np.flatnonzero(first)) - bar_start
    took = np.bincount(bar, wall)
    return Busy(
        worker=worker[first],
        start=bar_start,
        length=length,
        share=np.minimum(np.divide(took, length, out=np.ones_like(took), where=length > 0), 1.0),
        n_batches=np.bincount(bar),
        pauses=pauses,
        cuts=cuts,
        span=float((start + wall).max()),
        busy_s=np.bincount(worker, wall, minlength=len(table.workers)).astype(np.float64),
    )


def timeline(seen: Busy, workers: tuple[str, ...]) -> Figure:
    """Returns a figure with one row per worker, bars for its busy times, and its share of busy time."""
    unit, word = next((unit, word) for least, unit, word in _UNITS if seen.span >= least)
    names = [label(name) for name in workers]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [names[i] for i in seen.worker.tolist()],
        "base": json_values(seen.start / unit),
        "x": json_values(seen.length / unit),
        "text": [
            f"{pluralize(n, 'batch', 'batches')}, {duration(length)}" + ("" if n == 1 else f", {share:.0%} busy")
            for n, length, share in zip(seen.n_batches.tolist(), seen.length.tolist(), seen.share.tolist(), strict=True)
        ],
        "textposition": "none",
        "marker": {"color": BEST, "opacity": 0.85, "line": {"width": 0}},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    shares = seen.busy_s / seen.span if seen.span > 0 else np.ones_like(seen.busy_s)
    ends = [
        {
            "text": f"{share:.0%}",
            "xref": "paper",
            "x": 1.005,
            "xanchor": "left",
            "y": name,
            "showarrow": False,
            "font": {"color": MUTED},
        }
        for name, share in zip(names, shares.tolist(), strict=True)
    ]
    cuts = [
        {
            "type": "line",
            "x0": cut / unit,
            "x1": cut / unit,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": MUTED, "width": 1, "dash": "dot"},
        }
        for cut in seen.cuts.tolist()
    ]
    figure = layout(
        min(110 + 30 * len(names), 1200),
        xaxis=axis(f"{word} since the first batch", range=[0, seen.span / unit or 1]),
        yaxis=axis(type="category", categoryarray=names, autorange="reversed", showgrid=False, ticks=""),
        plot_bgcolor=ROW_BACKGROUND,
        bargap=0.3,
        annotations=ends,
        shapes=cuts,
    )
    figure["margin"].update(r=56)
    return {"data": [bars], "layout": figure}


def _without_pauses(start: FloatArray, wall: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Removes the long gaps in which no worker was busy, such as those between two runs of a study."""
    until = np.maximum.accumulate(start + wall)
    gap = start[1:] - until[:-1]
    long = gap > max(_PAUSE_S, float(wall.max()))
    closed = start - np.concatenate([[0.0], np.cumsum(np.where(long, gap, 0.0))])
    return closed, gap[long], closed[1:][long]


def _merged(worker: IntArray, start: FloatArray, end: FloatArray) -> BoolArray:
    """Returns which batches start a bar: all, or if there are too many, those after the widest gaps.

    Args:
        worker: ``(n_batches,)`` sorted.
        start: ``(n_batches,)`` sorted within each worker.
        end: ``(n_batches,)``.
    """
    begins = np.ones(len(worker), dtype=bool)
    if len(worker) <= MOST_BARS:
        return begins
    begins[1:] = worker[1:] != worker[:-1]
    gaps = np.where(begins[1:], -np.inf, start[1:] - end[:-1])
    n_more = max(MOST_BARS - int(begins.sum()), 0)
    begins[1 + np.argsort(-gaps, kind="stable")[:n_more]] = True
    return begins
