"""The best trials as a ranked HTML table; `data-value` of each cell has the value at full precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rbt_ray.reporting.text import align_decimals, escape, exact_json, scrolling
from rbt_ray.reporting.winner import TopTrial, format_metric, format_option, is_worse, percent_metrics
from rbt_ray.study.study import Study

MOST_METRICS = 6
_REVIEWS = (("order_level", "order level"), ("holdout", "hold-out"), ("holdout_order_level", "hold-out, order level"))
_IN_SAMPLE = {"holdout": "sweep", "holdout_order_level": "order_level"}


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
