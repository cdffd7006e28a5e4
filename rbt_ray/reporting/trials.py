"""The statuses and errors of trials, and the decisions and fidelities of the search, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rbt_ray.analysis.rungs import Rung
from rbt_ray.reporting.text import escape, pluralize, scrolling

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
