"""What became of the trials, and why some did not complete, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbt_ray.reporting.text import escape, pluralize

MOST_ERRORS = 10
_LONGEST_ERROR = 4_000


def status_counts(counts: Mapping[str, int]) -> str:
    """How many trials have each status."""
    items = "".join(
        f'<li class="{"" if name == "COMPLETED" or not n else "bad"}"><b>{n:,}</b> {escape(name.lower().replace("_", " "))}</li>'
        for name, n in counts.items()
    )
    return f'<ul class="counts">{items}</ul>'


def first_errors(errors: Sequence[tuple[int, str]]) -> str:
    """The first error of each kind, by its last line, with how often it came; collapsed.

    Args:
        errors: trials and why they did not complete, in trial order.
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
