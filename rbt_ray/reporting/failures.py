"""The statuses and errors of trials as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbt_ray.reporting.text import escape, pluralize

MOST_ERRORS = 10
_LONGEST_ERROR = 4_000


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
