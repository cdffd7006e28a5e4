"""The verdict as HTML: word, sentence, the three checks, where they contradict each other, charts, evidence and settings."""

from __future__ import annotations

import math

from rbt_ray.analysis.checks import LUCK_LIMITS, PBO_LIMITS, Check
from rbt_ray.analysis.verdict import Verdict
from rbt_ray.reporting.charts import Chart
from rbt_ray.reporting.text import escape, exact_json, pluralize, scrolling, sentence
from rbt_ray.reporting.verdict_charts import beside_name
from rbt_ray.store.study_record import StudyRecord

_MARKS = {"pass": "✓", "weak": "~", "fail": "✗", "not checked": "–"}
_TITLES = {
    "beats luck": "Does it beat luck?",
    "ranking carries over": "Does the ranking carry over?",
    "unseen bars": "Does it hold on unseen bars?",
}
_FIGURES = {
    "beats luck": "search-wide p value",
    "ranking carries over": "probability of overfitting",
    "unseen bars": "Sharpe ratio",
}
_PROBABILITIES = ("deflated_sharpe", "probabilistic_sharpe")


def section(record: StudyRecord, verdict: Verdict, charts: list[Chart], heat_map: Chart | None) -> str:
    """Returns the section about the verdict.

    Args:
        record: the study.
        verdict: on it.
        charts: see `verdict_charts`.
        heat_map: of the metric over parameters, of which a small copy is shown; None if there is none.
    """
    kind = verdict.word.lower().replace(" ", "-")
    parts = [
        f'<section id="verdict" class="{kind}">\n<h2>{escape(verdict.word)}</h2>',
        f'<p class="sentence">{sentence(verdict.sentence)}</p>',
    ]
    if verdict.checks:
        cards = "".join(_check(check, verdict, beside_name(record)) for check in verdict.checks)
        parts.append(f'<div class="checks">{cards}</div>')
    if verdict.disagreements:
        items = "".join(f"<li>{sentence(one)}</li>" for one in verdict.disagreements)
        parts.append(f'<div class="note warn"><h3>Where the checks disagree</h3><ul>{items}</ul></div>')
    if verdict.checks:
        panels = "".join(_panel(chart, chart.key, chart.title, chart.caption) for chart in charts)
        if heat_map is not None:
            name = next(iter(heat_map.figures))
            caption = "The star is the best trial, the outline its plateau." if name else heat_map.caption
            title = f"{record.study.metric} over {name}" if name else heat_map.title
            panels += _panel(heat_map, "plateau", title, caption)
        parts.append(f'<div class="panels">{panels}</div>' if panels else "")
    parts += [f'<p class="note">{sentence(caveat)}</p>' for caveat in verdict.caveats]
    if verdict.evidence:
        parts.append(evidence(record, verdict) + settings(record))
    return "\n".join(parts) + "\n</section>"


def _check(check: Check, verdict: Verdict, beside: str | None) -> str:
    state = check.state.replace(" ", "-")
    head = f'<header><h3>{_TITLES[check.name]}</h3><p class="state">{_MARKS[check.state]} {check.state}</p></header>'
    body = f'<p class="small">{sentence(check.sentence)}</p>'
    if check.value is not None:
        exact = escape(exact_json(check.value if math.isfinite(check.value) else None))
        figure = f'<b data-value="{exact}">{_number(check, check.value)}</b> {_FIGURES[check.name]}'
        if check.benchmark is not None and beside is not None:
            figure += f"; {escape(beside)} {_number(check, check.benchmark)}"
        body = f'<p class="figure">{figure}</p>{_scale(check)}{_null(check, verdict)}{body}'
    return f'<article class="check {state}" data-check="{escape(check.name)}">{head}{body}</article>'


def _null(check: Check, verdict: Verdict) -> str:
    """Returns what the value would be without skill."""
    texts = []
    if check.null_band is not None and check.name != "ranking carries over":  # whose sentence has it
        low, high = (_number(check, end) for end in check.null_band)
        texts.append(f"Without skill: {low} to {high} in 90 % of studies.")
    if check.name == "beats luck":
        reached, typical, needed = (verdict.evidence[f"alpha_t{name}"] for name in ("", "_by_luck", "_needed"))
        texts.append(
            f"Its alpha has t = {reached:.2f}; by luck alone the best has {typical:.2f} at the median and {needed:.2f} at 95 %."
        )
    return f'<p class="null">{" ".join(texts)}</p>' if texts else ""


def _scale(check: Check) -> str:
    """Returns a scale with the zones of the states, the band without skill, and the value."""
    value, band = check.value, check.null_band
    if value is None or not math.isfinite(value):
        return ""
    low, high = 0.0, 1.0
    if check.name == "unseen bars":
        goal = max(0.0, check.benchmark or 0.0)
        shown = [0.0, value, goal, *(band or ())]
        margin = 0.08 * (max(shown) - min(shown) or 1.0)
        low, high = min(shown) - margin, max(shown) + margin
        zones = [("fail", low, 0.0), ("weak", 0.0, goal), ("pass", goal, high)]
    else:
        passes, weak = LUCK_LIMITS if check.name == "beats luck" else PBO_LIMITS
        zones = [("pass", 0.0, passes), ("weak", passes, weak), ("fail", weak, 1.0)]

    def place(begin: float, end: float) -> str:
        return f"left:{100 * (begin - low) / (high - low):.2f}%;width:{100 * (end - begin) / (high - low):.2f}%"

    parts = [f'<i class="zone {name}" style="{place(begin, end)}"></i>' for name, begin, end in zones]
    if band is not None:
        parts.append(f'<i class="band" style="{place(*band)}"></i>')
    parts.append(f'<i class="value" style="{place(value, value)}"></i>')
    return f'<div class="scale" aria-hidden="true">{"".join(parts)}</div>'


def _number(check: Check, value: float) -> str:
    if not math.isfinite(value):
        return "none"
    if check.name == "unseen bars":
        return f"{value:.2f}"
    if value < 0.001:
        return "&lt; 0.1 %"
    return f"{100 * value:.1f} %" if value < 0.0995 else f"{100 * value:.0f} %"


def _panel(chart: Chart, key: str, title: str, caption: str) -> str:
    return (
        f'<figure class="panel"><h3>{escape(title)}</h3><div class="chart small" id="{key}" data-figure="{chart.key}:0" '
        f'role="img" aria-label="{escape(title)}"></div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def evidence(record: StudyRecord, verdict: Verdict) -> str:
    """Returns a table of the evidence that there is."""
    found, beside = verdict.evidence, beside_name(record)
    n = pluralize(len(record), "evaluation")
    validation = record.study.validation
    windows = "walk-forward by blocks" if validation is None else validation.name
    unseen = "of the choices on bars that they were not chosen on"
    rows = [
        ("Sharpe ratio", "sharpe", "", f"of the best trial, annual, over {found.get('years') or 0:.1f} years"),
        (
            "Deflated Sharpe ratio",
            "deflated_sharpe",
            "",
            f"the probability that its true ratio is above what luck gives the best of {n}. Luck means a ratio of 0 here, not "
            f"that of holding: in a market that rises this is too high",
        ),
        (
            "Probabilistic Sharpe ratio",
            "probabilistic_sharpe",
            "",
            "the probability that its true ratio is above 0, for one trial",
        ),
        (
            "Minimum backtest length",
            "min_backtest_years",
            "",
            f"years; in fewer, luck alone is expected to reach this ratio in {n}",
        ),
        ("Haircut Sharpe ratio", "haircut_sharpe", "", f"annual, after Bonferroni's correction for {n}"),
        (
            "Sharpe ratio on the other half",
            "out_of_sample_sharpe",
            "out_of_sample_benchmark",
            "of the best on one half of history, the mean of all splits",
        ),
        ("Sharpe ratio out of sample", "walk_forward_sharpe", "walk_forward_benchmark", f"{windows}: {unseen}"),
    ]
    body = ""
    for title, name, other, meaning in rows:
        value, held = found.get(name), found.get(other)
        if value is not None:
            text = _probability(value) if name in _PROBABILITIES else f"{value:.2f}"
            text += "" if held is None or beside is None else f" ({beside} {held:.2f})"
            body += f'<tr><th scope="row">{title}</th><td>{escape(text)}</td><td>{escape(meaning)}</td></tr>'
    table = f'<table class="plain evidence"><tbody>{body}</tbody></table>'
    return f"<h3>Evidence, which does not vote</h3>{scrolling(table, 'Evidence')}"


def settings(record: StudyRecord) -> str:
    """Returns a table of what the checks were computed from."""
    study, sums, benchmark = record.study, record.audit_sums() or record.block_sums(), record.benchmark
    if sums is None or benchmark is None:
        return ""
    lengths = benchmark.lengths
    least, most = int(lengths.min()), int(lengths.max())
    bars = f"{most:,}" if least == most else f"{least:,} or {most:,}"
    held_out = 0 if study.bundle is None else study.bundle.n_bars - study.bundle.train_bars
    learns = "configs drawn at random after the search" if record.audit is not None else "trials"
    rows = [
        ("compared with", beside_name(record) or "nothing"),
        ("returns", f"sums over {len(lengths)} blocks of {bars} bars, of {len(sums):,} {learns}"),
        ("evaluations", f"{len(record):,}"),
        ("validation", "none" if study.validation is None else study.validation.name),
        ("bars held out", f"{held_out:,}" if held_out else "none"),
        (
            "to pass",
            f"p value up to {LUCK_LIMITS[0]:g}, probability of overfitting up to {PBO_LIMITS[0]:g}, Sharpe ratio above 0 and not "
            f"below that of the benchmark",
        ),
        (
            "to be weak",
            f"p value up to {LUCK_LIMITS[1]:g}, probability of overfitting up to {PBO_LIMITS[1]:g}, Sharpe ratio above 0",
        ),
    ]
    body = "".join(f'<tr><th scope="row">{name}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    table = f'<table class="plain"><tbody>{body}</tbody></table>'
    return f"<h3>Settings of the verdict</h3>{scrolling(table, 'Settings of the verdict')}"


def _probability(value: float) -> str:
    if value > 0.9995:
        return "above 0.999"
    return "below 0.001" if value < 0.0005 else f"{value:.3f}"
