"""Writes a study's report as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from rbt_ray._version import __version__
from rbt_ray.analysis.rungs import rungs_of
from rbt_ray.analysis.verdict import Verdict
from rbt_ray.private_files import make_folder, replacing
from rbt_ray.reporting import best_trials, calendar_table, region_notes, tables, windows
from rbt_ray.reporting import verdict as verdict_html
from rbt_ray.reporting.beside_holding import beside_holding
from rbt_ray.reporting.best_trials import TopTrial, top_trials
from rbt_ray.reporting.charts import Chart, charts_of, has_wealth
from rbt_ray.reporting.text import compact, embedded, escape, format_value, pluralize
from rbt_ray.reporting.theme import Figure
from rbt_ray.reporting.verdict_charts import verdict_charts
from rbt_ray.store.study_record import StudyRecord
from rbt_ray.types import COMPLETED

_NAMED_PARAMETERS = 4


def write_report(record: StudyRecord, path: Path, verdict: Verdict) -> Path:
    """Writes the report of a finished or unfinished study and returns its path.

    The file is replaced atomically: a reader of an earlier report sees the old or the new one.

    Args:
        record: the study.
        path: the file's path; a missing folder is created.
        verdict: on the study.

    Raises:
        OSError: the file cannot be written.
    """
    text = page(record, verdict)  # before the folder is created, as this may raise
    make_folder(path.parent)
    with replacing(path) as file:
        # Texts may contain lone surrogates, which UTF-8 cannot encode.
        file.write(text.encode("utf-8", errors="replace"))
    return path


def page(record: StudyRecord, verdict: Verdict) -> str:
    """Returns the report as HTML."""
    from plotly.offline import get_plotlyjs

    charts, panels = charts_of(record), verdict_charts(record, verdict) if verdict.checks else []
    figures = {
        f"{chart.key}:{i}": figure for chart in (*panels, *charts) for i, figure in enumerate(chart.figures.values())
    }
    scripts = (get_plotlyjs(), _part("report.js"))
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'; base-uri 'none'; "
        f"script-src 'unsafe-eval' {' '.join(_hash(script) for script in scripts)}"  # plotly's shaders need unsafe-eval
    )
    title = escape(record.study.name)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="rbt_ray {__version__}">
<title>{title}</title>
<style>{_part("report.css")}</style>
</head>
<body>
<main>
{_body(record, verdict, panels, charts)}
</main>
{_data(figures)}
<script>{scripts[0]}</script>
<script>{scripts[1]}</script>
</body>
</html>
"""


def _body(record: StudyRecord, verdict: Verdict, panels: list[Chart], charts: list[Chart]) -> str:
    study, table = record.study, record.table
    top = top_trials(record)
    heat_map = next((chart for chart in charts if chart.key == "over-parameters"), None)
    parts = [_head(record, top), verdict_html.section(record, verdict, panels, heat_map)]
    if top:
        title = f"The best by {study.metric}" if study.further_goals else "The winner"
        parts.append(_section(title, best_trials.params(top[0]) + best_trials.cards(top, study)))
        best = best_trials.holdout_note(top, study) + best_trials.review_notes(top) + best_trials.ranking(top, study)
        best += best_trials.review_errors(top)
        if not study.further_goals:
            best += region_notes.notes(record, top) + region_notes.best_of_regions(record)
        parts.append(_section(_title_of(top, record), best))
    parts += _wealth(record)
    if by_window := windows.windows(record):
        parts.append(_section("Results by window", by_window))
    parts += [_chart(chart) for chart in charts]
    status = table.outcomes.status
    errors = [
        (int(table.trials[row]), text)
        for row, text in sorted(table.outcomes.errors.items())
        if status[row] != COMPLETED
    ]
    parts.append(
        _section("Trials by status", tables.status_counts(record.status_counts()) + tables.first_errors(errors))
    )
    found = rungs_of(record.table)
    if record.notes or len(found) > 1:
        notes = tables.notes(record.notes) + (tables.rungs(found) if len(found) > 1 else "")
        parts.append(_section("The search's decisions", notes))
    asked = tables.parameters(study) + tables.definition(study, __version__)
    parts.append(_section("The study's settings", asked + "<h3>Runs</h3>" + tables.runs(record.runs)))
    return "\n".join(parts)


def _wealth(record: StudyRecord) -> list[str]:
    """Returns the best trial's figures beside holding's, and its returns by month and year; empty without a curve."""
    review, bundle = record.review, record.study.bundle
    if review is None or bundle is None or not has_wealth(review):
        return []
    table = calendar_table.by_month_and_year(review.curves, bundle.train_bars)
    note = "Returns of the best trial, by months in UTC; the first and the last month may be in part."
    if "buy_and_hold" in review.curves:
        note += " The last column has the year of buy-and-hold of all symbols, without costs."
    if bundle.train_bars < len(review.curves["time_ms"]):
        note += " Months with a line below have bars of the hold-out."
    parts = [_section("Returns by month and year", f"<p>{note}</p>{table}")]
    benchmark = record.benchmark
    if benchmark and (found := beside_holding(review.curves, bundle.train_bars, benchmark.periods_per_year)):
        parts.insert(0, _section("The best trial and buy-and-hold", found))
    return parts


def _title_of(top: list[TopTrial], record: StudyRecord) -> str:
    if record.study.further_goals:
        n = len(record.table.front)
        return "The Pareto front" if n == len(top) else f"The Pareto front: {len(top)} of {n:,} trials"
    return f"The best {len(top)}" if len(top) > 1 else "The best trial"


def _head(record: StudyRecord, top: list[TopTrial]) -> str:
    study = record.study
    names = study.space.names
    over = " × ".join(names) if 0 < len(names) <= _NAMED_PARAMETERS else pluralize(len(names), "parameter")
    on = "" if study.bundle is None else f" on {study.bundle.name or 'an unregistered bundle'}"
    lead = f"{pluralize(len(record), 'trial')} of {over}{on}"
    if top:
        lead += f"; best {study.metric} {format_value(top[0].sweep.get(study.metric))} (trial {top[0].trial})"
        lead += f"; {len(record.table.front):,} on the Pareto front." if study.further_goals else "."
    else:
        feasible = " and is feasible" if study.constraints else ""
        lead += f"; none completed at full fidelity{feasible}." if len(record) else "; none has finished yet."
    unfinished = (
        ""
        if record.is_done
        else '<p class="note warn">The study has not finished: this report shows its trials so far.</p>'
    )
    return (
        f'<header><h1>{escape(study.name)}</h1><p class="lead">{escape(lead)}</p>{unfinished}'
        '<noscript><p class="note warn">The charts need JavaScript; the tables do not.</p></noscript></header>'
    )


def _chart(chart: Chart) -> str:
    names = list(chart.figures)
    height = chart.figures[names[0]]["layout"]["height"]
    choose = ""
    if len(names) > 1:
        options = "".join(f'<option value="{chart.key}:{i}">{escape(name)}</option>' for i, name in enumerate(names))
        choose = f'<label class="choose">Parameters <select data-chooses="{chart.key}">{options}</select></label>'
    drawn = (
        f'<div class="chart" id="{chart.key}" data-figure="{chart.key}:0" role="img" '
        f'aria-label="{escape(chart.title)}" style="min-height:{height}px"></div>'
    )
    return _section(chart.title, f"{choose}<figure>{drawn}<figcaption>{escape(chart.caption)}</figcaption></figure>")


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _data(figures: dict[str, Figure]) -> str:
    return f'<script type="application/json" id="figures">{embedded(compact(figures))}</script>'


def _part(name: str) -> str:
    return resources.files("rbt_ray.reporting").joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    """Returns the hash that lets only this script run in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
