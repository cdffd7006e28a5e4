"""Numbers for people, and text that stays text: in HTML, in JSON within HTML, and in plotly's labels."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def escape(text: object) -> str:
    """Text for HTML, in elements and in quoted attributes."""
    return html.escape(str(text), quote=True)


def embedded(value: Any) -> str:
    """JSON that may stand in a ``<script>`` element: no text in it can end the element or begin a comment.

    Raises:
        ValueError: it holds a NaN or an infinity, for which JSON has no word.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def label(text: str, most: int = 48) -> str:
    """A short text for plotly, which reads some HTML and ``%{...}`` in most labels; here neither means anything."""
    return html.escape(shortened(text, most), quote=False).replace("%{", "%&#123;")


def shortened(text: str, most: int) -> str:
    """At most so many characters on one line."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def exact_json(value: Any) -> str:
    """A value at full precision as JSON, for programs that read the page; what JSON cannot hold is its `repr`."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return json.dumps(repr(value))


def format_value(value: Any) -> str:
    """A value for people: four digits of a fraction, thousands apart, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def align_decimals(values: Iterable[Any]) -> list[str]:
    """A column of values for people: all fractions with as many decimals, chosen by the largest."""
    values = list(values)
    finite = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v)]
    largest = max(finite, default=0.0)
    if not finite or not (largest == 0.0 or 1e-3 <= largest < 1e9):
        return [format_value(v) for v in values]
    places = 0 if largest >= 1e4 else 4 if largest < 1 else 3 - math.floor(math.log10(largest))
    return [_fixed(v, places) if isinstance(v, float) and math.isfinite(v) else format_value(v) for v in values]


def json_values(values: NDArray[Any]) -> list[Any]:
    """An ``(n,)`` array as JSON can hold it; None for what is not finite."""
    found: list[Any] = values.tolist()
    if values.dtype.kind != "f" or bool(np.isfinite(values).all()):
        return found
    return [value if math.isfinite(value) else None for value in found]


def duration(seconds: float) -> str:
    """A time span in the two units that matter."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def pluralize(n: int, one: str, many: str | None = None) -> str:
    """``1 trial``, ``2,000 trials``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def scrolling(table: str, name: str) -> str:
    """A table that scrolls by itself where the page is narrow, by keyboard too."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{table}</div>'


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if value == 0:
        return "0"
    if 1e4 <= size < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _fixed(value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text
