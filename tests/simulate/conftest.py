from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import rbt_ray as rbt

PERIODS = 252.0


@dataclass(frozen=True)
class Market:
    """Made-up prices with symbols that come, go and pause.

    Args:
        bundle: the prices.
        weights: 0 where there is no price.
        anywhere: the same, and other numbers where there is no price.
    """

    bundle: rbt.Bundle
    weights: np.ndarray
    anywhere: np.ndarray

    def head(self, n_bars: int) -> rbt.Bundle:
        fields = {field: self.bundle[field][:n_bars] for field in self.bundle.fields}
        return rbt.Bundle.from_arrays(fields, self.bundle.index[:n_bars], self.bundle.symbols, periods_per_year=PERIODS)


def bundle_of(close: np.ndarray, open_: np.ndarray | None = None) -> rbt.Bundle:
    close = np.asarray(close, float)
    fields = {"close": close} if open_ is None else {"open": np.asarray(open_, float), "close": close}
    index = np.datetime64("2020-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays(fields, index, [f"S{i}" for i in range(close.shape[1])], periods_per_year=PERIODS)


def market_of(seed: int, n_bars: int = 60, n_symbols: int = 3, gross: float = 1.0, ragged: bool = True) -> Market:
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.03, (n_bars, n_symbols)), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.01, close.shape))
    if ragged:
        for i in range(1, n_symbols):
            first, last = sorted(rng.choice(n_bars, 2, replace=False))
            close[:first, i] = np.nan
            if rng.random() < 0.5:
                close[last:, i] = np.nan
            close[rng.random(n_bars) < rng.choice([0.0, 0.1, 0.5]), i] = np.nan
            if np.isnan(close[:, i]).all():
                close[first, i] = 10.0
        open_[np.isnan(close) | (rng.random(close.shape) < 0.02)] = np.nan
    # Targets that stay for some bars, long and short, sometimes all in cash.
    weights = rng.uniform(-gross, gross, close.shape) / n_symbols * (rng.random(close.shape) < 0.8)
    for t in range(1, n_bars):
        kept = rng.random(n_symbols) < 0.7
        weights[t, kept] = weights[t - 1, kept]
    return Market(bundle_of(close, open_), np.where(np.isnan(close + open_), 0.0, weights), weights)


@pytest.fixture(scope="session")
def sample() -> rbt.Bundle:
    return rbt.load_bundle("sample")


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., rbt.Bundle]:
    return bundle_of


@pytest.fixture(scope="session")
def make_market() -> Callable[..., Market]:
    return market_of
