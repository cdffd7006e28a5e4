"""Small files that claim huge contents are refused at once, before memory is allocated."""

import gzip
import re
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
    """Runs the command in a process that is limited to 1 GB."""
    env_home = str(tmp_path / "home")
    code = f"import os; os.environ['RBT_RAY_HOME'] = {env_home!r}\n{_CALL}"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=100)


def parquet(path):
    """A few kilobytes with a column that repeats one value 10^8 times."""
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
    path.write_bytes(gzip.compress(b"date,close\n") + gzip.compress(b"\0" * 2**24, 1) * 40)


def wide(path):
    path.write_text(",".join(map(str, range(100_002))) + "\n")


def sparse(path):
    """Every row another symbol on another bar: 20,000 rows that would take 20,000 x 20,000 places."""
    rows = (f"{1700 + day // 336}-{day // 28 % 12 + 1:02}-{day % 28 + 1:02},S{day},1.0" for day in range(20_000))
    path.write_text("date,symbol,close\n" + "\n".join(rows) + "\n")


def text_in_dictionaries(path):
    """A text of 100,000 characters in 400,000 rows: 40 GB once each row has its own."""
    codes = pa.array(np.zeros(400_000, np.int32))
    texts = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 100_000]))
    days = pa.DictionaryArray.from_arrays(codes, pa.array(["2020-01-01"]))
    table = pa.table({"date": days, "symbol": texts, "close": np.ones(400_000)})
    if path.suffix == ".parquet":
        pq.write_table(table, path, compression="zstd", store_schema=False)
    else:
        with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)


def text_in_prefixes(path):
    """Texts that repeat all but the last bytes of the one before them."""
    texts = pa.array([f"{'x' * 100_000}{row}" for row in range(1000)])
    for_each = {"use_dictionary": False, "column_encoding": {"symbol": "DELTA_BYTE_ARRAY"}}
    pq.write_table(pa.table({"symbol": texts, "close": np.ones(1000)}), path, compression="zstd", **for_each)


def text_compressed(path):
    """Two million texts of 300 characters, all the same, in one compressed buffer."""
    texts = pa.array(["x" * 300] * 2_000_000)
    with pa.ipc.new_file(path, schema := pa.schema([("symbol", pa.string())]), options=ZSTD) as writer:
        writer.write_batch(pa.record_batch([texts], schema=schema))


def text_in_views(path):
    """The same number of views of one long text, which is in the file once."""
    texts = pa.array(["x" * 100_000]).cast(pa.string_view())
    views = pa.py_buffer(texts.buffers()[1].to_pybytes() * 400_000)
    many = pa.Array.from_buffers(pa.string_view(), 400_000, [None, views, texts.buffers()[2]])
    with pa.ipc.new_file(path, schema := pa.schema([("symbol", pa.string_view())]), options=ZSTD) as writer:
        writer.write_batch(pa.record_batch([many], schema=schema))


def lists(path):
    pq.write_table(pa.table({"close": [[1.0] * 1000] * 1000}), path)


def long_line(path):
    with path.open("wb") as file:
        file.write(b"date,close\n2020-01-01,")
        file.writelines([b"1" * 2**20] * 300)


def long_heading(path):
    with path.open("wb") as file:
        file.writelines([b"a" * 2**20] * 300)


def a_million_columns(path):
    path.write_text("date," + ",".join(map(str, range(10**6))) + "\n2020-01-01" + ",1" * 10**6 + "\n")


ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")
FILES = {
    "text in dictionaries": (text_in_dictionaries, "x.parquet"),
    "text in dictionaries of Arrow": (text_in_dictionaries, "x.feather"),
    "text in prefixes": (text_in_prefixes, "x.parquet"),
    "text compressed": (text_compressed, "x.feather"),
    "text in views": (text_in_views, "x.feather"),
    "lists": (lists, "x.parquet"),
    "a long line": (long_line, "x.csv"),
    "a long heading": (long_heading, "x.csv"),
    "a million columns": (a_million_columns, "x.csv"),
    "parquet": (parquet, "x.parquet"),
    "feather": (feather, "x.feather"),
    "wide": (wide, "x.csv"),
    "sparse": (sparse, "x.csv"),
    "zeros": (zeros, "x.csv.gz"),
}


QUICK = ("parquet",)
"""The default run has these; each kind takes seconds, to be made and to be refused."""


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in QUICK)) for kind in FILES])
def test_files_that_speak_of_more_than_memory(tmp_path, kind):
    make, name = FILES[kind]
    make(tmp_path / name)
    done = call(tmp_path, "bundle", "ingest", "x", str(tmp_path / name))
    assert done.returncode == 2, done.stderr
    assert re.search(
        "would take .* of memory|columns|whose decoded size cannot be checked|has the type list", done.stderr
    ), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()
