"""The best trials as a ranked HTML table; `data-value` of each cell has the value at full precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rbt_ray.reporting.text import align_decimals, escape, exact_json, scrolling
from rbt_ray.reporting.winner import format_metric, format_option, is_worse, percent_metrics
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.study.study import Study
from rbt_ray.types import Metrics

N_TOP = 10
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
    names = [study.metric, *(name for name in top[0].sweep if name != study.metric)]
    columns += [_Column("sweep", name, "", [t.sweep.get(name) for t in top]) for name in names[:MOST_METRICS]]
    for source, note in _REVIEWS:
        found = [getattr(trial, source) for trial in top]
        if any(metrics is not None for metrics in found):
            values = [None if metrics is None else metrics.get(study.metric) for metrics in found]
            columns.append(_Column(source, study.metric, note, values))
    return columns


def _head(column: _Column, study: Study) -> str:
    note = f"<br><small>{column.note}</small>" if column.note else ""
    return f'<th scope="col" class="{_class(column, study)}">{escape(column.name)}{note}</th>'


def _cell(column: _Column, text: str, place: int, trial: TopTrial, study: Study) -> str:
    value, mark = column.values[place], ""
    if column.source in _IN_SAMPLE:
        seen = (getattr(trial, _IN_SAMPLE[column.source]) or {}).get(study.metric)
        worse = '<abbr title="worse than in-sample">▾</abbr>' if is_worse(value, seen, study) else ""
        mark = f'<span class="mark">{worse}</span>'
    data = f'data-name="{escape(column.source)}/{escape(column.name)}" data-value="{escape(exact_json(value))}"'
    return f'<td class="{_class(column, study)}" {data}>{escape(text)}{mark}</td>'


def _class(column: _Column, study: Study) -> str:
    if column.source in _IN_SAMPLE:
        return "holdout"
    if column.source == "config":
        return "param"
    return "main" if column.source == "sweep" and column.name == study.metric else ""


def _texts(column: _Column, top: Sequence[TopTrial]) -> list[str]:
    if column.source == "config":
        return [format_option(trial.params[column.name]) if column.name in trial.params else "–" for trial in top]
    percent = percent_metrics(top)
    if column.name in percent:
        return [format_metric(column.name, value, percent) for value in column.values]
    return align_decimals(column.values)
