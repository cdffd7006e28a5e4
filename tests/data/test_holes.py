"""Symbols that pause are named: to who begins a study, and by the doctor."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.data.holes import described, holes

NAN = np.nan


def bundle_of(*columns):
    close = np.array(columns, float).T
    index = np.datetime64("2020-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays({"close": close}, index, [f"S{i}" for i in range(close.shape[1])])


def test_late_listings_and_ends_are_no_holes():
    bundle = bundle_of([NAN, NAN, 1, 2, 3], [1, 2, 3, NAN, NAN], [1, NAN, NAN, 2, NAN], [NAN] * 5)
    assert holes(bundle) == {"S2": 2}
    assert holes(rbt.load_bundle("sample")) == {}


def test_the_most_come_first_and_many_are_counted():
    found = {f"S{i}": i + 1 for i in range(8)}
    assert described(found) == "bars without a close: S7 8, S6 7, S5 6, S4 5, S3 4 and 3 others"


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
        assert "S0 100. Holdings are carried over them" in said[0]
        assert caught[0].filename == __file__


def test_the_doctor_names_them(tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path))
    (tmp_path / "prices.csv").write_text(
        "date,symbol,close\n2020-01-01,A,1\n2020-01-01,B,3\n2020-01-02,B,1\n2020-01-03,A,2\n2020-01-03,B,3\n"
    )
    rbt.ingest("paused", tmp_path / "prices.csv")
    code = "from rbt_ray.cli.doctor import _bundles; print(_bundles())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "paused (bars without a close: A 1)" in done.stdout
