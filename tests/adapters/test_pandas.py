"""Objectives of pandas functions equal the functions alone."""

import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt
from rbt_ray.adapters import pandas
from rbt_ray.errors import ObjectiveError, ObjectiveResultError, SettingError


@pytest.fixture(scope="module")
def swept(example):
    return example("from_pandas")


def test_each_sweep_of_returns_equals_the_function_alone(swept, sample, ohlcv):
    results = swept["by_returns"]
    assert len(results) == 24
    assert results.errors == []
    frame = ohlcv("IBM").rename(columns=str.lower)
    for result in results:
        returns = swept["trend"](frame, **result.config)
        assert round(10_000 * (1 + result.metrics["total_return"]), 2) == round(10_000 * (1 + returns).prod(), 2)
        whole = returns.reindex(frame.index, fill_value=0.0)  # the bars before the first return are bars too
        assert result.metrics["sharpe"] == pytest.approx(whole.mean() / whole.std() * 252**0.5, rel=1e-9)


def test_each_sweep_of_positions_equals_the_backtest_of_its_weights(swept, sample, wide):
    results = swept["by_positions"]
    assert len(results) == 30
    assert results.errors == []
    for result in results:
        held = swept["crossover"](wide(), **result.config)
        alone = rbt.backtest(sample, held.to_numpy() / 5, costs=rbt.Costs(turnover_bps=5), missing="zero").metrics()
        assert result.metrics == alone
    assert len(results.review.curves["equity"]) == sample.n_bars  # as of any Backtest


def test_equity_and_weights(sample, wide):
    ibm = wide()["IBM"]
    view = sample.view()

    def equity(df, cash):
        return (cash * df["close"] / df["close"].iloc[9]).iloc[9:]  # invested from the tenth bar on

    metrics = pandas.objective(equity, gives="equity", symbol="IBM")({"cash": 500}, view).metrics()
    assert metrics["total_return"] == pytest.approx(ibm.iloc[-1] / ibm.iloc[9] - 1, rel=1e-12)

    def weights(df, share):
        return (df["close"][["IBM"]] > 0) * share

    run = pandas.objective(weights, gives="weights", execution="close")({"share": 0.5}, view)
    expected = np.zeros((sample.n_bars, 5))
    expected[:, sample.symbols.index("IBM")] = 0.5
    np.testing.assert_array_equal(run.returns, rbt.backtest(sample, expected, "close").returns)
    alone = pandas.objective(lambda close, share: (close > 0) * share, gives="weights", symbol="IBM", execution="close")
    np.testing.assert_array_equal(alone({"share": 0.5}, view).returns, run.returns)


def test_a_frame_is_made_once_and_trials_cannot_change_it_for_others(sample):
    frames = []

    def adds(df, n):
        assert "mine" not in df
        df["mine"] = n
        frames.append(df)
        return df["close"].pct_change()

    objective = pandas.objective(adds, gives="returns", symbol="MSFT")
    view = sample.view(200)
    first, second = (objective({"n": n}, view) for n in (1, 2))
    np.testing.assert_array_equal(first.returns, second.returns)
    assert np.shares_memory(frames[0]["close"].to_numpy(), frames[1]["close"].to_numpy())
    objective({"n": 3}, sample.view(100))
    assert len(frames[2]) == 100


def test_times_are_as_the_prices_had_them():
    index = pd.date_range("2024-03-08 09:30", periods=5, freq="D", tz="America/New_York")
    bundle = rbt.Bundle.from_frame(pd.DataFrame({"A": [1.0, 2, 3, 4, 5]}, index))
    seen = []

    def look(close):
        seen.append(close.index)
        return close["A"].pct_change()

    pandas.objective(look, gives="returns")({}, bundle.view())
    assert (seen[0] == index).all()
    assert str(seen[0].tz) == "America/New_York"


@pytest.mark.parametrize(
    ("gives", "answer", "sentence"),
    [
        ("returns", lambda close: 0.5, "returned a float; `gives` says a series"),
        ("returns", lambda close: close["FB"] * np.nan, "no value on 2000-03-01 00:00:00 .bar 0."),
        ("returns", lambda close: close["IBM"].where(close.index != close.index[50]), r"no value on .* \(bar 50\)"),
        ("returns", lambda close: close["IBM"].set_axis(close.index.shift(1, "h")), "other bars than it was given"),
        ("weights", lambda close: close["IBM"], "returned no frame; `gives` says weights"),
        (
            "weights",
            lambda close: close.rename(columns=str.lower),
            "columns aapl, fb, .* a frame with columns among AAPL",
        ),
    ],
)
def test_results_of_another_kind_are_refused(sample, gives, answer, sentence):
    with pytest.raises(ObjectiveResultError, match=sentence):
        pandas.objective(answer, gives=gives)({}, sample.view(100))


def test_invalid_settings_are_refused():
    with pytest.raises(
        SettingError, match="`gives` is one of 'returns', 'equity', 'weights', 'positions'; got 'trades'"
    ):
        pandas.objective(lambda df: df, gives="trades")
    with pytest.raises(SettingError, match="'returns' are after costs"):
        pandas.objective(lambda df: df, gives="returns", costs=rbt.Costs(turnover_bps=1))
    with pytest.raises(ObjectiveError, match="`function` is a function of"):
        pandas.objective(3, gives="returns")
