"""The best trials as HTML: the winner's figures side by side, and the ranked table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rbt_ray.reporting.text import aligned, counted, escape, machine, scrolling, shown
from rbt_ray.reporting.top import TopTrial
from rbt_ray.study.study import Study
from rbt_ray.types import Metrics

MOST_METRICS = 6
_PERCENT = frozenset({"total_return", "cagr", "volatility", "max_drawdown", "exposure"})
_REVIEWS = (
    ("order_level", "order level", ""),
    ("holdout", "hold-out", "holdout"),
    ("holdout_order_level", "hold-out, order level", "holdout"),
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the ranking: a head, an HTML class, and a value a row."""

    name: str
    title: str
    kind: str
    values: list[Any]


def cards(best: TopTrial, study: Study) -> str:
    """The winner's figures side by side: in the sweep, at order level, on the hold-out."""
    parts = [_card("In-sample, sweep", "what the search saw", best.sweep, study.metric, "")]
    for key, title, note, kind in (
        ("order_level", "In-sample, order level", "drifting holdings, exact orders and cash", ""),
        ("holdout", "Hold-out", "bars the search never saw", "holdout"),
        ("holdout_order_level", "Hold-out, order level", "the same, with exact orders and cash", "holdout"),
    ):
        metrics = getattr(best, key)
        if metrics is not None:
            parts.append(_card(title, note, metrics, study.metric, kind))
    return f'<div class="cards">{"".join(parts)}</div>'


def ranking(top: Sequence[TopTrial], study: Study) -> str:
    """The best trials as a table; each row names its trial, each cell its value at full precision."""
    columns = _columns(top, study)
    heads = "".join(f'<th scope="col" class="{c.kind}">{escape(c.title)}</th>' for c in columns)
    texts = [_texts(c) for c in columns]
    body = []
    for place, trial in enumerate(top):
        cells = []
        for column, text in zip(columns, texts, strict=True):
            value = column.values[place]
            worse = column.name.startswith("holdout/") and is_worse(value, trial.sweep.get(study.metric), study)
            mark = ' <abbr class="worse" title="worse than in-sample">▾</abbr>' if worse else ""
            data = f'data-name="{escape(column.name)}" data-value="{escape(machine(value))}"'
            cells.append(f'<td class="{column.kind}" {data}>{escape(text[place])}{mark}</td>')
        head = f'<th scope="row">{place + 1}</th>'
        body.append(f'<tr data-trial="{trial.trial}">{head}<td class="id">{trial.trial}</td>{"".join(cells)}</tr>')
    head = f'<tr><th scope="col">#</th><th scope="col">trial</th>{heads}</tr>'
    return scrolling(
        f'<table id="ranking"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>', "The best trials"
    )


def is_worse(value: Any, than: Any, study: Study) -> bool:
    """Whether one figure of the study's metric is worse than another; a missing one is not, a NaN is."""
    if not isinstance(value, (int, float)) or not isinstance(than, (int, float)):
        return False
    return math.isnan(value) or (value < than if study.mode == "max" else value > than)


def holdout_note(top: Sequence[TopTrial], study: Study) -> str:
    """A sentence on how the best did on the hold-out; empty where there is none."""
    pairs = [(t.sweep.get(study.metric), (t.holdout or {}).get(study.metric)) for t in top if t.holdout]
    pairs = [(seen, unseen) for seen, unseen in pairs if isinstance(unseen, (int, float))]
    if not pairs or not top[0].holdout:
        return ""
    n_worse = sum(is_worse(unseen, seen, study) for seen, unseen in pairs)
    seen, unseen = pairs[0]
    metric = escape(study.metric)
    if not n_worse:
        return '<p class="note">On the hold-out none of them does worse than in-sample.</p>'
    first = (
        f"The winner's {metric} goes from {escape(shown(seen))} in-sample to {escape(shown(unseen))} on the hold-out"
    )
    rest = f"{n_worse} of the {counted(len(pairs), 'best trial')} do worse there"
    if len(pairs) == 1:
        rest = "which is worse"
    return (
        f'<p class="note warn">{first}; {rest}. Part of an in-sample figure is luck: '
        "the best of many trials is the best of many draws, too.</p>"
    )


def review_errors(top: Sequence[TopTrial]) -> str:
    """Why trials could not be run again in detail; empty where all could."""
    return "".join(
        f"<details><summary>Trial {trial.trial} could not be run again in detail</summary><pre>{escape(trial.error)}</pre></details>"
        for trial in top
        if trial.error
    )


def figure_text(name: str, value: Any) -> str:
    """One metric for people: shares as percent."""
    if name in _PERCENT and isinstance(value, float) and math.isfinite(value):
        return f"{value:.1%}"
    return shown(value)


def _card(title: str, note: str, metrics: Metrics, metric: str, kind: str) -> str:
    value = metrics.get(metric)
    others = [(name, v) for name, v in metrics.items() if name != metric and isinstance(v, (int, float))][:8]
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(figure_text(name, v))}</dd></div>" for name, v in others)
    return (
        f'<section class="card {kind}"><h3>{title}</h3>'
        f'<p class="figure"><b data-value="{escape(machine(value))}">{escape(figure_text(metric, value))}</b> {escape(metric)}</p>'
        f'<p class="small">{note}</p><dl>{rows}</dl></section>'
    )


def _columns(top: Sequence[TopTrial], study: Study) -> list[_Column]:
    columns = [_Column(f"config/{name}", name, "param", [t.params[name] for t in top]) for name in study.space.names]
    first = top[0].sweep if top else {}
    names = [study.metric, *(name for name in first if name != study.metric)][:MOST_METRICS]
    for name in names:
        kind = "main" if name == study.metric else ""
        columns.append(_Column(f"sweep/{name}", name, kind, [t.sweep.get(name) for t in top]))
    for key, title, kind in _REVIEWS:
        found = [getattr(t, key) for t in top]
        if any(metrics is not None for metrics in found):
            values = [None if metrics is None else metrics.get(study.metric) for metrics in found]
            columns.append(_Column(f"{key}/{study.metric}", f"{study.metric}, {title}", kind, values))
    return columns


def _texts(column: _Column) -> list[str]:
    if column.kind == "param":
        return [shown(value) for value in column.values]
    name = column.name.partition("/")[2]
    if name in _PERCENT:
        return [figure_text(name, value) for value in column.values]
    return aligned(column.values)
