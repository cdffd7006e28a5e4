"""Formats numbers, and escapes text for HTML, for JSON in HTML, and for plotly's labels."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHOLE = 1e15


def escape(text: object) -> str:
    """Escapes text for HTML elements and quoted attributes."""
    return html.escape(str(text), quote=True)


def sentence(text: str) -> str:
    """Escapes a sentence, in which names between backticks are code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def embedded(value: Any) -> str:
    """Returns JSON for a ``<script>`` element: its text cannot end the element or start a comment.

    Raises:
        ValueError: it contains NaN or infinity, which JSON lacks.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def compact(value: Any) -> Any:
    """Returns JSON values with floats rounded to 6 digits, which is more than a chart shows, and whole ones as integers."""
    if isinstance(value, dict):
        return {key: compact(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [compact(inner) for inner in value]
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    if value == round(value) and abs(value) < _WHOLE:  # times in milliseconds have 13 digits
        return round(value)
    return float(f"{value:.6g}")


def label(text: str, most: int = 48) -> str:
    """Shortens and escapes text for plotly, which interprets some HTML and ``%{...}`` in most labels."""
    return html.escape(shortened(text, most), quote=False).replace("%{", "%&#123;")


def shortened(text: str, most: int) -> str:
    """Shortens text to at most `most` characters on one line."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def exact_json(value: Any) -> str:
    """Returns a value at full precision as JSON, or its `repr` if JSON cannot represent it."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return json.dumps(repr(value))


def format_value(value: Any) -> str:
    """Formats a value: floats with four digits, integers with thousands separators, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def align_decimals(values: Iterable[Any]) -> list[str]:
    """Formats a column of values: all floats with the same number of decimals, chosen for the largest."""
    values = list(values)
    finite = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v)]
    largest = max(finite, default=0.0)
    if not finite or not (largest == 0.0 or 1e-3 <= largest < 1e9):
        return [format_value(v) for v in values]
    places = 0 if largest >= 1e4 else 4 if largest < 1 else 3 - math.floor(math.log10(largest))
    return [_fixed(v, places) if isinstance(v, float) and math.isfinite(v) else format_value(v) for v in values]


def json_values(values: NDArray[Any]) -> list[Any]:
    """Converts an ``(n,)`` array to a list for JSON, with None for non-finite values."""
    found: list[Any] = values.tolist()
    if values.dtype.kind != "f" or bool(np.isfinite(values).all()):
        return found
    return [value if math.isfinite(value) else None for value in found]


def duration(seconds: float) -> str:
    """Formats a duration with its two largest units."""
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
    """Returns a count with its noun: ``1 trial``, ``2,000 trials``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def scrolling(table: str, name: str) -> str:
    """Wraps a table so that it scrolls on narrow pages, also by keyboard."""
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
