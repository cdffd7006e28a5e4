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
{lack}()
for name, call in {calls}.items():
    try:
        exec(call)
    except ResourceError as error:
        print(name, error, sep=": ")
"""
WITHOUT_FILES = {
    "open a bundle": "rbt.load_bundle('sample')",
    "read a CSV file": "sources.read_bundle(folder / 'x.csv')",
    "read Parquet": "sources.read_bundle(folder / 'x.parquet')",
    "read Feather": "sources.read_bundle(folder / 'x.feather')",
    "ingest": "rbt.ingest('x', frame)",
}
WITHOUT_MEMORY = {
    "arrays": "rbt.Bundle.from_arrays({'close': np.broadcast_to(1.0, (10**7, 1))}, days, ['A'])",
}


@pytest.mark.parametrize(
    ("lack", "calls", "sentence"),
    [("no_files", WITHOUT_FILES, "ulimit -n"), ("no_memory", WITHOUT_MEMORY, "not enough memory")],
    ids=["no files", "no memory"],
)
def test_the_error_says_what_is_lacking(lack, calls, sentence):
    code = _CHILD.replace("{lack}", lack).replace("{calls}", repr(calls))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=170)
    for name in calls:
        messages = [line for line in done.stdout.splitlines() if line.startswith(f"{name}: ")]
        assert len(messages) == 1, done.stdout + done.stderr
        assert sentence in messages[0]
