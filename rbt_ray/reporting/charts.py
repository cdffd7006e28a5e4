"""Chooses the charts of a report and writes their captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.reporting.axes import Axis, axes_of, most_influential
from rbt_ray.reporting.equity import equity_and_drawdown
from rbt_ray.reporting.heat_map import MOST_PARAMETERS, heat_maps, profile, scale_of_pairs
from rbt_ray.reporting.history import MOST_POINTS, history
from rbt_ray.reporting.parallel import MOST_AXES, MOST_BEST, MOST_OTHERS, parallel
from rbt_ray.reporting.pareto import MOST_POINTS as MOST_FRONT_POINTS
from rbt_ray.reporting.pareto import front_figures, hypervolume_figure
from rbt_ray.reporting.text import duration, pluralize
from rbt_ray.reporting.theme import Figure, clip_for_plot
from rbt_ray.reporting.timeline import MOST_BARS, busy, timeline
from rbt_ray.store.journal import Reviewed
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.store.table import TrialTable
from rbt_ray.types import COMPLETED, FloatArray, IntArray

_COLOURS = {
    "good": "Darker is better.",
    "both": "Blue is on the good side of zero, orange on the bad side.",
    "bad": "All values are on the bad side of zero: darker is worse.",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart, or several from which the reader selects one.

    Args:
        key: its identifier in the page.
        title: the heading above it.
        figures: figures by the label in the selection; one figure if there is no selection.
        caption: what it shows and what it omits.
    """

    key: str
    title: str
    figures: dict[str, Figure]
    caption: str


def charts_of(record: StudyRecord) -> list[Chart]:
    """Returns the charts that have data, in the order of the page."""
    table = record.table
    rows, goodness = comparable(table)
    axes = axes_of(table, rows)
    charts = [
        _equity(record.review, table),
        _front(table),
        _hypervolume(table),
        _over_parameters(axes, goodness, table),
        _history(table),
        _parallel(axes, goodness, table),
        _timeline(table),
    ]
    return [chart for chart in charts if chart is not None]


def has_wealth(review: Reviewed) -> bool:
    """Returns whether a review has curves of wealth: a value per bar, and at least one bar."""
    lengths = {len(curve) for curve in review.curves.values()}
    return {"time_ms", "equity"} <= review.curves.keys() and len(lengths) == 1 and lengths != {0}


def comparable(table: TrialTable) -> tuple[IntArray, FloatArray]:
    """Returns the rows of feasible trials that completed at full fidelity with a finite metric, and their goodness.

    Goodness is the metric, negated for `mode="min"` so that higher is better, and clipped for charts.
    """
    goodness = -table.loss
    counts = (table.outcomes.status == COMPLETED) & (table.fidelity == 1.0) & np.isfinite(goodness) & table.is_feasible
    rows: IntArray = np.flatnonzero(counts)
    return rows, clip_for_plot(goodness[rows])


def _equity(review: Reviewed | None, table: TrialTable) -> Chart | None:
    bundle = table.study.bundle
    if review is None or bundle is None or not has_wealth(review):
        return None
    caption = "Wealth for a starting capital of 1, and the drawdown from its highest value so far."
    if bundle.train_bars < len(review.curves["time_ms"]):
        caption += " The search did not use the shaded hold-out."
    elif bundle.train_bars < bundle.n_bars:
        caption += " The hold-out is not shown, because the objective returned no Backtest for it."
    if "buy_and_hold" in review.curves:
        caption += " Buy-and-hold buys an equal share of every symbol when it is listed and keeps it, without costs."
    return Chart("equity", "Wealth and drawdown", {"": equity_and_drawdown(review.curves, bundle.train_bars)}, caption)


def _front(table: TrialTable) -> Chart | None:
    if not table.study.further_goals or not len(table.front):
        return None
    caption = "Each point is a trial at full fidelity. No trial is better than one of the front in a metric without being worse in another."
    if len(table) > MOST_FRONT_POINTS:
        caption += f" At most {MOST_FRONT_POINTS:,} trials of a kind are drawn."
    return Chart("front", "The Pareto front", front_figures(table), caption)


def _hypervolume(table: TrialTable) -> Chart | None:
    if not table.study.further_goals or not len(table.front):
        return None
    caption = (
        "How much of the space of metrics the trials so far dominate, as a share of what all do. It counts from the worst value "
        "of each metric."
    )
    return Chart("hypervolume", "The search for the front", {"": hypervolume_figure(table)}, caption)


def _over_parameters(axes: list[Axis], goodness: FloatArray, table: TrialTable) -> Chart | None:
    study = table.study
    if not axes:
        return None
    if len(axes) == 1:
        figure = profile(axes[0], goodness, study.metric, study.mode)
        return Chart("over-parameters", f"{study.metric} by parameter", {"": figure}, "The star is the best trial.")
    chosen = most_influential(axes, goodness, MOST_PARAMETERS)
    colours = scale_of_pairs(chosen, goodness)
    caption = f"{_COLOURS[colours.sign]} Grey cells have no trial; the star is the best trial."
    caption += (
        " The outline is its plateau: the cells connected with it that are at least halfway up from the median cell."
    )
    if len(axes) > 2:
        caption = f"Each cell shows the best trial over all the other parameters. {caption}"
    if len(chosen) < len(axes):
        caption += f" These are the {len(chosen)} of {len(axes)} parameters that influence the metric most."
    if colours.n_beyond:
        caption += " Extreme outliers on the bad side have the colour of the end of the scale."
    figures = heat_maps(chosen, goodness, colours, study.metric, study.mode)
    return Chart("over-parameters", f"{study.metric} over pairs of parameters", figures, caption)


def _history(table: TrialTable) -> Chart | None:
    if not len(table):
        return None
    caption = "Each point is a trial; the line is the best so far at full fidelity."
    if table.study.constraints:
        caption += " It leaves out infeasible trials."
    if len(table) > MOST_POINTS:
        caption += (
            f" At most {MOST_POINTS:,} of {len(table):,} trials are drawn: the lowest and the highest of each interval."
        )
    if (table.outcomes.status != COMPLETED).any():
        caption += " Ticks at the bottom are trials that did not complete."
    return Chart("history", "The search", {"": history(table)}, caption)


def _parallel(axes: list[Axis], goodness: FloatArray, table: TrialTable) -> Chart | None:
    if len(axes) < 2:
        return None
    chosen = most_influential(axes, goodness, MOST_AXES)
    caption = "Each line is a trial; darker is better. Drag along an axis to show only the lines in that range."
    if len(goodness) > MOST_BEST + MOST_OTHERS:
        caption += f" Of {len(goodness):,} trials, the best {MOST_BEST} and {MOST_OTHERS} others, evenly spaced by rank, are drawn."
    if len(chosen) < len(axes):
        caption += f" These are the {len(chosen)} of {len(axes)} parameters that influence the metric most."
    figure = parallel(chosen, goodness, table.study.metric, table.study.mode)
    return Chart("parallel", "Trials as lines", {"": figure}, caption)


def _timeline(table: TrialTable) -> Chart | None:
    if not len(table.batches):
        return None
    seen = busy(table)
    possible = seen.span * len(table.workers)
    share = float(seen.busy_s.sum()) / possible if possible > 0 else 1.0
    workers = pluralize(len(table.workers), "worker")
    caption = f"{workers} evaluated batches for {share:.1%} of {duration(seen.span)}."
    if len(seen.pauses):
        gone = duration(float(seen.pauses.sum()))
        caption += f" Dotted lines mark {pluralize(len(seen.pauses), 'omitted pause')} of all workers, {gone} in total."
    if len(table.batches) > MOST_BARS:
        caption += f" Of {len(table.batches):,} batches, those with the smallest gaps between them are merged."
    return Chart("workers", "How busy the workers were", {"": timeline(seen, table.workers)}, caption)
