"""Small files that speak of more than any machine holds are refused before it is asked for: with little memory, at once."""

import gzip
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")

_CALL = """
import resource, sys
from rbt_ray.cli import main, bundles
from rbt_ray.data import sources
from tests.fuzz.run import limit_memory
limit_memory(2**30)
sys.exit(main.run_command(sys.argv[1:]))
"""


def call(tmp_path, *words):
    """The command in a process of its own that gets 1 GB."""
    env_home = str(tmp_path / "home")
    code = f"import os; os.environ['RBT_RAY_HOME'] = {env_home!r}\n{_CALL}"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=100)


def parquet(path):
    """A column of one value, a hundred million times, in a few kilobytes."""
    table = pa.table({"close": pa.array(np.zeros(10**7))})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(table)


def feather(path):
    table = pa.table({"close": pa.array(np.zeros(10**7))})
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for _ in range(10):
            writer.write_table(table)


def zeros(path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"date,close\n")
        for _ in range(40):
            file.write(b"\0" * 2**24)


def wide(path):
    path.write_text(",".join(map(str, range(100_002))) + "\n")


def sparse(path):
    """Every row another symbol on another bar: 20,000 rows that would take 20,000 x 20,000 places."""
    rows = (f"{1700 + day // 336}-{day // 28 % 12 + 1:02}-{day % 28 + 1:02},S{day},1.0" for day in range(20_000))
    path.write_text("date,symbol,close\n" + "\n".join(rows) + "\n")


FILES = {
    "parquet": (parquet, "x.parquet"),
    "feather": (feather, "x.feather"),
    "wide": (wide, "x.csv"),
    "sparse": (sparse, "x.csv"),
    "zeros": (zeros, "x.csv.gz"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_speak_of_more_than_memory(tmp_path, kind):
    make, name = FILES[kind]
    make(tmp_path / name)
    done = call(tmp_path, "bundle", "ingest", "x", str(tmp_path / name))
    assert done.returncode == 2, done.stderr
    assert "memory" in done.stderr or "columns" in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()
