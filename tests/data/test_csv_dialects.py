"""CSV files of other programs give the values that pandas reads from them, or an error that says how to fix the file."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.data import sources
from rbt_ray.errors import BundleError

DAYS = [f"2024-01-{day:02}" for day in range(2, 12)]
RNG = np.random.default_rng(3)
CLOSE = np.round(50 + RNG.normal(size=10), 4)
VOLUME = RNG.integers(10**6, 10**7, 10)


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_semicolons_and_decimal_commas(tmp_path, separator, decimal, ending):
    frame = pd.DataFrame({"date": DAYS, "symbol": "A", "close": CLOSE, "volume": VOLUME})
    text = frame.to_csv(sep=separator, decimal=decimal, index=False)
    bundle = sources.read_bundle(write(tmp_path / f"x.{ending}", text))
    by_hand = pd.read_csv(io.StringIO(text), sep=separator, decimal=decimal)
    np.testing.assert_array_equal(bundle.close[:, 0], by_hand["close"])
    np.testing.assert_array_equal(bundle["volume"][:, 0], by_hand["volume"])
    assert bundle.index.astype("datetime64[D]").astype(str).tolist() == DAYS


def test_a_folder_with_semicolons(tmp_path):
    for name in ("A", "B"):
        text = pd.DataFrame({"day": DAYS, "close": CLOSE}).to_csv(sep=";", decimal=",", index=False)
        write(tmp_path / f"{name}.csv", text)
    bundle = sources.read_bundle(tmp_path)
    np.testing.assert_array_equal(bundle.close, np.column_stack([CLOSE, CLOSE]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("date;A\n2024-01-02;1,5\n2024-01-03;2.5\n", "row 3: `A` is '2.5', and other numbers have a decimal comma"),
        ("date;A;B\n2024-01-02;1,5;2.500\n", "row 2: `B` is '2.500', and other numbers have a decimal comma"),
        ("date;A\n2024-01-02;1.234,5\n", "'1.234,5', which is not a number"),
        ("date;A\n2024-01-02;1,500\n2024-01-03;2,125\n", "may be a decimal comma or separate thousands"),
        ("date,A\n2024-01-02,1,5\n", "a decimal comma need another separator, such as a semicolon"),
    ],
)
def test_inconsistent_files_are_refused(tmp_path, text, sentence):
    with pytest.raises(BundleError) as caught:
        sources.read_bundle(write(tmp_path / "x.csv", text))
    assert sentence in str(caught.value)


FIELDS = ["Close", "High", "Low", "Open", "Volume"]


def yfinance(tickers, name="Date", days=DAYS):
    """Returns a frame like those of `yfinance.download`."""
    columns = {}
    for number, ticker in enumerate(tickers):
        close = CLOSE[: len(days)] + number
        values = [close, close * 1.1, close * 0.9, close, VOLUME[: len(days)]]
        columns |= {(field, ticker): value for field, value in zip(FIELDS, values, strict=True)}
    frame = pd.DataFrame(columns, pd.DatetimeIndex(days, name=name)).sort_index(axis=1)
    frame.columns = frame.columns.set_names(["Price", "Ticker"])
    return frame


@pytest.mark.parametrize("tickers", [["AAPL"], ["AAPL", "MSFT", "NA"]])
@pytest.mark.parametrize("name", ["Date", "Datetime"])
def test_three_heading_rows_of_yfinance(tmp_path, tickers, name):
    frame = yfinance(tickers, name)
    frame.to_csv(tmp_path / "x.csv")
    bundle = sources.read_bundle(tmp_path / "x.csv")
    by_hand = pd.read_csv(tmp_path / "x.csv", header=None, skiprows=3, keep_default_na=False)
    headings = pd.read_csv(tmp_path / "x.csv", header=None, nrows=2, keep_default_na=False)
    assert bundle == rbt.Bundle.from_frame(frame)
    for position in range(1, len(headings.columns)):
        field, ticker = headings[position]
        ours = bundle[field.lower()][:, bundle.symbols.index(ticker)]
        np.testing.assert_array_equal(ours, by_hand[position])


def test_errors_in_a_file_of_yfinance_name_line_and_ticker(tmp_path):
    lines = yfinance(["AAPL", "MSFT"]).to_csv().splitlines()
    lines[5] = lines[5].replace(f"{VOLUME[2]}", "many", 1)
    write(tmp_path / "x.csv", "\n".join(lines) + "\n")
    with pytest.raises(BundleError, match=r"x\.csv, symbol AAPL, row 6: `volume` is 'many', which is not a number"):
        sources.read_bundle(tmp_path / "x.csv")


OHLC = "Date,Open,High,Low,Close,Volume\n" + "".join(f"{day},2,3,1,2.5,7\n" for day in DAYS)


@pytest.mark.parametrize("ending", ["csv", "parquet", "feather"])
def test_a_file_of_one_ticker_takes_the_symbol_or_the_bundles_name(home, tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    frame = pd.read_csv(io.StringIO(OHLC))
    frame.to_csv(path, index=False) if ending == "csv" else getattr(frame, f"to_{ending}")(path)
    assert rbt.ingest("mine", path).symbols == ("mine",)
    named = rbt.ingest("other", path, symbol="SPY")
    assert named.symbols == ("SPY",)
    np.testing.assert_array_equal(named.close[:, 0], frame["Close"])
    assert run_command(["bundle", "ingest", "third", str(path), "--symbol", "QQQ"]) == 0
    assert rbt.load_bundle("third").symbols == ("QQQ",)


def test_a_symbol_for_prices_that_have_one_is_refused(home, tmp_path):
    path = write(tmp_path / "x.csv", "date,symbol,close\n2024-01-02,A,1\n")
    with pytest.raises(BundleError, match=r"`symbol` is for prices of one ticker .* these are of A"):
        rbt.ingest("p", path, symbol="B")
