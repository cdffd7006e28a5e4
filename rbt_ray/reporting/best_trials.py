"""The best trials as HTML: the winner's parameters and metrics, and a ranked table of all of them.

Metrics are in-sample, at order level and on the hold-out. In the table, `data-value` of each cell has the value at full
precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.reporting.text import align_decimals, escape, exact_json, format_value, scrolling
from rbt_ray.simulate.metrics import METRICS
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import Study
from rbt_ray.types import IntArray, Metrics, Mode

N_TOP, N_FRONT = 10, 30
_SHARES = frozenset(metric.name for metric in METRICS if metric.unit == "share")
_MOST_OTHERS = 8
MOST_METRICS = 6
_REVIEWS = (("order_level", "order level"), ("holdout", "hold-out"), ("holdout_order_level", "hold-out, order level"))
_IN_SAMPLE = {"holdout": "sweep", "holdout_order_level": "order_level"}


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
    """Returns the best trials, best first, with their reviews; of several metrics, those of the front, evenly spaced."""
    table = record.table
    rows = _some_of_front(table) if table.study.further_goals else table.ranking(N_TOP)
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


def _some_of_front(table: TrialTable) -> IntArray:
    front = table.front
    if len(front) <= N_FRONT:
        return front
    evenly: IntArray = np.linspace(0, len(front) - 1, N_FRONT).astype(np.int64)
    return front[evenly]


def params(best: TopTrial) -> str:
    """Returns a list of the winner's parameters."""
    items = "".join(
        f"<li><span>{escape(name)}</span> <b>{escape(format_option(value))}</b></li>"
        for name, value in best.params.items()
    )
    return f'<ul class="config" aria-label="The winner\'s parameters">{items}</ul>' if items else ""


def format_option(value: Any) -> str:
    """Formats a parameter's value, with None as a value."""
    return "None" if value is None else format_value(value)


def cards(top: Sequence[TopTrial], study: Study) -> str:
    """Returns cards with the best trial's metrics: in the sweep, at order level, on the hold-out."""
    best, percent = top[0], percent_metrics(top)
    parts = [_card("In-sample, sweep", "The metrics that the search used.", best.sweep, study.metric, percent, "")]
    for title, note, metrics, kind in (
        ("In-sample, order level", "Drifting holdings, exact cash.", best.order_level, ""),
        ("Hold-out, sweep", "Bars that the search did not use.", best.holdout, "holdout"),
        ("Hold-out, order level", "Drifting holdings, exact cash.", best.holdout_order_level, "holdout"),
    ):
        if metrics is not None:
            parts.append(_card(title, note, metrics, study.metric, percent, kind))
    return f'<div class="cards">{"".join(parts)}</div>'


def percent_metrics(top: Sequence[TopTrial]) -> frozenset[str]:
    """Returns the metrics to show as percentages: only for Backtests, since other functions may use other units."""
    return _SHARES if top[0].is_backtest else frozenset()


def format_metric(name: str, value: Any, percent: frozenset[str]) -> str:
    """Formats one metric."""
    if name in percent and isinstance(value, float) and math.isfinite(value):
        return f"{value:.1%}"
    return format_value(value)


def is_worse(value: Any, than: Any, mode: Mode) -> bool:
    """Returns whether a value of a metric is worse than another. NaN is worse; a missing value is not."""
    if not isinstance(value, (int, float)) or not isinstance(than, (int, float)):
        return False
    return math.isnan(value) or (value < than if mode == "max" else value > than)


def holdout_note(top: Sequence[TopTrial], study: Study) -> str:
    """Returns a note on the hold-out results of the best trials; empty if the winner has none."""
    pairs = [(t.sweep.get(study.metric), t.holdout.get(study.metric)) for t in top if t.holdout is not None]
    if top[0].holdout is None:
        return ""
    worse = [is_worse(unseen, seen, study.mode) for seen, unseen in pairs]
    if not any(worse):
        return '<p class="note">On the hold-out, none of them is worse than in-sample.</p>'
    seen, unseen = (format_metric(study.metric, value, percent_metrics(top)) for value in pairs[0])
    text = f"The winner's {study.metric} goes from {seen} in-sample to {unseen} on the hold-out"
    if len(pairs) > 1:
        of = f"all of the best {len(pairs)}" if all(worse) else f"{sum(worse)} of the best {len(pairs)}"
        text += f"; {of} are worse there" if sum(worse) > 1 else f"; {of} is worse there"
    luck = "Part of an in-sample result is luck, because the best of many trials is selected."
    return f'<p class="note warn">{escape(text)}. {luck}</p>'


def review_notes(top: Sequence[TopTrial]) -> str:
    """Returns a note for each trial whose objective raised or stopped early on the hold-out."""
    notes = [f'<p class="note warn">Trial {trial.trial}: {escape(trial.note)}</p>' for trial in top if trial.note]
    return "".join(notes)


def review_errors(top: Sequence[TopTrial]) -> str:
    """Returns the errors of failed reviews; empty if all succeeded."""
    failed = [trial for trial in top if trial.error]
    if not failed:
        return ""
    items = "".join(
        f"<details><summary>Trial {trial.trial}</summary><pre>{escape(trial.error)}</pre></details>" for trial in failed
    )
    return f"<p>The review failed for {len(failed)} of these trials:</p>{items}"


def _card(title: str, note: str, metrics: Metrics, metric: str, percent: frozenset[str], kind: str) -> str:
    value = metrics.get(metric)
    others = [(name, v) for name, v in metrics.items() if name != metric and isinstance(v, (int, float))]
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(format_metric(name, v, percent))}</dd></div>"
        for name, v in others[:_MOST_OTHERS]
    )
    figure = f'<b data-value="{escape(exact_json(value))}">{escape(format_metric(metric, value, percent))}</b> {escape(metric)}'
    return (
        f'<section class="card {kind}"><h3>{title}</h3><p class="figure">{figure}</p>'
        f'<p class="small">{note}</p><dl>{rows}</dl></section>'
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the table.

    Args:
        source: the origin of its values: "config", "sweep", or a field of a review.
        name: the parameter's or metric's name.
        note: additional text in the header.
        values: one per row.
    """

    source: str
    name: str
    note: str
    values: list[Any]


def ranking(top: Sequence[TopTrial], study: Study) -> str:
    """Returns the best trials as a table: parameters, the sweep's metrics, and the study's metric in each review."""
    columns = _columns(top, study)
    texts = [_texts(column, top) for column in columns]
    heads = "".join(_head(column, study) for column in columns)
    rows = []
    for place, trial in enumerate(top):
        cells = "".join(
            _cell(column, text[place], place, trial, study) for column, text in zip(columns, texts, strict=True)
        )
        first = f'<th scope="row">{place + 1}</th><td class="id">{trial.trial}</td>'
        rows.append(f'<tr data-trial="{trial.trial}">{first}{cells}</tr>')
    head = f'<tr><th scope="col">#</th><th scope="col">trial</th>{heads}</tr>'
    table = f'<table id="ranking"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return scrolling(table, "The best trials")


def _columns(top: Sequence[TopTrial], study: Study) -> list[_Column]:
    columns = [_Column("config", name, "", [trial.params.get(name) for trial in top]) for name in study.space.names]
    optimized = [goal.metric for goal in study.goals]
    names = [*optimized, *(name for name in top[0].sweep if name not in optimized)]
    columns += [_Column("sweep", name, "", [t.sweep.get(name) for t in top]) for name in names[:MOST_METRICS]]
    for source, note in _REVIEWS:
        found = [getattr(trial, source) for trial in top]
        if any(metrics is not None for metrics in found):
            for name in optimized:
                values = [None if metrics is None else metrics.get(name) for metrics in found]
                columns.append(_Column(source, name, note, values))
    return columns


def _head(column: _Column, study: Study) -> str:
    note = f"<br><small>{column.note}</small>" if column.note else ""
    return f'<th scope="col" class="{_class(column, study)}">{escape(column.name)}{note}</th>'


def _cell(column: _Column, text: str, place: int, trial: TopTrial, study: Study) -> str:
    value, mark = column.values[place], ""
    if column.source in _IN_SAMPLE:
        seen = (getattr(trial, _IN_SAMPLE[column.source]) or {}).get(column.name)
        mode = next(goal.mode for goal in study.goals if goal.metric == column.name)
        worse = '<abbr title="worse than in-sample">▾</abbr>' if is_worse(value, seen, mode) else ""
        mark = f'<span class="mark">{worse}</span>'
    data = f'data-name="{escape(column.source)}/{escape(column.name)}" data-value="{escape(exact_json(value))}"'
    return f'<td class="{_class(column, study)}" {data}>{escape(text)}{mark}</td>'


def _class(column: _Column, study: Study) -> str:
    if column.source in _IN_SAMPLE:
        return "holdout"
    if column.source == "config":
        return "param"
    return "main" if column.source == "sweep" and column.name in [goal.metric for goal in study.goals] else ""


def _texts(column: _Column, top: Sequence[TopTrial]) -> list[str]:
    if column.source == "config":
        return [format_option(trial.params[column.name]) if column.name in trial.params else "–" for trial in top]
    percent = percent_metrics(top)
    if column.name in percent:
        return [format_metric(column.name, value, percent) for value in column.values]
    return align_decimals(column.values)
