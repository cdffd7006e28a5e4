"""The winner's figures side by side as HTML, and what its hold-out says of the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rbt_ray.reporting.text import escape, exact_json, format_value
from rbt_ray.reporting.top import TopTrial
from rbt_ray.study.study import Study
from rbt_ray.types import Metrics

_MOST_OTHERS = 8
_SHARES = frozenset({"total_return", "cagr", "volatility", "max_drawdown", "exposure"})


def params(best: TopTrial) -> str:
    """The winner's parameters."""
    items = "".join(
        f"<li><span>{escape(name)}</span> <b>{escape(format_option(value))}</b></li>"
        for name, value in best.params.items()
    )
    return f'<ul class="config" aria-label="The winner\'s parameters">{items}</ul>' if items else ""


def format_option(value: Any) -> str:
    """A parameter's value for people; None is a value like others."""
    return "None" if value is None else format_value(value)


def cards(top: Sequence[TopTrial], study: Study) -> str:
    """The best trial's figures: in the sweep, at order level, on the hold-out."""
    best, percent = top[0], percent_metrics(top)
    parts = [_card("In-sample, sweep", "What the search saw.", best.sweep, study.metric, percent, "")]
    for title, note, metrics, kind in (
        ("In-sample, order level", "Drifting holdings, exact cash.", best.order_level, ""),
        ("Hold-out, sweep", "Bars the search never saw.", best.holdout, "holdout"),
        ("Hold-out, order level", "Drifting holdings, exact cash.", best.holdout_order_level, "holdout"),
    ):
        if metrics is not None:
            parts.append(_card(title, note, metrics, study.metric, percent, kind))
    return f'<div class="cards">{"".join(parts)}</div>'


def percent_metrics(top: Sequence[TopTrial]) -> frozenset[str]:
    """The metrics to show as percent: a Backtest's shares; what a user's own function calls so may be anything."""
    return _SHARES if top[0].is_backtest else frozenset()


def format_metric(name: str, value: Any, percent: frozenset[str]) -> str:
    """One metric for people."""
    if name in percent and isinstance(value, float) and math.isfinite(value):
        return f"{value:.1%}"
    return format_value(value)


def is_worse(value: Any, than: Any, study: Study) -> bool:
    """Whether one figure of the study's metric is worse than another; a missing one is not, a NaN is."""
    if not isinstance(value, (int, float)) or not isinstance(than, (int, float)):
        return False
    return math.isnan(value) or (value < than if study.mode == "max" else value > than)


def holdout_note(top: Sequence[TopTrial], study: Study) -> str:
    """A sentence on how the best did on the hold-out; empty where the winner was not run on one."""
    pairs = [(t.sweep.get(study.metric), t.holdout.get(study.metric)) for t in top if t.holdout is not None]
    if top[0].holdout is None:
        return ""
    worse = [is_worse(unseen, seen, study) for seen, unseen in pairs]
    if not any(worse):
        return '<p class="note">On the hold-out none of them does worse than in-sample.</p>'
    seen, unseen = (format_metric(study.metric, value, percent_metrics(top)) for value in pairs[0])
    text = f"The winner's {study.metric} goes from {seen} in-sample to {unseen} on the hold-out"
    if len(pairs) > 1:
        of = f"all of the best {len(pairs)}" if all(worse) else f"{sum(worse)} of the best {len(pairs)}"
        text += f"; {of} do worse there" if sum(worse) > 1 else f"; {of} does worse there"
    luck = "Part of an in-sample figure is luck: the best of many trials is the best of many draws, too."
    return f'<p class="note warn">{escape(text)}. {luck}</p>'


def review_notes(top: Sequence[TopTrial]) -> str:
    """What the objective did on the hold-out beside its figures: a sentence a trial, of those that raised or stopped."""
    notes = [f'<p class="note warn">Trial {trial.trial}: {escape(trial.note)}</p>' for trial in top if trial.note]
    return "".join(notes)


def review_errors(top: Sequence[TopTrial]) -> str:
    """Why trials could not be run again in detail; empty where all could."""
    failed = [trial for trial in top if trial.error]
    if not failed:
        return ""
    items = "".join(
        f"<details><summary>Trial {trial.trial}</summary><pre>{escape(trial.error)}</pre></details>" for trial in failed
    )
    return f"<p>{len(failed)} of these trials could not be run again in detail:</p>{items}"


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
