"""A sweep gives the metrics of its configs' backtests on any windows, from one pass, the same in any batch."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import objectives
from rbt_ray.objectives.builtin.strategy import Strategy
from rbt_ray.objectives.sweep import windows as sweep_windows
from rbt_ray.objectives.windowed import N_SCORED, on_windows, score_name
from rbt_ray.simulate.metrics import METRIC_NAMES
from rbt_ray.study.windows import Window, bars_of, ranges_of

EXECUTIONS = ("next_open", "next_close", "close")
REBALANCES = ("on_change", "every_bar")


def windows_of(n_bars, n_windows, seed):
    """Windows of several ranges, which overlap; their edges fall on any bar, also on those of words and tiles."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_windows):
        edges = rng.integers(0, n_bars + 1, 2 * rng.integers(1, 4))
        edges = np.where(rng.random(len(edges)) < 0.3, np.minimum(edges // 64 * 64, n_bars), edges)
        mask = np.zeros(n_bars, bool)
        for start, stop in np.sort(edges).reshape(-1, 2):
            mask[start : stop + (start == stop)] = True
        mask[rng.integers(n_bars)] |= not mask.any()
        found.append(ranges_of(np.flatnonzero(mask)))
    return found


def on_paths(strategy, config, view, window):
    """The metrics of a window, one backtest per config and window: what the sweep has to equal."""
    run = strategy(config, view.window(0, window[-1][1]))
    returns = run.returns[bars_of(window)]
    spread = returns.std() or 1.0
    return run.on(bars_of(window)), 1.0 + abs(returns.mean()) / spread + np.abs(returns).max() / spread


def assert_equal_to_paths(strategy, view, columns, windows):
    """Checks each metric to 1e-12, or to the rounding error of its terms if digits cancel.

    Ratios of moments lose the digits that the mean, or the largest return, is larger than the deviation.
    """
    swept = strategy.evaluate_on_windows(view, columns, METRIC_NAMES, windows)
    for row in range(len(next(iter(columns.values())))):
        config = {name: values[row] for name, values in columns.items()}
        for number, window in enumerate(windows):
            expected, steepness = on_paths(strategy, config, view, window)
            rounding = 1e-14 * max(1.0, view.periods_per_year / len(bars_of(window)))
            leeway = {"total_return": rounding, "max_drawdown": rounding, "sharpe": 1e-13 * steepness**2}
            leeway["cagr"] = rounding * (1.0 + expected["cagr"])
            if np.isfinite(expected["calmar"]):
                leeway["calmar"] = (
                    rounding * (1.0 + abs(expected["cagr"]) + abs(expected["calmar"])) / -expected["max_drawdown"]
                )
            leeway |= dict.fromkeys(("skew", "kurtosis"), 1e-14 * steepness**4)
            for name in METRIC_NAMES:
                want = pytest.approx(expected[name], rel=1e-12, abs=max(1e-12, leeway.get(name, 0.0)), nan_ok=True)
                assert swept[name][number, row] == want, (name, config, window)


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_windows_equal_backtests_on_ragged_stocks(factory, sample_view, configs_of, execution, rebalance):
    strategy = factory(execution=execution, rebalance=rebalance)
    windows = windows_of(sample_view.n_bars, 4, seed=5)
    assert_equal_to_paths(strategy, sample_view, configs_of(strategy, 5, seed=1), windows)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_windows_equal_backtests_on_any_prices(configs_of, holed, data):
    name = data.draw(st.sampled_from(objectives.BUILTIN))
    opens = data.draw(st.booleans())
    execution = data.draw(st.sampled_from(EXECUTIONS if opens else EXECUTIONS[1:]))
    n_bars = data.draw(st.integers(1, 300))
    holes = data.draw(st.sampled_from([0.0, 0.05, 0.3]))
    view = holed(n_bars, data.draw(st.integers(1, 6)), data.draw(st.integers(0, 2**32)), holes, opens)
    bps, rebalance = data.draw(st.sampled_from([0.0, 5.0, 100.0])), data.draw(st.sampled_from(REBALANCES))
    strategy = getattr(objectives, name)(bps, execution, rebalance=rebalance)
    columns = configs_of(strategy, data.draw(st.integers(1, 9)), data.draw(st.integers(0, 99)), longest=20)
    windows = windows_of(n_bars, data.draw(st.integers(1, 5)), data.draw(st.integers(0, 2**32)))
    assert_equal_to_paths(strategy, view, columns, windows)


@pytest.mark.parametrize("rebalance", REBALANCES)
@pytest.mark.parametrize("holes", [False, True])
def test_a_config_has_the_same_bits_in_any_batch(
    factory, sample_view, holed, configs_of, monkeypatch, holes, rebalance
):
    strategy = factory(rebalance=rebalance)
    view = holed(400, 5, 7, 0.3, True) if holes else sample_view
    columns, windows = configs_of(strategy, 90, seed=3), windows_of(view.n_bars, 6, seed=2)
    together = strategy.evaluate_on_windows(view, columns, METRIC_NAMES, windows)
    shuffled = np.random.default_rng(0).permutation(90)
    for rows in (shuffled, shuffled[:77], np.array([5]), np.arange(8), np.arange(89, 0, -3)):
        some = {name: values[rows] for name, values in columns.items()}
        found = strategy.evaluate_on_windows(view, some, METRIC_NAMES, windows)
        for name in METRIC_NAMES:
            np.testing.assert_array_equal(found[name], together[name][:, rows])
    monkeypatch.setattr(sweep_windows, "MOST_STATISTICS", 1)  # eight configs at a time
    alone = strategy.evaluate_on_windows(view, columns, ("calmar",), windows)
    np.testing.assert_array_equal(alone["calmar"], together["calmar"])


def test_sweeps_in_several_threads_do_not_share_memory(sample_view, configs_of):
    strategy, windows = objectives.sma_cross(), windows_of(sample_view.n_bars, 8, seed=1)
    batches = [configs_of(strategy, n, seed=n) for n in (300, 290, 280, 270)]

    def calmar(columns):
        return strategy.evaluate_on_windows(sample_view, columns, ("calmar",), windows)["calmar"]

    alone = [calmar(columns) for columns in batches]
    with ThreadPoolExecutor(len(batches)) as pool:
        for found in [list(pool.map(calmar, batches)) for _ in range(5)]:
            for one, expected in zip(found, alone, strict=True):
                np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize(("n_windows", "n_configs"), [(20, 8000), (400, 1000)])
def test_the_memory_grows_with_the_output_alone(sample_view, configs_of, n_windows, n_configs):
    """The statistics of all segments and windows at once would take 90 MB and 190 MB."""
    strategy, windows = objectives.sma_cross(), windows_of(sample_view.n_bars, n_windows, seed=1)
    columns = configs_of(strategy, n_configs, seed=1)
    strategy.evaluate_on_windows(
        sample_view, configs_of(strategy, 8, seed=1), ("calmar",), windows
    )  # caches of the view

    def peak():
        tracemalloc.start()
        try:
            strategy.evaluate_on_windows(sample_view, columns, ("calmar",), windows)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with ThreadPoolExecutor(1) as pool:  # a thread without memory of earlier sweeps
        used = pool.submit(peak).result()
    assert used < n_windows * n_configs * 8 + 30e6


@pytest.mark.parametrize("rebalance", REBALANCES)
def test_all_bars_as_one_window_are_the_sweep(factory, sample_view, configs_of, rebalance):
    strategy = factory(rebalance=rebalance)
    columns = configs_of(strategy, 20, seed=4)
    whole = strategy.evaluate(sample_view, columns, METRIC_NAMES)
    found = strategy.evaluate_on_windows(sample_view, columns, METRIC_NAMES, [((0, sample_view.n_bars),)])
    for name in METRIC_NAMES:
        np.testing.assert_array_equal(found[name][0], whole[name])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), rebalance=st.sampled_from(REBALANCES), ruin=st.booleans())
@example(seed=1, rebalance="every_bar", ruin=True)
def test_later_prices_change_no_bit_of_a_window(configs_of, seed, rebalance, ruin):
    rng = np.random.default_rng(seed)
    n_bars, last = 300, int(rng.integers(20, 280))
    before = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, 3)), axis=0))
    after = before.copy()
    after[last + 1 :] *= 1e-12 if ruin else rng.uniform(0.5, 2.0, (n_bars - last - 1, 3))
    strategy = objectives.momentum(5000.0 if ruin else 5.0, "close", rebalance=rebalance)
    columns, windows = configs_of(strategy, 9, seed % 100, longest=20), windows_of(n_bars, 6, seed)
    one, other = (
        strategy.evaluate_on_windows(view_of(closes), columns, METRIC_NAMES, windows) for closes in (before, after)
    )
    earlier = [number for number, window in enumerate(windows) if window[-1][1] <= last + 1]
    for name in METRIC_NAMES:
        np.testing.assert_array_equal(one[name][earlier], other[name][earlier])


def view_of(closes):
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(closes)) * np.timedelta64(1, "D")
    symbols = [f"S{i}" for i in range(closes.shape[1])]
    return rbt.Bundle.from_arrays({"close": closes}, index, symbols, periods_per_year=252).view()


def test_a_run_that_loses_everything_has_the_figures_of_its_backtest():
    close = np.array([1.0, 2.0, 3.0, 4.0, 1e-9, 1e-9, 3.0, 5.0, 8.0, *np.arange(9.0, 20.0)])[:, None]
    strategy = objectives.sma_cross(turnover_bps=9000.0, execution="close", rebalance="every_bar")
    view = view_of(close)
    assert strategy({"fast": 1, "slow": 2}, view).bankrupt_bar == 4
    windows = [((0, 4),), ((2, 10),), ((5, 20),), ((0, 3), (6, 20)), ((1, 5),)]
    columns = {"fast": np.array([1.0, 1.0, 3.0]), "slow": np.array([2.0, 3.0, 2.0])}
    assert_equal_to_paths(strategy, view, columns, windows)


@pytest.mark.parametrize("metric", ["calmar", "sharpe", "n_trades", "skew"])
@pytest.mark.parametrize("min_trades", [0, 3])
def test_the_windows_of_a_validation_take_one_sweep_and_no_backtest(
    sample_view, configs_of, monkeypatch, metric, min_trades
):
    strategy = objectives.sma_cross()
    columns = configs_of(strategy, 30, seed=6)
    windows = [Window(train, ((3200, 3210),)) for train in windows_of(3200, 5, seed=8)]
    expected = np.array([
        [on_paths(strategy, {name: values[row] for name, values in columns.items()}, sample_view, window.train)[0] for row in range(30)]
        for window in windows
    ])  # fmt: skip
    monkeypatch.delattr(Strategy, "__call__")
    found = on_windows(strategy, metric, windows, min_trades).evaluate(sample_view, columns)
    n_scored = np.zeros(30)
    for number, row in enumerate(expected):
        values = np.array([one[metric] if one["n_trades"] >= min_trades else np.nan for one in row], float)
        np.testing.assert_allclose(found[score_name(number)], values, rtol=1e-10, atol=1e-12)
        n_scored += np.isfinite(values)
    np.testing.assert_array_equal(found[N_SCORED], n_scored)
