"""Failures of the operating system reach callers of the Python API as `ResourceError`, with what to do."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

_CHILD = """
import os, resource, tempfile
from pathlib import Path
import numpy as np, pandas as pd, psutil, pyarrow.parquet, pyarrow.feather
import rbt_ray as rbt
from rbt_ray.data import sources
from rbt_ray.errors import ResourceError
folder = Path(tempfile.mkdtemp())
frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=100), "A": np.arange(1.0, 101.0)})
frame.to_csv(folder / "x.csv", index=False)
frame.to_parquet(folder / "x.parquet")
frame.to_feather(folder / "x.feather")
days = np.arange(10**7).astype("M8[h]")
rbt.load_bundle("sample"), rbt.Bundle.from_frame(frame), sources.read_bundle(folder / "x.csv")  # everything is loaded

def no_files():
    while True:
        try:
            os.dup(0)
        except OSError:
            return

def no_memory():
    limit = psutil.Process().memory_info().vms + 2**26
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    {lack}()
    {call}
except ResourceError as error:
    print(error)
"""
CALLS = {
    "open a bundle": ("no_files", "rbt.load_bundle('sample')", "ulimit -n"),
    "read a CSV file": ("no_files", "sources.read_bundle(folder / 'x.csv')", "ulimit -n"),
    "read Parquet": ("no_files", "sources.read_bundle(folder / 'x.parquet')", "ulimit -n"),
    "read Feather": ("no_files", "sources.read_bundle(folder / 'x.feather')", "ulimit -n"),
    "ingest": ("no_files", "rbt.ingest('x', frame)", "ulimit -n"),
    "arrays": (
        "no_memory",
        "rbt.Bundle.from_arrays({'close': np.broadcast_to(1.0, (10**7, 1))}, days, ['A'])",
        "not enough memory",
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_the_error_says_what_is_lacking(what):
    lack, call, sentence = CALLS[what]
    code = _CHILD.replace("{lack}", lack).replace("{call}", call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert sentence in done.stdout, done.stdout + done.stderr
