"""`rbt.ingest` reads a bundle of zipline or RustyBT."""

import importlib

import engine_algorithms as algorithms
import engine_bundle as folder
import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt

pytestmark = pytest.mark.engine

THOUSANDTH = 0.0005
"""The backtester's file rounds prices to 0.001; unsplit shares are twice as dear, so that half of it counts."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("which", ["the ingestion", "the bundle"])
def test_its_prices_are_those_that_were_ingested(home, ingested, which):
    found = rbt.ingest("mine", ingested if which == "the ingestion" else ingested.parent)
    sample = rbt.load_bundle("sample")
    assert found.symbols == sample.symbols
    assert (found.index == sample.index).all()
    assert found.periods_per_year == sample.periods_per_year
    symbol, date, amount = folder.DIVIDEND
    column, before = sample.symbols.index(symbol), sample.index < np.datetime64(date)
    factor = np.ones((sample.n_bars, sample.n_symbols))
    factor[before, column] = 1 - amount / sample.close[before, column][-1]
    for name in ("open", "high", "low", "close"):
        # The dividend's factor follows from a rounded close of about 30: 3 * 0.0005 / 30**2.
        np.testing.assert_allclose(found[name], sample[name] * factor, rtol=2e-6, atol=THOUSANDTH * 1.01)
    # Volume before the split is halved and rounded down to whole shares: it loses less than two.
    np.testing.assert_allclose(found.volume, sample.volume, rtol=0, atol=2)


def test_its_prices_are_the_history_that_an_algorithm_sees_on_the_last_session(home, adapter, ingested, package):
    found = rbt.ingest("mine", ingested)
    objective = adapter.objective(initialize=algorithms.initialize, bundle=folder.NAME)
    opened = importlib.import_module("rbt_ray.adapters.trading_algorithm").open_bundle(
        objective.backtester, ingested, objective.files.version
    )
    assets = opened.portal.asset_finder.lookup_symbols(list(found.symbols), None)
    last = pd.Timestamp(found.index[-1])
    for field in ("open", "close", "volume"):
        seen = opened.portal.get_history_window(assets, last, found.n_bars, "1d", field, "daily").to_numpy()
        theirs = np.where(
            np.isnan(found.close), np.nan, seen
        )  # the engine returns 0, or an earlier price, for days without trades
        # The engine rounds to a thousandth after each adjustment.
        np.testing.assert_allclose(found[field], theirs, rtol=1e-4, atol=2 * THOUSANDTH if field != "volume" else 1)


def test_a_bundle_of_another_version_is_refused_in_a_sentence(home, tmp_path):
    (tmp_path / "old" / "daily_equities.bcolz").mkdir(parents=True)
    (tmp_path / "old" / "assets-3.sqlite").touch()
    with pytest.raises(
        ValueError, match=r"no installed package can read it\. Install the package and version that ingested it"
    ):
        rbt.ingest("mine", tmp_path / "old")
