"""The small tables of a report: settings, runs, statuses and errors of trials, and the decisions of the search, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rbt_ray.analysis.rungs import Rung
from rbt_ray.reporting.text import duration, escape, format_value, pluralize, scrolling
from rbt_ray.store.journal import Ended
from rbt_ray.study.study import Study

MOST_ERRORS = 10
_LONGEST_ERROR = 4_000
_LOW = 0.5


def status_counts(counts: Mapping[str, int]) -> str:
    """Returns a list with the number of trials per status."""
    items = "".join(
        f'<li class="{"" if name == "COMPLETED" or not n else "bad"}"><b>{n:,}</b> {escape(name.lower().replace("_", " "))}</li>'
        for name, n in counts.items()
    )
    return f'<ul class="counts">{items}</ul>'


def first_errors(errors: Sequence[tuple[int, str]]) -> str:
    """Returns the first error of each kind and the number of such errors, collapsed. The last line gives the kind.

    Args:
        errors: trial numbers and error texts, in trial order.
    """
    kinds: dict[str, list[tuple[int, str]]] = {}
    for trial, text in errors:
        lines = text.strip().splitlines()
        kinds.setdefault(lines[-1].strip() if lines else "", []).append((trial, text))
    parts = []
    for last, found in list(kinds.items())[:MOST_ERRORS]:
        trial, text = found[0]
        cut = text if len(text) <= _LONGEST_ERROR else f"[...]\n{text[-_LONGEST_ERROR:]}"
        head = f"<b>{len(found):,} ×</b> {escape(last[:200])}"
        parts.append(
            f"<details><summary>{head}</summary><p>The first was trial {trial}.</p><pre>{escape(cut)}</pre></details>"
        )
    if len(kinds) > MOST_ERRORS:
        parts.append(f"<p>and {pluralize(len(kinds) - MOST_ERRORS, 'other kind')} of errors.</p>")
    return "".join(parts)


def notes(sentences: Sequence[str]) -> str:
    """Returns one paragraph per note."""
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def rungs(found: Sequence[Rung]) -> str:
    """Returns a table with one row per fidelity."""
    names = (
        "fidelity",
        "trials",
        "cost in full evaluations",
        "rank correlation with full fidelity",
        "configs compared",
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{rung.fidelity:.3g}</th><td>{rung.n_trials:,}</td>'
        f"<td>{rung.fidelity * rung.n_trials:,.1f}</td><td>{_correlation(rung)}</td><td>{rung.n_compared:,}</td></tr>"
        for rung in found
    )
    table = f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    low = any(rung.correlation < _LOW and rung.n_trials > rung.n_compared for rung in found)
    warning = (
        '<p class="note warn">A lower fidelity ranked configs differently from full fidelity. It may have ruled out good configs.</p>'
        if low
        else ""
    )
    return scrolling(table, "The fidelities") + warning


def _correlation(rung: Rung) -> str:
    return "–" if rung.fidelity == 1 or math.isnan(rung.correlation) else f"{rung.correlation:.2f}"


def definition(study: Study, version: str) -> str:
    """Returns a table of all settings that determine the results."""
    bundle = study.bundle
    rows: list[tuple[str, Any]] = [
        ("objective", study.objective.name),
        *((f"objective option {name}", value) for name, value in study.objective.options.items()),
        *(("metric", str(goal)) for goal in study.goals),
        ("search", study.search_alg),
        ("seed", study.seed),
        ("samples", "all configs" if study.num_samples is None else study.num_samples),
        ("size of the space", "infinite" if study.space.size is None else study.space.size),
        ("max. open trials", "by the number of results" if study.max_pending is None else study.max_pending),
        ("deterministic", "yes" if study.deterministic else "no"),
        ("trials to review", study.recheck),
    ]
    rows += [(f"search option {name}", value) for name, value in study.search_options.items()]
    if study.scheduler is not None:
        options = ", ".join(f"{name} {value}" for name, value in study.scheduler.items() if name != "name")
        rows += [
            ("scheduler", study.scheduler["name"] + (f" ({options})" if options else "")),
            ("fidelity", f"{study.fidelity}, from {study.lowest_fidelity:.3g} up by factors of {study.eta:g}"),
        ]
    if study.max_reports is not None:
        rows.append(("reports at full fidelity", study.max_reports))
    if study.max_cost is not None:
        rows.append(("cost limit", study.max_cost))
    rows += [("constraint on metrics", constraint) for constraint in study.constraints]
    if study.points_to_evaluate:
        rows.append(("points to evaluate first", len(study.points_to_evaluate)))
    if bundle is None:
        rows.append(("bundle", "none"))
    else:
        held = bundle.n_bars - bundle.train_bars
        rows += [
            ("bundle", bundle.name or "unregistered"),
            ("bundle version", bundle.version),
            ("bars searched", bundle.train_bars),
            ("bars held out", held if held else "none"),
        ]
    rows.append(("report written by", f"rbt_ray {version}"))
    return _pairs(rows)


def parameters(study: Study) -> str:
    """Returns a table of the space: each parameter's domain, and the constants."""
    space = study.space
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(domain.kind)}</td><td>{escape(domain.takes)}</td></tr>'
        for name, domain in zip(space.names, space.domains, strict=True)
    ]
    rows += [
        f'<tr><th scope="row">{escape(name)}</th><td>constant</td><td>{escape(repr(value))}</td></tr>'
        for name, value in space.constants.items()
    ]
    notes = []
    if space.conditions:
        notes.append(f"{pluralize(len({name for name, _ in space.conditions}), 'conditional parameter')}")
    if space.constraints:
        notes.append(f"constraints: {', '.join(one.text for one in space.constraints)}")
    if space.forbidden:
        notes.append(f"{pluralize(len(space.forbidden), 'forbidden clause')}")
    note = f"<p>{escape('; '.join(notes))}.</p>" if notes else ""
    head = '<tr><th scope="col">parameter</th><th scope="col">kind</th><th scope="col">values</th></tr>'
    return scrolling(
        f'<table class="plain"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>{note}', "The space"
    )


def runs(ended: Sequence[Ended]) -> str:
    """Returns a table with the end of each run of the study."""
    if not ended:
        return "<p>No run of this study has ended.</p>"
    names = ("run", "backend", "workers", "wall time", "ended", "rbt_ray")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{place}</th><td>{escape(run.backend)}</td><td>{run.n_workers:,}</td>'
        f"<td>{duration(run.wall_s)}</td><td>{escape(run.reason)}</td><td>{escape(run.version)}</td></tr>"
        for place, run in enumerate(ended, 1)
    )
    return scrolling(f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>', "The runs")


def _pairs(rows: Sequence[tuple[str, Any]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(format_value(value))}</td></tr>' for name, value in rows
    )
    return scrolling(f'<table class="plain"><tbody>{body}</tbody></table>', "The study's definition")
