"""Reads prices from a folder of CSV files, a file or a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rbt_ray.data import backtester_bundle, csv_file, frames, series, table_file
from rbt_ray.data.bundle import Bundle
from rbt_ray.data.series import Origin, Series, Source
from rbt_ray.errors import BundleError

_CSV = (".csv", ".csv.gz")
_BAR_LENGTHS = ("daily", "minute")
"""The folders of zipline's csvdir."""
_TABLES = (".parquet", ".pq", ".feather", ".arrow", ".ipc")


def read_bundle(
    source: Any,
    *,
    fix: str | Iterable[str] = (),
    periods_per_year: float | None = None,
    symbol: str | None = None,
    listed_until: Mapping[str, Any] | None = None,
) -> Bundle:
    """Returns the unnamed bundle of a source.

    The arguments are those of `registry.ingest`, and `symbol`, the symbol of a frame or file of one ticker that does not name
    it.

    Raises:
        BundleError: the data is invalid; the message names file, symbol and row.
    """
    fixes = series.parse_fixes(fix)
    read = _path(Path(source).expanduser(), symbol) if isinstance(source, str | Path) else source
    if isinstance(read, Bundle):
        if periods_per_year is None and listed_until is None:
            return read
        arrays = {field: read[field] for field in read.fields}
        return Bundle.from_arrays(
            arrays,
            read.index,
            read.symbols,
            tz=read.tz,
            periods_per_year=read.periods_per_year if periods_per_year is None else periods_per_year,
            metadata=read.metadata,
            listed_until=read.listed_until if listed_until is None else listed_until,
        )
    if _is_vectorbt(read):
        read = _vectorbt(read)
    found = read if isinstance(read, Source) else frames.read(read, symbol)
    made = found.content(fixes=fixes, periods_per_year=periods_per_year, listed_until=listed_until)
    return Bundle(made, None, found.notes)


def _path(path: Path, symbol: str | None) -> Source | Bundle:
    if path.is_dir():
        ingested = backtester_bundle.newest(path)
        return _folder(path) if ingested is None else backtester_bundle.read(ingested)
    if not path.is_file():  # reading a device may never end
        raise BundleError(f"There is no file or folder `{path}`. Check the path.")
    notes = {"source": str(path.resolve())}
    if _stem(path) is not None:
        frame, lines = csv_file.read(path, first_is_date=False)
        origin = Origin(path.name, lines=True)
        return frames.table(
            frame, origin, lines, any_order=False, symbol=frames.only_symbol(frame, symbol), notes=notes
        )
    suffix = path.suffix.lower()
    if suffix not in _TABLES:
        raise BundleError(
            f"`{path.name}` is a kind of file that cannot be read. A source is a folder of CSV files, one for each symbol, "
            f"or a file that ends in {', '.join((*_CSV, *_TABLES))}."
        )
    if suffix == ".arrow" and _is_bundle(path):
        return Bundle.open(path, verify=True)
    frame = table_file.read(path)
    return frames.table(
        frame, Origin(path.name), any_order=False, symbol=frames.only_symbol(frame, symbol), notes=notes
    )


def _is_vectorbt(source: Any) -> bool:
    """Whether it is vectorbt data, such as `vbt.YFData`; does not import vectorbt."""
    return any(kind.__name__ == "Data" and kind.__module__.startswith("vectorbt.") for kind in type(source).__mro__)


def _vectorbt(data: Any) -> Source:
    """Returns the series of vectorbt data, which has a frame of fields or a series of closes for each symbol."""
    series: list[Series] = []
    for symbol, prices in data.data.items():
        frame = (prices.to_frame("close") if prices.ndim == 1 else prices).dropna(how="all")
        origin = Origin(f"the vectorbt data of {symbol}")
        series += frames.table(frame, origin, any_order=True, symbol=str(symbol)).series
    return Source(series, any_order=True, notes={})


def _is_bundle(path: Path) -> bool:
    import pyarrow as pa

    from rbt_ray.data.arrow_file import HEAD

    try:
        return HEAD in (pa.ipc.open_file(str(path)).schema.metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _stem(path: Path) -> str | None:
    """Returns the name of a CSV file without its ending; None for other files."""
    for ending in _CSV:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return None


def _folder(path: Path) -> Source:
    """Reads a folder with a CSV file for each symbol, or with one folder `daily` or `minute` of such files: zipline's csvdir.

    The file's name is the symbol; the columns are a date, open, high, low, close, volume and any others. Columns
    `dividend` and `split` become fields and do not adjust prices.
    """
    folder = path
    files = _csv_files(folder)
    if not files:
        deeper = [name for name in _BAR_LENGTHS if (path / name).is_dir()]
        if len(deeper) > 1:
            raise BundleError(
                f"`{path}` has folders {' and '.join(deeper)}. Name the one to use: `{path / deeper[0]}`."
            )
        if deeper:
            folder = path / deeper[0]
            files = _csv_files(folder)
    if not files:
        raise BundleError(f"`{folder}` has no CSV files. A folder of prices has one for each symbol, such as AAPL.csv.")
    series: dict[str, Series] = {}
    for symbol, file in files:
        if symbol in series:
            raise BundleError(f"`{folder}` has two files for {symbol}: {file.name} and {series[symbol].origin.name}.")
        frame, lines = csv_file.read(file, first_is_date=True)
        origin = Origin(file.name, lines=True)
        series[symbol] = frames.table(frame, origin, lines, any_order=False, symbol=symbol).series[0]
    return Source(list(series.values()), any_order=False, notes={"source": str(folder.resolve())})


def _csv_files(folder: Path) -> list[tuple[str, Path]]:
    files = ((_stem(file), file) for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted((stem, file) for stem, file in files if stem)
