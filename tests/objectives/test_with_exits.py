"""Built-in strategies with exits: equal to a plain loop and to vectorbt, and the same in a sweep, one by one and in a study."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import objectives
from rbt_ray.cli.study_file import load_objective
from rbt_ray.errors import ObjectiveError, SettingError
from rbt_ray.objectives.address import locate
from rbt_ray.simulate.metrics import METRIC_NAMES
from tests.objectives.rule_loop import fills_of_equal_run

EXITS = {
    "stop_loss": st.floats(0.005, 0.1),
    "take_profit": st.floats(0.005, 0.1),
    "trailing_stop": st.floats(0.005, 0.1),
    "time_stop": st.integers(1, 12),
}


def bars(n_bars, n_symbols, seed, holes=0.0):
    """Random bars with gaps between closes and opens, and missing bars."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_bars, n_symbols)), axis=0))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.012, close.shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.02, close.shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.02, close.shape)))
    missing = rng.random(close.shape) < holes
    fields = {"open": open_, "high": high, "low": low, "close": close}
    for values in fields.values():
        values[missing] = np.nan
    index = np.datetime64("2001-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    return rbt.Bundle.from_arrays(fields, index, [f"S{i}" for i in range(n_symbols)], periods_per_year=252)


def configs_of(name, n, seed):
    """Columns of random parameters, with short windows so that positions are frequent."""
    rng = np.random.default_rng(seed)
    columns = {}
    for parameter in getattr(objectives, name)().parameters:
        if parameter.whole:
            columns[parameter.name] = rng.integers(max(2, parameter.least), 12, n).astype(float)
        else:
            example = getattr(objectives, name)().example[parameter.name]
            columns[parameter.name] = np.full(n, float(example))
    return columns


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_strategies_with_exits_equal_a_plain_loop(data):
    name = data.draw(st.sampled_from(objectives.BUILTIN))
    swept = data.draw(st.lists(st.sampled_from(sorted(EXITS)), min_size=1, unique=True))
    execution = data.draw(st.sampled_from(["next_open", "next_close", "close"]))
    n_symbols, seed, holes = (
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(0, 2**20)),
        data.draw(st.sampled_from([0, 0.2])),
    )
    view = bars(60, n_symbols, seed, holes).view()
    objective = objectives.with_exits(getattr(objectives, name)(execution=execution), **{one: one for one in swept})
    columns = configs_of(name, 9, data.draw(st.integers(0, 2**20)))
    for one in swept:
        columns[one] = np.array([float(data.draw(EXITS[one])) for _ in range(9)])
    table = objective.evaluate(view, columns, METRIC_NAMES)
    for row in (0, 8):
        config = {key: float(values[row]) for key, values in columns.items()}
        fills_of_equal_run(objective, config, view, {key: values[row] for key, values in table.items()}, 1e-9)
        alone = objective.evaluate(view, {key: values[row : row + 1] for key, values in columns.items()}, METRIC_NAMES)
        for metric in METRIC_NAMES:
            np.testing.assert_array_equal(alone[metric], table[metric][row : row + 1])


def test_exits_that_no_bar_touches_change_nothing():
    view, config = bars(300, 3, 1).view(), {"fast": 3, "slow": 9}
    plain = objectives.sma_cross()(config, view)
    run = objectives.with_exits(objectives.sma_cross(), take_profit=1e6)(config, view)
    np.testing.assert_array_equal(run.weights, plain.weights)
    np.testing.assert_allclose(run.returns, plain.returns, rtol=1e-9, atol=1e-13)
    assert run.ambiguous_bars == plain.ambiguous_bars == 0


def test_later_bars_change_no_return():
    objective = objectives.with_exits(objectives.momentum(), stop_loss=0.03, take_profit=0.04, trailing_stop=0.05)
    bundle = bars(200, 2, 2)
    config = {name: int(values[0]) for name, values in configs_of("momentum", 1, 0).items()}
    whole = objective(config, bundle.view())
    assert whole.orders.sum() > 20
    for n_bars in (50, 120, 199):
        first = objective(config, bundle.view(n_bars))
        np.testing.assert_array_equal(first.returns, whole.returns[:n_bars])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stop_loss", "take_profit", "trailing_stop", "both"])
def test_exits_equal_vectorbt(kind):
    """Both fill at the level, or at the open behind a gap, and take the stop where a bar touches both.

    It enters at the close, and needs a new signal to enter again.
    """
    vbt = pytest.importorskip("vectorbt")
    import pandas as pd

    view = bars(400, 1, 3).view()
    fields = {name: pd.Series(view[name][:, 0], index=view.index) for name in ("open", "high", "low", "close")}
    config = {"fast": 3, "slow": 9}
    long = pd.Series(objectives.sma_cross().long(config, view)[:, 0], index=view.index)
    before = long.shift(1, fill_value=False)
    stops = {"stop_loss": 0.03, "take_profit": 0.04} if kind == "both" else {kind: 0.03}
    portfolio = vbt.Portfolio.from_signals(
        fields["close"], long & ~before, before & ~long, open=fields["open"], high=fields["high"], low=fields["low"],
        sl_stop=stops.get("stop_loss", stops.get("trailing_stop", np.nan)), tp_stop=stops.get("take_profit", np.nan),
        sl_trail=kind == "trailing_stop", stop_exit_price="stoplimit", upon_stop_exit="close", freq="1D",
    )  # fmt: skip
    strategy = objectives.sma_cross(turnover_bps=0, execution="close")
    run = objectives.with_exits(strategy, **stops)(config, view)
    assert run.round_trips.sum() > 20
    np.testing.assert_allclose(run.returns, portfolio.returns().to_numpy(), rtol=1e-9, atol=1e-12)


def test_a_study_with_a_swept_stop_has_the_figures_of_backtests(tmp_path):
    objective = load_objective("sma_cross", {"turnover_bps": 3, "stop_loss": "stop", "take_profit": 0.2}, tmp_path)
    results = rbt.Tuner(
        objective,
        param_space={"fast": rbt.randint(3, 9), "slow": rbt.randint(10, 30), "stop": rbt.quniform(0.01, 0.2, 0.01)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="sharpe", num_samples=40, seed=1, holdout=0.25),
        run_config=rbt.RunConfig(name="stops", storage_path=str(tmp_path), num_workers=1, verbose=0),
    ).fit()
    assert results.num_errors == 0
    best, bundle = results.get_best_result(), rbt.load_bundle("sample")
    n_bars = round(bundle.n_bars * 0.75)
    run = objective(best.config, bundle.view(n_bars))
    assert best.metrics["sharpe"] == pytest.approx(run.metrics()["sharpe"], rel=1e-9)


def test_strategies_and_exits_are_part_of_the_identity():
    made = [
        objectives.with_exits(objectives.sma_cross(), stop_loss="stop"),
        objectives.with_exits(objectives.sma_cross(), stop_loss=0.1),
        objectives.with_exits(objectives.sma_cross(), stop_loss=0.2),
        objectives.with_exits(objectives.sma_cross(turnover_bps=1), stop_loss=0.2),
        objectives.with_exits(objectives.rsi(), stop_loss=0.2),
    ]
    found = [locate(one).address for one in made]
    assert len({one.fingerprint for one in found}) == len({one.code for one in found}) == 5
    again = locate(objectives.with_exits(objectives.sma_cross(), stop_loss="stop")).address
    assert (again.fingerprint, again.code) == (found[0].fingerprint, found[0].code)


def test_the_count_of_ambiguous_exits_is_shown():
    """By hand: bought at the open of 100, and a later bar from 80 to 120 touches both levels."""
    rows = [[100.0] * 4, [100, 101, 99, 101], [100, 102, 99, 102], [102, 130, 70, 103], [103, 104, 102, 104]]
    table = np.array(rows)
    fields = {name: table[:, [k]] for k, name in enumerate(("open", "high", "low", "close"))}
    index = np.datetime64("2001-01-01", "ns") + np.arange(len(rows)) * np.timedelta64(1, "D")
    view = rbt.Bundle.from_arrays(fields, index, ["A"], periods_per_year=252).view()
    objective = objectives.with_exits(objectives.sma_cross(turnover_bps=0), stop_loss=0.1, take_profit=0.1)
    run = objective({"fast": 1, "slow": 2}, view)
    assert run.equity[-1] == pytest.approx(0.9)
    assert run.ambiguous_bars == 1
    assert ", ambiguous bars: 1)" in repr(run)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: objectives.with_exits(objectives.sma_cross()), "at least one of stop_loss"),
        (lambda: objectives.with_exits(objectives.sma_cross(), stop_loss="fast"), "of its own; got 'fast'"),
        (lambda: objectives.with_exits(objectives.sma_cross(), stop_loss="a", take_profit="a"), "got 'a'"),
        (lambda: objectives.with_exits(objectives.sma_cross(), stop_loss=2), "from 1e-06 to 1"),
        (lambda: objectives.with_exits(objectives.sma_cross(rebalance="every_bar"), stop_loss=0.1), "'on_change'"),
    ],
)
def test_settings_are_checked(make, shown):
    with pytest.raises(SettingError) as refused:
        make()
    assert shown in str(refused.value)


def test_only_built_in_strategies_take_exits_this_way():
    with pytest.raises(ObjectiveError, match="A rule takes exits itself"):
        objectives.with_exits(lambda p, d: 0, stop_loss=0.1)
