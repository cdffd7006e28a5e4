"""Figures beside a verdict that do not vote, and how the verdict was computed, as HTML tables."""

from __future__ import annotations

from rbt_ray.analysis.checks import LUCK_LIMITS, PBO_LIMITS
from rbt_ray.analysis.verdict import Verdict
from rbt_ray.reporting.text import escape, pluralize, scrolling
from rbt_ray.reporting.verdict_charts import beside_name
from rbt_ray.store.study_record import StudyRecord

_PROBABILITIES = ("deflated_sharpe", "probabilistic_sharpe")


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
