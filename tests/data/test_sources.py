from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.feather
import pytest

import rbt_ray as rbt
from rbt_ray.errors import BundleError


def test_a_folder_of_files_equals_the_frame_they_came_from(home, long_frame, csv_folder):
    folder = csv_folder(long_frame)
    (folder / "README.txt").write_text("not prices")
    (folder / "._A.csv").write_bytes(b"\x00\x05\x16")
    bundle = rbt.ingest("p", folder)
    assert bundle == rbt.Bundle.from_frame(long_frame)
    assert (bundle.name, bundle.metadata["source"]) == ("p", str(folder))
    assert bundle.path is not None


@pytest.mark.parametrize("length", ["daily", "minute"])
def test_the_folders_of_csvdir_are_found(home, long_frame, csv_folder, length):
    folder = csv_folder(long_frame, f"root/{length}").parent
    assert rbt.ingest("p", folder) == rbt.Bundle.from_frame(long_frame)


def test_csvdir_columns_become_fields_and_any_first_column_is_the_date(home, tmp_path):
    (tmp_path / "BRK.B.csv").write_text("Day,close,dividend,split\n2020-01-01,7,0,1\n2020-01-02,1,0.5,7\n")
    (tmp_path / "NA.csv").write_text("date,close\n\n2020-01-02,\n2020-01-03,5\n\n")
    (tmp_path / "x").mkdir()
    bundle = rbt.ingest("p", tmp_path)
    assert (bundle.symbols, bundle.fields) == (("BRK.B", "NA"), ("close", "dividend", "split"))
    np.testing.assert_array_equal(bundle.close, [[7, np.nan], [1, np.nan], [np.nan, 5]])
    np.testing.assert_array_equal(bundle["split"], [[1, np.nan], [7, np.nan], [np.nan, np.nan]])


def _write(frame, path):
    ending = "".join(path.suffixes)
    if ending == ".csv":
        frame.to_csv(path, index=False)
    elif ending == ".csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif ending in (".parquet", ".pq"):
        frame.to_parquet(path)
    elif ending == ".ipc":
        pl.from_pandas(frame).write_ipc(path)
    else:
        pyarrow.feather.write_feather(frame, str(path))
    return path


ENDINGS = [".csv", ".csv.gz", ".parquet", ".pq", ".feather", ".arrow", ".ipc"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_long_file(home, tmp_path, long_frame, ending):
    expected = rbt.Bundle.from_frame(long_frame)
    assert rbt.ingest("p", _write(long_frame, tmp_path / f"by_date{ending}")) == expected
    by_symbol = long_frame.sort_values(["symbol", "date"], ignore_index=True)
    assert rbt.ingest("p", str(_write(by_symbol, tmp_path / f"by_symbol{ending}"))) == expected


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_wide_file(home, tmp_path, long_frame, ending):
    closes = long_frame.pivot(index="date", columns="symbol", values="close")
    path = _write(closes.reset_index().rename_axis(columns=None), tmp_path / f"wide{ending}")
    assert rbt.ingest("p", path) == rbt.Bundle.from_frame(closes)


def test_default_files_of_pandas_are_read(home, tmp_path, long_frame):
    long_frame.to_csv(tmp_path / "counted.csv")  # the row numbers become a column without a heading
    assert rbt.ingest("p", tmp_path / "counted.csv") == rbt.Bundle.from_frame(long_frame)
    closes = long_frame.pivot(index="date", columns="symbol", values="close").rename_axis(index=None)
    closes.to_csv(tmp_path / "wide.csv")  # and so do the dates
    assert rbt.ingest("p", tmp_path / "wide.csv") == rbt.Bundle.from_frame(closes)
    wide = long_frame.pivot(index="date", columns="symbol", values=["close", "volume"])
    wide.to_parquet(tmp_path / "wide.parquet")
    assert rbt.ingest("p", tmp_path / "wide.parquet") == rbt.Bundle.from_frame(wide)


def test_symbols_that_look_like_something_else_stay_text(home, tmp_path):
    (tmp_path / "odd.csv").write_text("date,symbol,close\n20200101,NA,1\n20200101,0700,2\n20200101,TRUE,3\n")
    assert rbt.ingest("p", tmp_path / "odd.csv").symbols == ("0700", "NA", "TRUE")


def test_other_encodings_of_text_and_line_ends(home, tmp_path):
    (tmp_path / "A.csv").write_bytes(b"\xef\xbb\xbfdate,close\r\n2020-01-01,1\r\n2020-01-02,2\r\n")
    np.testing.assert_array_equal(rbt.ingest("p", tmp_path).close, [[1], [2]])


@pytest.mark.parametrize("fix", ["sort", ("sort",), ["sort", "drop-duplicates"]])
def test_sorting_is_a_fix(home, long_frame, csv_folder, fix):
    folder = csv_folder(long_frame.iloc[::-1])
    with pytest.raises(
        BundleError, match=r"A\.csv, symbol A, row 3, .*before that of the row above \(and 28 more such rows\)"
    ):
        rbt.ingest("p", folder)
    assert rbt.ingest("p", folder, fix=fix) == rbt.Bundle.from_frame(long_frame)


def test_dropping_equal_rows_is_a_fix_and_choosing_between_others_is_not(home, long_frame, csv_folder):
    twice = pd.concat([long_frame, long_frame.iloc[[3, 7]]]).sort_values(["date", "symbol"])
    expected = rbt.Bundle.from_frame(long_frame)
    folder = csv_folder(twice)
    with pytest.raises(BundleError, match=r"repeats row .*--fix drop-duplicates"):
        rbt.ingest("p", folder)
    assert rbt.ingest("p", folder, fix="drop-duplicates") == expected
    assert rbt.ingest("p", twice, fix="drop-duplicates") == expected
    assert rbt.ingest("p", csv_folder(twice.iloc[::-1], "other"), fix=("sort", "drop-duplicates")) == expected
    differing = twice.assign(volume=np.arange(len(twice)))
    with pytest.raises(
        BundleError, match=r"with other values.* Remove the wrong one; no fix can know which one that is"
    ):
        rbt.ingest("p", differing, fix=("sort", "drop-duplicates"))


def test_an_unknown_fix_lists_those_there_are(home, long_frame):
    with pytest.raises(BundleError, match=r"`fix` has no 'guess'. It may be 'sort': put .*; 'drop-duplicates': keep"):
        rbt.ingest("p", long_frame, fix=("sort", "guess"))


def test_a_long_file_must_ascend_symbol_by_symbol(home, tmp_path, long_frame):
    frame = long_frame.copy()
    frame.iloc[[10, 25]] = frame.iloc[[25, 10]].to_numpy()
    path = _write(frame, tmp_path / "p.csv")
    with pytest.raises(BundleError, match=r"p\.csv, symbol ., row \d+, .*before that of the row above"):
        rbt.ingest("p", path)
    assert rbt.ingest("p", path, fix="sort") == rbt.Bundle.from_frame(long_frame)


def test_a_bundle_and_a_saved_bundle_are_sources(home, tmp_path, small):
    assert rbt.ingest("p", small) == small
    assert rbt.load_bundle("p").metadata == {"source": "made up"}
    small.save(tmp_path / "b.arrow")
    assert rbt.ingest("q", tmp_path / "b.arrow") == small
    faster = rbt.ingest("p", small, periods_per_year=7)
    assert faster.periods_per_year == 7
    np.testing.assert_array_equal(faster.close, small.close)


def test_invalid_sources_are_refused(home, tmp_path):
    with pytest.raises(BundleError, match="There is no file or folder"):
        rbt.ingest("p", tmp_path / "none")
    with pytest.raises(BundleError, match=r"has no CSV files. A folder of prices has one for each symbol"):
        rbt.ingest("p", tmp_path)
    for length in ("daily", "minute"):
        (tmp_path / "both" / length).mkdir(parents=True)
    with pytest.raises(BundleError, match=r"has folders daily and minute\. Name the one to use"):
        rbt.ingest("p", tmp_path / "both")
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(BundleError, match=r"`p.xlsx` is a kind of file that cannot be read.*\.parquet"):
        rbt.ingest("p", tmp_path / "p.xlsx")
    for ending in (".parquet", ".feather", ".arrow"):
        (tmp_path / f"p{ending}").write_bytes(b"not what it says")
        with pytest.raises(BundleError, match=f"`p{ending}` cannot be read as {ending[1:]}"):
            rbt.ingest("p", tmp_path / f"p{ending}")
    (tmp_path / "A.csv").write_text("date,close\n2020-01-01,1\n")
    (tmp_path / "A.CSV.gz").write_bytes(gzip.compress(b"date,close\n2020-01-01,1\n"))
    with pytest.raises(BundleError, match=r"has two files for A: A\.(csv|CSV\.gz) and A\.(csv|CSV\.gz)\."):
        rbt.ingest("p", tmp_path)


DAYS = pd.date_range("2024-01-02", periods=4, freq="B")
FIELDS = ["Adj Close", "Close", "High", "Low", "Open", "Volume"]


def yfinance_like(tickers, order=("Price", "Ticker")):
    """Returns a frame like those of `yfinance.download`: columns of two named levels, NaN before a ticker is listed."""
    rng = np.random.default_rng(5)
    columns = {}
    for ticker in tickers:
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, len(DAYS))))
        values = [close * 0.9, close, close * 1.1, close * 0.9, close * 1.01, np.round(close * 1e5)]
        columns |= {(field, ticker): column for field, column in zip(FIELDS, values, strict=True)}
    frame = pd.DataFrame(columns, DAYS.rename("Date"))
    frame.columns = frame.columns.set_names(["Price", "Ticker"])
    if len(tickers) > 1:
        frame.loc[DAYS[:2], (slice(None), tickers[-1])] = np.nan
    frame = frame.sort_index(axis=1)
    return frame if order == ("Price", "Ticker") else frame.swaplevel(axis=1).sort_index(axis=1)


@pytest.mark.parametrize("order", [("Price", "Ticker"), ("Ticker", "Price")])
@pytest.mark.parametrize(
    ("tickers", "named"),
    # Only level names distinguish a stock called CLOSE from a field.
    [(["AAPL", "NEW"], True), (["AAPL", "NEW"], False), (["SPY"], True), (["SPY"], False), (["CLOSE", "OPEN"], True)],
)
def test_frames_of_yfinance_in_either_order(home, tickers, order, named):
    frame = yfinance_like(tickers, order)
    if not named:
        frame.columns = frame.columns.set_names([None, None])
    bundle = rbt.ingest("y", frame)
    assert bundle == rbt.Bundle.from_frame(frame)
    assert bundle.symbols == tuple(tickers)
    assert bundle.fields == ("open", "high", "low", "close", "volume", "Adj Close")
    by_price = yfinance_like(tickers)
    for field in FIELDS:
        ours = bundle[field if field == "Adj Close" else field.lower()]
        np.testing.assert_array_equal(ours, by_price[field][tickers])


def test_a_frame_of_one_ticker_takes_the_bundles_name(home):
    frame = yfinance_like(["SPY"])
    flat = frame.droplevel("Ticker", axis=1).tz_localize("America/New_York")  # like Ticker.history()
    bundle = rbt.ingest("SPY", flat)
    assert bundle.symbols == ("SPY",)
    assert bundle.tz == "America/New_York"
    np.testing.assert_array_equal(bundle.close[:, 0], frame["Close"]["SPY"])
    with pytest.raises(BundleError, match="no column `symbol`"):
        rbt.Bundle.from_frame(flat)


def test_data_of_vectorbt(home):
    import vectorbt as vbt

    frame = yfinance_like(["AAPL", "NEW"]).tz_localize("UTC")
    each = {ticker: frame.xs(ticker, axis=1, level="Ticker") for ticker in ("AAPL", "NEW")}
    bundle = rbt.ingest("v", vbt.Data.from_data(each, download_kwargs={}))
    assert bundle == rbt.Bundle.from_frame(frame)
    closes = vbt.Data.from_data({ticker: one["Close"] for ticker, one in each.items()}, download_kwargs={})
    of_closes = rbt.ingest("closes", closes)
    assert of_closes.fields == ("close",)
    np.testing.assert_array_equal(of_closes.close, bundle.close)
