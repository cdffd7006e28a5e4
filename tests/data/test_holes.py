"""A warning, `bundle ingest`, `bundle show` and the doctor name symbols with holes."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import rbt_ray as rbt
from rbt_ray.cli.main import app
from rbt_ray.data.holes import Coverage, coverage, describe

NAN = np.nan


def bundle_of(*columns):
    close = np.array(columns, float).T
    index = np.datetime64("2020-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays({"close": close}, index, [f"S{i}" for i in range(close.shape[1])])


def test_late_listings_and_ends_are_no_holes():
    bundle = bundle_of([NAN, NAN, 1, 2, 3], [1, 2, 3, NAN, NAN], [1, NAN, NAN, 2, NAN], [NAN] * 5)
    found = coverage(bundle)
    assert found["S0"] == Coverage(missing=0, listed=3, before=2, after=0)
    assert found["S1"] == Coverage(missing=0, listed=3, before=0, after=2)
    assert found["S2"] == Coverage(missing=2, listed=4, before=0, after=1)
    assert found["S3"] == Coverage(missing=0, listed=0, before=5, after=0)
    assert [bars.share for bars in found.values()] == [0, 0, 0.5, 0]
    assert describe(coverage(rbt.load_bundle("sample"))) == ""


@given(seed=st.integers(0, 10**6), n_bars=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_coverage_equals_pandas(seed, n_bars):
    rng = np.random.default_rng(seed)
    close = np.where(rng.random((n_bars, 4)) < rng.random(4), 1.0, NAN)
    close[rng.integers(n_bars), 0] = 1.0
    found = coverage(bundle_of(*close.T))
    for symbol, column in pd.DataFrame(close, columns=list(found)).items():
        first, last = column.first_valid_index(), column.last_valid_index()
        own = column.iloc[0:0] if first is None else column.loc[first:last]
        before = n_bars if first is None else first
        after = 0 if last is None else n_bars - 1 - last
        assert found[symbol] == Coverage(int(own.isna().sum()), len(own), before, after)
        assert found[symbol].share == (own.isna().mean() if len(own) else 0.0)


def test_the_largest_shares_come_first_and_the_others_are_counted():
    found = {f"S{i}": Coverage(i, 10 + i, 0, 0) for i in range(8)}
    assert describe(found) == (
        "bars without a close: S7 41.2 % (7 of 17), S6 37.5 % (6 of 16), S5 33.3 % (5 of 15), S4 28.6 % (4 of 14), "
        "S3 23.1 % (3 of 13) and 2 more symbols"
    )


@pytest.mark.parametrize("name", ["sample", "holed"])
def test_a_study_on_them_warns(name, tmp_path):
    bundle = rbt.load_bundle("sample") if name == "sample" else bundle_of([1, NAN, 2] * 100, [1, 2, 3] * 100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rbt.Tuner(
            rbt.objectives.sma_cross(),
            param_space={"fast": rbt.grid_search([2, 5]), "slow": 20},
            bundle=bundle,
            run_config=rbt.RunConfig(storage_path=tmp_path, name="s"),
        )
    said = [str(warning.message) for warning in caught if "without a close" in str(warning.message)]
    assert len(said) == (name == "holed")
    if said:
        assert "S0 33.3 % (100 of 300). Holdings are carried over these bars" in said[0]
        assert caught[0].filename == __file__


@pytest.fixture
def paused(tmp_path, monkeypatch):
    """Writes a file of two symbols and three bars; A has no price on the second."""
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    (tmp_path / "prices.csv").write_text(
        "date,symbol,close\n2020-01-01,A,1\n2020-01-01,B,3\n2020-01-02,B,1\n2020-01-03,A,2\n2020-01-03,B,3\n"
    )
    return tmp_path / "prices.csv"


def test_the_doctor_names_them(paused):
    rbt.ingest("paused", paused)
    code = "from rbt_ray.cli.doctor import _bundles; print(_bundles())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "paused (bars without a close: A 33.3 % (1 of 3))" in done.stdout


def test_the_commands_about_bundles_name_them(paused):
    ingested = CliRunner().invoke(app, ["bundle", "ingest", "paused", str(paused)])
    assert ingested.exit_code == 0
    assert ingested.stdout.splitlines()[-1] == "bars without a close: A 33.3 % (1 of 3)"
    shown = CliRunner().invoke(app, ["bundle", "show", "paused"])
    assert shown.stdout.splitlines()[-1].split("  ")[-1] == "A 33.3 % (1 of 3)"
    whole = CliRunner().invoke(app, ["bundle", "show", "sample"])
    assert whole.stdout.splitlines()[-1].split() == ["missing", "bars", "none"]


def test_the_json_of_a_bundle_has_every_symbol(paused):
    rbt.ingest("paused", paused)
    shown = json.loads(CliRunner().invoke(app, ["bundle", "show", "paused", "--json"]).stdout)
    assert shown["coverage"] == {
        "A": {"missing": 1, "listed": 3, "before": 0, "after": 0, "share_missing": pytest.approx(1 / 3)},
        "B": {"missing": 0, "listed": 3, "before": 0, "after": 0, "share_missing": 0.0},
    }
