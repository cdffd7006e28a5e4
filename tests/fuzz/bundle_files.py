"""Price files: valid, unusual and damaged CSV, Parquet, Feather and bundle files, and folders of them."""

import gzip
import hashlib
import io
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from rbt_ray.data import sources
from rbt_ray.data.arrow_file import DIGEST, HEAD
from rbt_ray.data.bundle import Bundle
from tests.fuzz.hostile import NUMBERS, TEXTS, VALUES, damaged, refused

_DATES = st.one_of(
    st.dates().map(str),
    st.integers(1, 28).map(lambda day: f"2020-02-{day:02}"),
    st.integers(1, 28).map(lambda day: f"2020-02-{day:02}T09:30:00+01:00"),
    st.sampled_from(["0001-01-01", "9999-12-31", "20200230", "2020-02-30", "1677-09-21", "2262-04-12", "NaT", "now"]),
    st.sampled_from(["1e9", "12", "-1", "2020", "2020-W01-1", "2020-01-01T00:00:00Z", "24:00", "2020-01-01T24:00"]),
    TEXTS,
)
_CELLS = st.one_of(
    st.floats(1, 100).map(repr),
    st.floats(1, 100).map(repr),
    NUMBERS.map(repr),
    TEXTS,
    st.sampled_from(["1e999", "-", "0x1F", "1_000", "1,5"]),
)
_COLUMNS = st.one_of(
    st.sampled_from(
        ["date", "timestamp", "symbol", "open", "high", "low", "close", "volume", "Close", "AAPL", "", "x"]
    ),
    TEXTS,
)


def _quoted(cell):
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n\r') else cell


@st.composite
def _csv(draw):
    if draw(st.booleans()):
        header = draw(
            st.sampled_from([["date", "close"], ["date", "symbol", "close", "volume"], ["date", "AAPL", "MSFT"]])
        )
    else:
        header = draw(st.lists(_COLUMNS, min_size=1, max_size=6))
    strange = draw(st.booleans())
    rows = []
    for day in range(draw(st.integers(0, 6))):
        row = []
        for name in header:
            sound = {"date": f"2020-01-{day + 1:02}", "symbol": "ABC"}.get(name, "10.5")
            hostile = _DATES if name == "date" else _CELLS
            row.append(draw(hostile) if strange and draw(st.integers(0, 3)) == 0 else sound)
        if strange and draw(st.integers(0, 9)) == 0:
            row = row[:-1] if draw(st.booleans()) else [*row, "1"]
        rows.append(row)
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    text = end.join(",".join(map(_quoted, row)) for row in [header, *rows])
    return (text + end).encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"])), "surrogatepass")


_MOMENTS = [
    pa.date32(),
    pa.date64(),
    *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    pa.timestamp("us", "UTC"),
]
_KINDS = st.sampled_from(
    [
        pa.float64(),
        pa.float32(),
        pa.float16(),
        pa.int64(),
        pa.uint64(),
        pa.int8(),
        pa.bool_(),
        pa.string(),
        pa.binary(),
        pa.large_string(),
        pa.decimal128(38, 10),
        pa.duration("ns"),
        pa.time64("ns"),
        pa.null(),
        *_MOMENTS,
        pa.list_(pa.float64()),
        pa.struct([("a", pa.int32())]),
        pa.dictionary(pa.int32(), pa.string()),
        pa.list_(pa.float64(), 2),
        pa.map_(pa.string(), pa.int32()),
    ]
)


@st.composite
def _tables(draw):
    """Tables with a column of dates, mostly, and others of any type."""
    n = draw(st.integers(0, 5))
    columns = {}
    if draw(st.integers(0, 4)):
        kind = draw(st.sampled_from([*_MOMENTS, pa.string(), pa.int64()]))
        columns["date"] = (
            pa.array([f"2020-01-{i + 1:02}" for i in range(n)], pa.string())
            if kind == pa.string()
            else (
                pa.array(range(n), pa.int64())
                if kind == pa.int64()
                else pa.array(draw(_int_days(n, kind)), pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
            )
        )
    if draw(st.integers(0, 4)):
        columns["symbol"] = pa.array(["ABC"] * n)
    columns["close"] = pa.array([10.5] * n)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(_COLUMNS).encode("utf-8", "replace").decode()
        columns[name] = _any_array(draw(_KINDS), n)
    table = pa.table(columns)
    if draw(st.booleans()):
        table = table.replace_schema_metadata({b"pandas": draw(st.binary(max_size=20)), b"rbt_ray.bundle": b"{}"})
    return table


def _int_days(n, kind):
    step = {"day": 1, "ms": 86_400_000, "s": 86_400, "us": 86_400_000_000, "ns": 86_400_000_000_000}
    unit = step["day"] if kind == pa.date32() else step[getattr(kind, "unit", "ms")]
    sound = st.just([18_262 * unit + i * unit for i in range(n)])
    bits = 31 if kind == pa.date32() else 63
    strange = st.lists(st.integers(-(2**bits), 2**bits - 1), min_size=n, max_size=n)
    return st.one_of(sound, sound, strange)


def _any_array(kind, n):
    """An array of any type: its nulls, and where they can be had its zeros."""
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pa.array(np.ones(n), pa.float64()).cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return pa.array(["7"] * n, pa.string()).cast(kind)
    return pa.nulls(n, kind)


def _parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file, compression="none" if table.num_columns % 2 else "snappy")
    return file.getvalue()


def _feather(table):
    file = io.BytesIO()
    compression = None if table.num_columns % 2 else "lz4"
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return file.getvalue()


def _bundle_bytes():
    path = _folder / "sound.arrow"
    closes = np.linspace(10, 20, 12).reshape(6, 2)
    index = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    Bundle.from_arrays({"close": closes, "volume": closes}, index, ["A", "B"]).save(path)
    return path.read_bytes()


_folder = Path(tempfile.mkdtemp(prefix="rbt-fuzz-"))
_SOUND_BUNDLE = _bundle_bytes()


def _written(table, write):
    try:
        return write(table)
    except (pa.ArrowException, NotImplementedError):  # Parquet has no word for some types
        return b""


@st.composite
def _bundles_with_other_heads(draw):
    """A bundle with a wrong head and a correct digest, which anyone can compute."""
    with pa.ipc.open_file(io.BytesIO(_SOUND_BUNDLE)) as file:
        batch, head = file.get_batch(0), json.loads(file.schema.metadata[HEAD])
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from(sorted(head)))
        head[key] = draw(
            st.one_of(VALUES, st.just({}), st.just([]), st.just(None), st.sampled_from(["A", ["A"], ["A", 1]]))
        )
    raw = json.dumps(head).encode()
    file = io.BytesIO()
    schema = batch.schema.with_metadata({HEAD: raw, DIGEST: hashlib.sha256(raw).hexdigest().encode()})
    with pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return file.getvalue()


_parquets = _tables().map(lambda table: _written(table, _parquet))
_feathers = _tables().map(lambda table: _written(table, _feather))
_bundles = st.just(_SOUND_BUNDLE)
CASES = st.one_of(
    st.tuples(st.just("x.csv"), _csv()),
    st.tuples(st.just("folder/x.csv"), _csv()),
    st.tuples(st.sampled_from(["x.csv", "folder/x.csv"]), damaged(_csv())),
    st.tuples(st.just("x.csv.gz"), damaged(_csv().map(gzip.compress))),
    st.tuples(st.sampled_from(["x.parquet", "x.pq"]), _parquets),
    st.tuples(st.just("x.parquet"), damaged(_parquets)),
    st.tuples(st.sampled_from(["x.feather", "x.arrow", "x.ipc"]), _feathers),
    st.tuples(st.sampled_from(["x.feather", "x.arrow"]), damaged(_feathers)),
    st.tuples(st.just("x.arrow"), damaged(_bundles)),
    st.tuples(st.just("x.arrow!"), damaged(_bundles)),
    st.tuples(st.sampled_from(["x.arrow", "x.arrow!"]), _bundles_with_other_heads()),
    st.tuples(
        st.sampled_from(["x.csv", "x.csv.gz", "x.parquet", "x.feather", "x.arrow", "x.txt"]), st.binary(max_size=80)
    ),
)


def check(case):
    name, content = case
    shutil.rmtree(_folder / "folder", ignore_errors=True)
    (_folder / "folder").mkdir()
    path = _folder / name.rstrip("!")
    path.write_bytes(content)
    source = path.parent if name.startswith("folder/") else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.endswith("!"):  # as workers do, without a look at what it holds
            return refused(lambda: _use(Bundle.open(path)))
        return refused(lambda: _use(sources.read_bundle(source)))


def _use(bundle):
    """Ingests the file as the command does."""
    assert repr(bundle)
    assert bundle.view(1).close.shape == (1, bundle.n_symbols)
    assert not any(bundle[field].flags.writeable for field in bundle.fields)
    bundle.save(_folder / "again.arrow")
    assert Bundle.open(_folder / "again.arrow", verify=True) == bundle
