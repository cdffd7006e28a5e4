"""Draws timing.svg, when weights are decided and filled, from a backtest of five bars: `python -m docs.images.timing`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import rbt_ray as rbt
from docs.images.missing_bars import BLUE, HOLE, INK, MUTED, ORANGE, RULE, dot, levels, line, text

OPEN, CLOSE = [100, 101, 104, 108, 106], [100, 102, 106, 107, 105]
WEIGHTS = [0, 1, 1, 0, 0]
DAYS = np.arange("2024-03-04", "2024-03-09", dtype="datetime64[D]")
LEFT, STEP, WIDTH, HEIGHT = 100, 124, 740, 330
TOP, TALL, DECIDED, RETURNS = 66, 120, 236, 300


def run() -> rbt.Backtest:
    """Returns the backtest of the weights with the default execution, fills at the next open."""
    prices = {"open": np.array(OPEN, float)[:, None], "close": np.array(CLOSE, float)[:, None]}
    return rbt.backtest(rbt.Bundle.from_arrays(prices, DAYS, ["A"]), np.array(WEIGHTS, float)[:, None])


def picture() -> str:
    """Returns the SVG."""
    backtest = run()
    opens = [LEFT + STEP * bar + 24 for bar in range(len(OPEN))]
    closes = [x + 76 for x in opens]
    y = levels(np.array([OPEN, CLOSE], float), TOP, TALL)
    bought, sold = np.flatnonzero(backtest.orders)
    parts = [
        f'<rect x="{opens[bought]}" y="{TOP - 26}" width="{opens[sold] - opens[bought]}" height="{TALL + 52}" fill="{HOLE}"/>',
        text((opens[bought] + opens[sold]) / 2, TOP + TALL + 18, "held", MUTED),
        *(text(12, at, words, MUTED, "start") for at, words in ((DECIDED + 4, "weight"), (RETURNS + 4, "return"))),
        text(12, TOP + TALL / 2, "○ open  ● close", MUTED, "start"),
    ]
    for bar, day in enumerate(DAYS):
        middle, here = (opens[bar] + closes[bar]) / 2, y[:, bar]
        parts.append(text(middle, 20, str(day), MUTED))
        parts.append(line(opens[bar], here[0], closes[bar], here[1], f'stroke="{INK}" stroke-width="1.6"'))
        if bar:
            gap = f'stroke="{MUTED}" stroke-dasharray="3 3"'
            parts.append(line(closes[bar - 1], y[1, bar - 1], opens[bar], here[0], gap))
        for x, at, price in ((opens[bar], here[0], OPEN[bar]), (closes[bar], here[1], CLOSE[bar])):
            parts += [dot(x, at, INK, solid=x == closes[bar]), text(x, at - 10, str(price), INK)]
        parts.append(text(closes[bar], DECIDED + 4, str(WEIGHTS[bar]), BLUE, more='font-weight="600"'))
        parts.append(line(closes[bar], here[1] + 8, closes[bar], DECIDED - 12, f'stroke="{RULE}"'))
        parts.append(text(middle, RETURNS + 4, f"{backtest.returns[bar]:+.2%}", INK))
    for bar, words in ((bought, "buys at"), (sold, "sells at")):
        style = f'stroke="{ORANGE}" stroke-width="1.6"'
        parts.append(line(closes[bar - 1] + 8, DECIDED - 4, opens[bar], y[0, bar] + 8, style))
        parts.append(text(opens[bar] + 8, DECIDED + 22, f"{words} {OPEN[bar]}", ORANGE))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    (Path(__file__).parent / "timing.svg").write_text(picture())
