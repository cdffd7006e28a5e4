"""The search's decisions, and the cost and rank correlation of its fidelities, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rbt_ray.analysis.rungs import Rung
from rbt_ray.reporting.text import escape, scrolling

_LOW = 0.5


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
