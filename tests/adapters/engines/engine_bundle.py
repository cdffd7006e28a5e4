"""Ingests the embedded prices with zipline or RustyBT as their users do: registered, and written by their writers."""

import importlib
import os

import numpy as np
import pandas as pd

import rbt_ray as rbt

NAME = "embedded"
SPLIT = ("AAPL", "2005-02-28", 2.0)
"""A symbol, the first day after its split and how many shares one became."""
DIVIDEND = ("MSFT", "2004-11-15", 3.0)
"""A symbol, the day it trades without its dividend and the money a share."""
FIELDS = ("open", "high", "low", "close", "volume")


def ingest(package, root):
    """Ingests the bundle `NAME` below `root`, which becomes the package's root; returns its folder."""
    os.environ["ZIPLINE_ROOT"] = str(root)
    bundles = importlib.import_module(f"{package}.data.bundles")
    register(package)
    bundles.ingest(NAME, show_progress=False)
    (folder,) = (root / "data" / NAME).iterdir()
    return folder


def register(package):
    """Registers the bundle with the package, for `run_algorithm`."""
    sessions = pd.DatetimeIndex(rbt.load_bundle("sample").index)
    bundles = importlib.import_module(f"{package}.data.bundles")
    bundles.register(NAME, _write, calendar_name="XNYS", start_session=sessions[0], end_session=sessions[-1])


def _write(environ, assets, minutes, days, adjustments, *rest):
    sample = rbt.load_bundle("sample")
    frames = dict(enumerate(map(_frame, sample.symbols)))
    days.write(iter(frames.items()))
    starts, ends = ([frame.index[at] for frame in frames.values()] for at in (0, -1))
    equities = {"symbol": sample.symbols, "start_date": starts, "end_date": ends, "exchange": "NYSE"}
    exchanges = pd.DataFrame({"exchange": ["NYSE"], "canonical_name": ["NYSE"], "country_code": ["US"]})
    assets.write(equities=pd.DataFrame(equities), exchanges=exchanges)
    symbol, date, shares = SPLIT
    splits = {"sid": [sample.symbols.index(symbol)], "ratio": [1 / shares], "effective_date": [pd.Timestamp(date)]}
    symbol, date, amount = DIVIDEND
    dates = {name: [pd.Timestamp(date)] for name in ("ex_date", "declared_date", "record_date", "pay_date")}
    dividends = {"sid": [sample.symbols.index(symbol)], "amount": [amount], **dates}
    adjustments.write(splits=pd.DataFrame(splits), dividends=pd.DataFrame(dividends))


def _frame(symbol):
    """Returns a symbol's bars; those before the split are of unsplit shares."""
    sample = rbt.load_bundle("sample")
    column = sample.symbols.index(symbol)
    frame = pd.DataFrame({name: sample[name][:, column] for name in FIELDS}, index=pd.DatetimeIndex(sample.index))
    if symbol == SPLIT[0]:
        before = frame.index < SPLIT[1]
        frame.loc[before, ["open", "high", "low", "close"]] *= SPLIT[2]
        frame.loc[before, "volume"] = np.floor(frame.loc[before, "volume"] / SPLIT[2])
    return frame.dropna()
