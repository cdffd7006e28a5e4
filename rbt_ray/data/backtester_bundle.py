"""Reads the folder of a bundle that zipline or RustyBT ingested, with the readers of the package that ingested it."""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.data.content import PRICES
from rbt_ray.errors import BundleError
from rbt_ray.types import FloatArray

DAILY = "daily_equities.bcolz"
ADJUSTMENTS = "adjustments.sqlite"
ASSETS = "assets-*.sqlite"
_ENGINES = ("zipline", "rustybt")
_FIELDS = ("open", "high", "low", "close", "volume")


def is_bundle(folder: Path) -> bool:
    """Whether the folder has daily bars and assets."""
    return (folder / DAILY).is_dir() and any(folder.glob(ASSETS))


def newest(folder: Path) -> Path | None:
    """Returns the folder if it is a bundle, else the newest bundle in it: ingestions are named by their time; None if none."""
    if is_bundle(folder):
        return folder
    return max((path for path in folder.glob("*") if is_bundle(path)), default=None, key=lambda path: path.name)


def read(folder: Path) -> Bundle:
    """Returns the daily bars, adjusted for splits, mergers and dividends like the backtester's `history` on the last session.

    Raises:
        BundleError: the backtester that ingested it is not installed, or it has no bars.
    """
    package, assets = _ingested_by(folder)

    def part(module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"{package}.{module}"), name)

    reader = part("data.bcolz_daily_bars", "BcolzDailyBarReader")(str(folder / DAILY))
    finder = part("assets", "AssetFinder")(str(assets))
    found = [asset for asset in finder.retrieve_all(finder.equities_sids, default_none=True) if asset is not None]
    sids = np.array([int(asset.sid) for asset in found], dtype=np.int64)
    sessions = reader.sessions
    arrays = dict(zip(_FIELDS, reader.load_raw_arrays(_FIELDS, sessions[0], sessions[-1], sids), strict=True))
    arrays = {name: np.array(values, dtype=np.float64) for name, values in arrays.items()}
    traded = ~np.isnan(arrays["close"])
    arrays["volume"][~traded] = np.nan
    index = sessions.tz_localize(None).to_numpy().astype("datetime64[ns]")
    if (folder / ADJUSTMENTS).exists():
        adjustments = part("data.adjustments", "SQLiteAdjustmentReader")(str(folder / ADJUSTMENTS))
        _adjust(arrays, adjustments.unpack_db_to_component_dfs(convert_dates=True), index, sids)
        adjustments.close()
    rows, columns = traded.any(axis=1), traded.any(axis=0)
    if not rows.any():
        raise BundleError(f"`{folder}` has no daily bars.")
    names = _unique([str(asset.symbol) for asset in found], sids)
    return Bundle.from_arrays(
        {name: values[np.ix_(rows, columns)] for name, values in arrays.items()},
        index[rows],
        [name for name, has_bars in zip(names, columns, strict=True) if has_bars],
        metadata={"source": str(folder.resolve()), "adjusted": "splits, mergers and dividends"},
    )


def _ingested_by(folder: Path) -> tuple[str, Path]:
    """Returns the backtester and the database of assets that it can read: each reads its own version only."""
    for package in _ENGINES:
        if importlib.util.find_spec(package) is not None:
            version = importlib.import_module(f"{package}.assets").ASSET_DB_VERSION
            if (assets := folder / f"assets-{version}.sqlite").exists():
                return package, assets
    raise BundleError(
        f"`{folder}` is a bundle of zipline or RustyBT, and no installed package can read it. Install the package and "
        f"version that ingested it (zipline-reloaded or rustybt)."
    )


def _adjust(arrays: dict[str, FloatArray], tables: Any, index: Any, sids: Any) -> None:
    """Multiplies the values before each event by its ratio, in place."""
    for kind in ("splits", "mergers", "dividends"):
        events = tables[kind]
        for sid, date, ratio in zip(events["sid"], events["effective_date"], events["ratio"], strict=True):
            (column,) = np.flatnonzero(sids == sid)
            before = index < np.datetime64(date.tz_localize(None), "ns")
            for name in PRICES:
                arrays[name][before, column] *= ratio
            if kind == "splits":
                arrays["volume"][before, column] /= ratio


def _unique(symbols: list[str], sids: Any) -> list[str]:
    """Returns unique symbols: one that several companies used gets the number of the asset."""
    counts = Counter(symbols)
    return [name if counts[name] == 1 else f"{name}-{sid}" for name, sid in zip(symbols, sids, strict=True)]
