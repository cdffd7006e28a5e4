"""The report's charts: which there are for a study, with what has to be said about each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rbt_ray.reporting.axes import Axis, axes_of, most_telling
from rbt_ray.reporting.equity import equity_and_drawdown
from rbt_ray.reporting.heat_map import MOST_PARAMETERS, heat_maps, profile, scale_of_pairs
from rbt_ray.reporting.history import MOST_POINTS, history
from rbt_ray.reporting.parallel import MOST_AXES, MOST_BEST, MOST_OTHERS, parallel
from rbt_ray.reporting.text import counted, duration
from rbt_ray.reporting.theme import Figure, drawable
from rbt_ray.reporting.timeline import MOST_BARS, busy, timeline
from rbt_ray.store.journal import Reviewed
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.store.table import TrialTable
from rbt_ray.types import COMPLETED, FloatArray, IntArray

_COLOURS = {
    "good": "The darker, the better.",
    "both": "Blue is on the good side of zero, orange on the bad one.",
    "bad": "All are on the bad side of zero: the darker, the worse.",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart, or several of which the reader picks one.

    Args:
        key: names it in the page.
        title: the heading above it.
        figures: by what the reader picks from; one where there is nothing to pick.
        caption: what it shows, and what it leaves out.
    """

    key: str
    title: str
    figures: dict[str, Figure]
    caption: str


def charts_of(record: StudyRecord) -> list[Chart]:
    """The charts there is something to draw in, in the order of the page."""
    table = record.table
    rows, goodness = comparable(table)
    axes = axes_of(table, rows)
    charts = [
        _equity(record.review, table),
        _over_parameters(axes, goodness, table),
        _history(table),
        _parallel(axes, goodness, table),
        _timeline(table),
    ]
    return [chart for chart in charts if chart is not None]


def comparable(table: TrialTable) -> tuple[IntArray, FloatArray]:
    """Rows whose metrics may be compared, and their goodness: completed at full fidelity, with a finite metric.

    Goodness is the metric, signed so that more is better, as charts can draw it.
    """
    goodness = -table.loss
    counts = (table.outcomes.status == COMPLETED) & (table.fidelity == 1.0) & np.isfinite(goodness)
    rows: IntArray = np.flatnonzero(counts)
    return rows, drawable(goodness[rows])


def _equity(review: Reviewed | None, table: TrialTable) -> Chart | None:
    bundle = table.study.bundle
    if review is None or bundle is None or not {"time_ms", "equity"} <= review.curves.keys():
        return None
    if len({len(curve) for curve in review.curves.values()} | {0}) != 2:  # a value a bar each, and there are bars
        return None
    caption = "Wealth from a starting capital of 1, and below it the fall from the highest wealth so far."
    if bundle.train_bars < len(review.curves["time_ms"]):
        caption += " The shaded bars are the hold-out: the search did not see them."
    elif bundle.train_bars < bundle.n_bars:
        caption += " The hold-out is not shown, since the objective gave no Backtest over it."
    if "buy_and_hold" in review.curves:
        caption += (
            " Buy-and-hold puts an equal share into every symbol when it is listed, and keeps it; it pays no costs."
        )
    return Chart("equity", "Wealth and drawdown", {"": equity_and_drawdown(review.curves, bundle.train_bars)}, caption)


def _over_parameters(axes: list[Axis], goodness: FloatArray, table: TrialTable) -> Chart | None:
    study = table.study
    if not axes:
        return None
    if len(axes) == 1:
        figure = profile(axes[0], goodness, study.metric, study.mode)
        return Chart("over-parameters", f"{study.metric} by parameter", {"": figure}, "The star is the best trial.")
    chosen = most_telling(axes, goodness, MOST_PARAMETERS)
    colours = scale_of_pairs(chosen, goodness)
    caption = f"{_COLOURS[colours.sign]} Grey cells have no trial; the star is the best trial."
    if len(axes) > 2:
        caption = f"Each cell shows the best trial over all the other parameters. {caption}"
    if len(chosen) < len(axes):
        caption += f" Of {len(axes)} parameters these are the {len(chosen)} that tell trials apart most."
    if colours.n_beyond:
        caption += " Far outliers on the bad side share the colour of the scale's end."
    figures = heat_maps(chosen, goodness, colours, study.metric, study.mode)
    return Chart("over-parameters", f"{study.metric} over pairs of parameters", figures, caption)


def _history(table: TrialTable) -> Chart | None:
    if not len(table):
        return None
    caption = "Each point is a trial; the line is the best so far at full fidelity."
    if len(table) > MOST_POINTS:
        caption += (
            f" Of {len(table):,} trials at most {MOST_POINTS:,} are drawn, in every stretch its lowest and its highest."
        )
    if (table.outcomes.status != COMPLETED).any():
        caption += " The ticks at the bottom are trials that did not complete."
    return Chart("history", "The search", {"": history(table)}, caption)


def _parallel(axes: list[Axis], goodness: FloatArray, table: TrialTable) -> Chart | None:
    if len(axes) < 2:
        return None
    chosen = most_telling(axes, goodness, MOST_AXES)
    caption = "A line a trial, the darker the better. Drag along an axis to keep only the lines that pass there."
    if len(goodness) > MOST_BEST + MOST_OTHERS:
        caption += f" Of {len(goodness):,} trials the best {MOST_BEST} are drawn, and {MOST_OTHERS} others evenly spaced by rank."
    if len(chosen) < len(axes):
        caption += f" Of {len(axes)} parameters these are the {len(chosen)} that tell trials apart most."
    figure = parallel(chosen, goodness, table.study.metric, table.study.mode)
    return Chart("parallel", "Trials as lines", {"": figure}, caption)


def _timeline(table: TrialTable) -> Chart | None:
    if not len(table.batches):
        return None
    seen = busy(table)
    possible = seen.span * len(table.workers)
    share = float(seen.busy_s.sum()) / possible if possible > 0 else 1.0
    workers = counted(len(table.workers), "worker")
    caption = f"Overall {workers} had a batch in hand for {share:.1%} of {duration(seen.span)}."
    if len(seen.pauses):
        gone = duration(float(seen.pauses.sum()))
        caption += (
            f" {counted(len(seen.pauses), 'pause')} of all workers, {gone} together, left out at the dotted lines."
        )
    if len(table.batches) > MOST_BARS:
        caption += f" Of {len(table.batches):,} batches those with the smallest gaps between them are drawn as one."
    return Chart("workers", "How busy the workers were", {"": timeline(seen, table.workers)}, caption)
