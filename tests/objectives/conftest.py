"""Prices and configs for the tests of the built-in objectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray import objectives
from rbt_ray.data.view import BundleView
from rbt_ray.objectives.builtin.strategy import Strategy
from rbt_ray.types import FloatArray

Columns = dict[str, FloatArray]

BUILTIN: dict[str, Callable[..., Strategy]] = {name: getattr(objectives, name) for name in objectives.BUILTIN}


@pytest.fixture(params=sorted(BUILTIN))
def factory(request: pytest.FixtureRequest) -> Callable[..., Strategy]:
    """Each of the built-in objectives in turn."""
    return BUILTIN[request.param]


@pytest.fixture(scope="session")
def sample_view() -> BundleView:
    """US stocks with opens, two of them listed late."""
    return rbt.load_bundle("sample").view()


@pytest.fixture(scope="session")
def fx_view() -> BundleView:
    """Eight currencies, closes only, 5,124 days."""
    bundle = rbt.load_bundle("fx")
    return rbt.Bundle.from_arrays({"close": bundle.close[-5124:, :8]}, bundle.index[-5124:], bundle.symbols[:8]).view()


@pytest.fixture(scope="session")
def configs_of() -> Callable[[Strategy, int, int], Columns]:
    """Random configs of an objective, windows up to some length, trading often enough to matter."""

    def draw(strategy: Strategy, n_configs: int, seed: int, longest: int = 120) -> Columns:
        rng = np.random.default_rng(seed)
        levels: dict[str, dict[str, tuple[float, float]]] = {
            "momentum": {"threshold": (-0.1, 0.1)},
            "mean_reversion": {"entry": (0.3, 2.0), "exit": (-0.5, 1.0)},
            "rsi": {"low": (46.0, 55.0), "high": (52.0, 65.0)},
        }
        columns: Columns = {}
        for parameter in strategy.parameters:
            if parameter.whole:
                columns[parameter.name] = rng.integers(int(parameter.least), longest, n_configs).astype(np.float64)
            else:
                columns[parameter.name] = rng.uniform(*levels[strategy.name][parameter.name], n_configs)
        return columns

    return draw


@pytest.fixture(scope="session")
def holed() -> Callable[..., BundleView]:
    """Random walks of any size with late listings, delistings and holes; opens optional."""

    def build(n_bars: int, n_symbols: int, seed: int, holes: float, opens: bool) -> BundleView:
        rng = np.random.default_rng(seed)
        # One bar more than is looked at, with all prices: a bundle's symbols each have one somewhere.
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars + 1, n_symbols)), axis=0))
        fields: dict[str, Any] = {"close": close}
        if opens:
            fields["open"] = close * np.exp(rng.normal(0, 0.01, close.shape))
        listed = rng.integers(0, 1 + int(holes * n_bars), n_symbols)
        delisted = n_bars - rng.integers(0, 1 + int(holes * n_bars), n_symbols)
        bars = np.arange(n_bars)[:, None]
        for values in fields.values():
            hole = rng.random((n_bars, n_symbols)) < holes / 5
            values[:-1][(bars < listed) | (bars >= delisted) | hole] = np.nan
        index = np.datetime64("2001-01-01", "ns") + np.arange(n_bars + 1) * np.timedelta64(1, "D")
        symbols = [f"S{i}" for i in range(n_symbols)]
        return rbt.Bundle.from_arrays(fields, index, symbols, periods_per_year=252).view(n_bars)

    return build
