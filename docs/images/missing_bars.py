"""Draws missing_bars.svg from a backtest of fourteen bars: `python docs/images/missing_bars.py`."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

import rbt_ray as rbt

NAN = np.nan
CLOSE = [100, 101, 103, 102, 104, NAN, NAN, 110, 111, 109, 112, 113, NAN, NAN]
TARGET = [0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]
LAST_BAR = 11
WINDOW = 3

LEFT, STEP, WIDTH = 150, 50, 930
INK, MUTED, RULE, BLUE, ORANGE, HOLE = "#1b2430", "#5c6775", "#e2e6eb", "#1d5a9e", "#b4470f", "#eef1f4"


def run() -> tuple[rbt.Bundle, rbt.Backtest]:
    """Returns the prices and a backtest of the targets, filled at the next close with costs of 50 bps."""
    days = np.datetime64("2024-03-01", "ns") + np.arange(len(CLOSE)) * np.timedelta64(1, "D")
    close = np.array(CLOSE, float)[:, None]
    bundle = rbt.Bundle.from_arrays({"close": close}, days, ["A"], listed_until={"A": days[LAST_BAR]})
    weights = np.array(TARGET, float)[:, None]
    return bundle, rbt.backtest(bundle, weights, "next_close", costs=rbt.Costs(turnover_bps=50), missing="zero")


def x_of(bar: float) -> float:
    """Returns the x position of a bar's centre."""
    return LEFT + STEP * (bar + 0.5)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """Returns a straight line."""
    return f'<line x1="{x1:g}" y1="{y1:.1f}" x2="{x2:g}" y2="{y2:.1f}" {style}/>'


def text(
    x: float, y: float, words: str, color: str = INK, anchor: str = "middle", size: int = 12, more: str = ""
) -> str:
    """Returns a line of text."""
    return f'<text x="{x:g}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" font-size="{size}" {more}>{escape(words)}</text>'


def dot(x: float, y: float, color: str, *, solid: bool) -> str:
    """Returns a round mark, hollow for carried values."""
    return f'<circle cx="{x:g}" cy="{y:.1f}" r="4" fill="{color if solid else "#fff"}" stroke="{color}" stroke-width="1.6"/>'


def levels(values: np.ndarray, top: float, height: float) -> np.ndarray:
    """Scales values to y positions."""
    low, high = np.nanmin(values), np.nanmax(values)
    return top + height * (high - values) / (high - low)


def series(values: np.ndarray, known: np.ndarray, y: np.ndarray, color: str) -> list[str]:
    """Draws values with marks, hollow and dashed where they are carried over bars without a price."""
    parts = []
    for bar in range(len(values)):
        if np.isnan(values[bar]):
            continue
        if bar and not np.isnan(values[bar - 1]):
            dash = "" if known[bar] and known[bar - 1] else 'stroke-dasharray="4 3"'
            parts.append(
                line(x_of(bar - 1), y[bar - 1], x_of(bar), y[bar], f'stroke="{color}" stroke-width="1.6" {dash}')
            )
    for bar in range(len(values)):
        if not np.isnan(values[bar]):
            parts.append(dot(x_of(bar), y[bar], color, solid=bool(known[bar])))
            parts.append(text(x_of(bar), y[bar] - 9, f"{values[bar]:g}" if known[bar] else "", MUTED, size=10))
    return parts


def label(top: float, title: str, *rest: str) -> list[str]:
    """Returns a row's name, at its left."""
    lines = [text(LEFT - 14, top, title, INK, "end", 13, 'font-weight="600"')]
    return lines + [text(LEFT - 14, top + 16 * (i + 1), words, MUTED, "end", 11) for i, words in enumerate(rest)]


def picture() -> str:
    """Returns the whole drawing."""
    bundle, result = run()
    close, known = np.array(bundle.close[:, 0]), ~np.isnan(bundle.close[:, 0])
    carried = close[np.maximum.accumulate(np.where(known, np.arange(len(close)), 0))]
    after_end = np.arange(len(close)) > LAST_BAR
    average = np.round(bundle.view().sma("close", WINDOW)[:, 0], 1)
    end = x_of(len(close) - 0.5)
    height = 590
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        "font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\">",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for bars, words in (((4.5, 6.5), "no price"), ((LAST_BAR + 0.5, len(close) - 0.5), "listing has ended")):
        left, right = x_of(bars[0]), x_of(bars[1])
        parts.append(f'<rect x="{left:g}" y="40" width="{right - left:g}" height="505" fill="{HOLE}"/>')
        parts.append(text((left + right) / 2, 33, words, MUTED, size=11))
    parts += [line(LEFT, y, end, y, f'stroke="{RULE}"') for y in (190, 310, 408)]

    parts += label(90, "close", "and the value of", "the holding")
    value = np.where(after_end, NAN, carried)
    parts += series(value, known, levels(value, 75, 90), BLUE)

    parts += label(235, f"sma(close, {WINDOW})", "of the symbol's", "own bars")
    parts += series(average, known, levels(average, 222, 65), MUTED)

    parts += label(338, "target", "decided on the close")
    ignored = ~known | (np.arange(len(close)) == LAST_BAR)  # no later bar can fill the decision of the last bar
    for bar, target in enumerate(TARGET):
        shade = MUTED if ignored[bar] else INK
        parts.append(text(x_of(bar), 352, str(target), shade, size=14))
        if ignored[bar]:
            parts.append(line(x_of(bar) - 8, 347, x_of(bar) + 8, 347, f'stroke="{ORANGE}" stroke-width="1.5"'))
    parts.append(text(end + 8, 352, "crossed out:", ORANGE, "start", 10))
    parts.append(text(end + 8, 364, "ignored", ORANGE, "start", 10))
    held = result.exposure > 0
    for bar in np.flatnonzero(held):
        parts.append(
            f'<rect x="{x_of(bar) - STEP / 2:g}" y="378" width="{STEP}" height="16" fill="{BLUE}" fill-opacity="0.8"/>'
        )
    for bar, words in zip(np.flatnonzero(result.orders), ("buy", "sell"), strict=True):
        parts.append(text(x_of(bar) - STEP / 2 + 4, 374, words, BLUE, "start", 11, 'font-weight="600"'))
    parts += label(391, "held")

    parts += label(450, "return", "of each bar,", "after costs")
    zero, scale = 505, 55 / result.returns.max()
    parts.append(line(LEFT, zero, end, zero, f'stroke="{MUTED}"'))
    for bar, value_of_bar in enumerate(result.returns):
        top, color = min(zero, zero - value_of_bar * scale), BLUE if value_of_bar >= 0 else ORANGE
        size = abs(value_of_bar) * scale
        parts.append(f'<rect x="{x_of(bar) - 12:g}" y="{top:.1f}" width="24" height="{size:.1f}" fill="{color}"/>')
        shown = "0" if value_of_bar == 0 else f"{100 * value_of_bar:+.1f} %"
        parts.append(text(x_of(bar), zero + 32 if value_of_bar < 0 else top - 6, shown, MUTED, size=10))
    first_after = int(np.flatnonzero(np.diff(known.astype(int)) == 1)[0]) + 1
    gain = f"{close[first_after]:g} / {carried[first_after - 1]:g} - 1"
    parts.append(text(x_of(first_after), zero - 55 - 20, gain, INK, size=10))
    parts.append(text(x_of(LAST_BAR + 1), zero + 18, "the fee", INK, size=10))
    for bar, day in enumerate(np.datetime_as_string(bundle.index, unit="D")):
        parts.append(text(x_of(bar), 566, day[8:].lstrip("0") + (" March" if bar == 0 else ""), MUTED, size=11))
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture())
