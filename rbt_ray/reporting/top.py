"""The best trials: their parameters, and their metrics in-sample, at order level and on the hold-out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rbt_ray.store.study_record import StudyRecord
from rbt_ray.types import Metrics

N_TOP = 10


@dataclass(frozen=True, slots=True)
class TopTrial:
    """One of the best trials.

    Args:
        trial: the trial's number.
        params: values by flat name, without parameters that a condition excludes.
        sweep: the metrics from the search.
        order_level: metrics of the same bars at order level, or None.
        holdout: metrics of the hold-out, or None.
        holdout_order_level: metrics of the hold-out at order level, or None.
        error: why the review failed, or None.
        note: a note on the review: the objective raised or stopped early on the hold-out.
        is_backtest: whether the metrics are those of a Backtest.
    """

    trial: int
    params: dict[str, Any]
    sweep: Metrics
    order_level: Metrics | None = None
    holdout: Metrics | None = None
    holdout_order_level: Metrics | None = None
    error: str | None = None
    note: str | None = None
    is_backtest: bool = False


def top_trials(record: StudyRecord) -> list[TopTrial]:
    """Returns the best trials, best first, with their reviews."""
    table = record.table
    rows = table.ranking(N_TOP)
    reviewed = {row["trial"]: row for row in record.review.rows} if record.review else {}
    is_backtest = record.review is not None and "equity" in record.review.curves
    columns = table.study.space.columns(table.points[rows])
    active = [
        [name for name, value in zip(columns, point, strict=True) if not math.isnan(value)]
        for point in table.points[rows]
    ]
    all_results = table.results()
    top = []
    for place, row in enumerate(rows.tolist()):
        trial = int(table.trials[row])
        found = reviewed.get(trial, {})
        top.append(
            TopTrial(
                trial=trial,
                params={name: columns[name][place] for name in active[place]},
                sweep=all_results[row].metrics,
                order_level=found.get("order_level"),
                holdout=found.get("holdout"),
                holdout_order_level=found.get("holdout_order_level"),
                error=found.get("error"),
                note=found.get("note"),
                is_backtest=is_backtest,
            )
        )
    return top
