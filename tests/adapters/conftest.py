"""Runs the examples of the documentation, and makes the frames to run a backtester alone."""

import os
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Runs an unchanged example in a new folder; returns its variables."""

    def run(name):
        here = Path.cwd()
        os.chdir(tmp_path_factory.mktemp(name))
        try:
            return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        finally:
            os.chdir(here)

    return run


@pytest.fixture(scope="session")
def sample():
    return rbt.load_bundle("sample")


@pytest.fixture(scope="session")
def ohlcv(sample):
    """Returns a symbol's frame for backtesting.py, up to a bar, of the bars with prices."""

    def make(symbol, n_bars=None):
        at = sample.symbols.index(symbol)
        columns = {name.capitalize(): np.array(sample[name][:n_bars, at]) for name in sample.fields}
        return pd.DataFrame(columns, pd.DatetimeIndex(sample.index[:n_bars])).dropna()

    return make


@pytest.fixture(scope="session")
def wide(sample):
    """Returns a field as a frame with a column for each symbol."""

    def make(name="close", n_bars=None):
        return pd.DataFrame(
            np.array(sample[name][:n_bars]), pd.DatetimeIndex(sample.index[:n_bars]), list(sample.symbols)
        )

    return make
