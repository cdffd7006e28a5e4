"""GOOG as backtesting.py packages it, and the grid for it."""

FAST, SLOW = tuple(range(5, 25)), tuple(range(30, 130, 2))
FEE = 0.001


def frame():
    from backtesting.test import GOOG

    return GOOG


def long_frame():
    prices = frame().rename(columns=str.lower).rename_axis("date").reset_index()
    return prices.assign(symbol="GOOG")
