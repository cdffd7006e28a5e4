from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for registered bundles."""
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def make_long() -> Callable[..., pd.DataFrame]:
    """Random OHLCV rows of symbols that are listed late and delisted early, in date order."""

    def make(n_bars: int = 30, symbols: str = "ABC", seed: int = 0, start: str = "2020-01-01") -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        days = pd.bdate_range(start, periods=n_bars)
        parts = []
        for place, symbol in enumerate(symbols):
            first, last = (
                (0, n_bars) if place == 0 else (int(rng.integers(0, n_bars // 3)), n_bars - int(rng.integers(3)))
            )
            close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, last - first)))
            spread = rng.uniform(0.001, 0.02, last - first)
            parts.append(
                pd.DataFrame(
                    {
                        "date": days[first:last],
                        "symbol": symbol,
                        "open": close * (1 - spread / 3),
                        "high": close * (1 + spread),
                        "low": close * (1 - spread),
                        "close": close,
                        "volume": rng.integers(0, 1000, last - first),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True).sort_values(["date", "symbol"], ignore_index=True)

    return make


@pytest.fixture(scope="session")
def long_frame(make_long: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make_long()


@pytest.fixture
def csv_folder(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    """Writes a long frame to a folder with a CSV file for each symbol."""

    def write(frame: pd.DataFrame, name: str = "prices") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for symbol, rows in frame.groupby("symbol"):
            rows.drop(columns="symbol").to_csv(folder / f"{symbol}.csv", index=False)
        return folder

    return write


@pytest.fixture(scope="session")
def sample() -> rbt.Bundle:
    return rbt.load_bundle("sample")


@pytest.fixture(scope="session")
def small() -> rbt.Bundle:
    """20 days of 3 symbols, the last listed on the fifth day."""
    close = np.arange(1.0, 61.0).reshape(20, 3)
    close[:4, 2] = np.nan
    days = np.arange("2020-01-01", "2020-01-21", dtype="datetime64[D]")
    return rbt.Bundle.from_arrays(
        {"close": close, "mood": -close}, days, ["A", "B", "C"], metadata={"source": "made up"}
    )
