"""The size of a table in memory is computed from its file before it is read; dictionary-encoded texts are read unchanged."""

import contextlib
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.arrow_messages import decompressed_bytes
from rbt_ray.data import table_file


def random_table(rng, n_rows):
    names = np.array(["AAPL", "MSFT", "a longer name of something", ""])
    columns = {
        "date": pd.date_range("2020-01-01", periods=n_rows, freq="min"),
        "symbol": pa.array(names[rng.integers(0, 4, n_rows)]),
        "of_few": pa.array(names[rng.integers(0, 4, n_rows)]).dictionary_encode(),
        "view": pa.array(names[rng.integers(0, 4, n_rows)]).cast(pa.string_view()),
        "close": pa.array(rng.normal(size=n_rows), mask=rng.random(n_rows) < 0.2),
        "volume": rng.integers(0, 9, n_rows),
    }
    kept = [name for name in columns if rng.random() < 0.7] or ["close"]
    return pa.table({name: columns[name] for name in kept})


def as_file(table, compression, rows_a_batch):
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=True)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows_a_batch)
    return sink.getvalue()


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("seed", range(8))
def test_decompressed_bytes_are_what_pyarrow_allocates(compression, seed):
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_rows := int(rng.integers(1, 3000)))
    data = as_file(table, compression, int(rng.integers(1, n_rows + 1)))
    with pa.ipc.open_file(data) as file:
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
    buffers = {}
    for batch in batches:
        for column in batch.columns:
            parts = [*column.buffers(), *(column.dictionary.buffers() if pa.types.is_dictionary(column.type) else [])]
            buffers |= {part.address: part.size for part in parts if part is not None}
    exact = sum(buffers.values())
    padding = 64 * len(batches) * 20  # each buffer of a batch begins at a multiple of 8 or 64 bytes
    assert exact - padding <= decompressed_bytes(data) <= exact + padding


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_has_a_size_or_is_refused(data):
    whole = bytearray(as_file(random_table(np.random.default_rng(1), 50), "zstd", 20))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (whole, whole[: data.draw(st.integers(0, len(whole)))]):
        with contextlib.suppress(ValueError):
            assert decompressed_bytes(bytes(damaged)) >= 0


@pytest.mark.parametrize("ending", ["parquet", "feather"])
@pytest.mark.parametrize("index", [None, ["date"], ["symbol", "date"]])
def test_texts_read_as_dictionaries_are_those_that_were_written(tmp_path, ending, index):
    frame = pd.DataFrame(
        {
            "date": ["2020-01-01", "2020-01-02", "2020-01-01"],
            "symbol": pd.Categorical(["B", "A", "A"]),
            "note": ["x", None, "x"],
            "close": [1.0, np.nan, 3.0],
        }
    )
    path = tmp_path / f"x.{ending}"
    if index is not None and ending == "feather":
        table = pa.Table.from_pandas(frame.set_index(index))
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        (frame if index is None else frame.set_index(index)).__getattribute__(f"to_{ending}")(path)
    found = table_file.read(path)
    found = found if index is None else found.reset_index()
    for name in frame:
        values = found[name].astype(object).where(found[name].notna(), None)
        wanted = frame[name].astype(object).where(frame[name].notna(), None)
        assert values.tolist() == wanted.tolist(), name


def test_a_file_of_many_row_groups_reads_whole(tmp_path):
    table = pa.table({"symbol": [f"S{row % 7}" for row in range(1000)], "close": np.arange(1000.0)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=90, use_dictionary=False)
    found = table_file.read(tmp_path / "x.parquet")
    assert found["symbol"].tolist() == table["symbol"].to_pylist()
    assert found["close"].tolist() == list(range(1000))
