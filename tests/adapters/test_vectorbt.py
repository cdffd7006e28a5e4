"""Objectives of vectorbt portfolios equal vectorbt alone."""

import numpy as np
import pandas as pd
import pytest

from rbt_ray.adapters import vectorbt
from rbt_ray.errors import ObjectiveError, ObjectiveResultError
from rbt_ray.objectives.kind import kind_of

pytestmark = pytest.mark.slow  # vectorbt compiles itself in each process, and takes seconds to import


@pytest.fixture(scope="module")
def swept(example):
    return example("from_vectorbt")


@pytest.mark.timeout(600)  # vectorbt compiles the portfolio of each worker
def test_each_of_the_sweep_equals_its_portfolio_alone(swept, sample, wide):
    results = swept["results"]
    assert len(results) == 30
    assert results.errors == []
    close, open_ = wide("close")["IBM"], wide("open")["IBM"]
    together = vectorbt.objective(swept["crossover"], symbol="IBM", batched=True)
    batch = together([result.config for result in results], sample.view())
    for result, run in zip(results, batch, strict=True):
        portfolio = swept["crossover"](close=close, open=open_, **result.config)
        sharpe = portfolio.sharpe_ratio(freq="1D", year_freq="252D")
        for metrics in (result.metrics, run.metrics()):
            assert round(metrics["final_value"], 2) == round(portfolio.final_value(), 2)
            assert metrics["n_trades"] == portfolio.trades.count()
            assert metrics["n_orders"] == portfolio.orders.count()
            assert metrics["max_drawdown"] == pytest.approx(portfolio.max_drawdown(), rel=1e-9)
            assert metrics["sharpe"] == pytest.approx(sharpe, rel=1e-9)


def targets(close, weight):
    """Weights of all symbols with a price; one account for each config, many configs at once."""
    import vectorbt as vbt

    columns = [close.notna() * w / close.shape[1] for w in np.atleast_1d(weight)]
    size = pd.concat(columns, axis=1, keys=np.atleast_1d(weight), names=["weight", "symbol"])
    prices = pd.concat([close] * len(columns), axis=1, keys=np.atleast_1d(weight), names=["weight", "symbol"])
    return vbt.Portfolio.from_orders(
        prices,
        size,
        size_type="targetpercent",
        group_by="weight",
        cash_sharing=True,
        call_seq="auto",
        init_cash=10_000,
        fees=0.001,
    )


def holdings(close, weight):
    """The same with an account for each symbol: a column for each (config, symbol)."""
    import vectorbt as vbt

    columns = [close.notna() * w for w in np.atleast_1d(weight)]
    size = pd.concat(columns, axis=1, keys=np.atleast_1d(weight), names=["weight", "symbol"])
    prices = pd.concat([close] * len(columns), axis=1, keys=np.atleast_1d(weight), names=["weight", "symbol"])
    return vbt.Portfolio.from_orders(prices, size, size_type="targetpercent", init_cash=2_000, fees=0.001)


@pytest.mark.parametrize(("function", "start"), [(targets, 10_000), (holdings, 2_000 * 5)])
def test_several_symbols_in_one_batch(function, start, sample, wide):
    objective = vectorbt.objective(function, batched=True)
    assert kind_of(objective).takes == "configs"
    weights = [0.25, 0.5, 0.95]
    runs = objective([{"weight": w} for w in weights], sample.view(1_500))
    for weight, run in zip(weights, runs, strict=True):
        portfolio = function(wide("close", 1_500), weight)
        value = np.asarray(portfolio.value()).reshape(1_500, -1).sum(axis=1)
        np.testing.assert_allclose(run.equity * start, value, rtol=1e-12)
        assert run.metrics()["n_orders"] == np.sum(portfolio.orders.count())


def test_other_results_pass_and_other_bars_do_not(sample):
    def figures(close, window):
        return {"score": float(close["IBM"].rolling(window).mean().iloc[-1])}

    def shorter(close, window):
        return targets(close.iloc[window:], 0.5)

    view = sample.view(300)
    expected = np.mean(sample.close[290:300, sample.symbols.index("IBM")])
    assert vectorbt.objective(figures)({"window": 10}, view)["score"] == pytest.approx(expected)
    with pytest.raises(ObjectiveResultError, match="290 bars and 1 columns or groups; expected the 300 bars"):
        vectorbt.objective(shorter)({"window": 10}, view)


def test_arguments_are_known_by_their_names(sample):
    seen = {}

    def everything(close, df, view, volume, window=3, *, symbol="AAPL"):
        seen.update(close=close, df=df, view=view, volume=volume, window=window)
        return 1.0

    def vague(prices, window):
        return 1.0

    view = sample.view(100)
    objective = vectorbt.objective(everything)
    objective.check({"window"}, sample)
    assert objective({"window": 7}, view) == 1.0
    assert seen["window"] == 7
    assert seen["view"] is view
    np.testing.assert_array_equal(seen["close"], view.close)
    assert np.shares_memory(seen["close"].to_numpy(), sample.close)
    pd.testing.assert_frame_equal(seen["df"]["volume"], seen["volume"])
    with pytest.raises(ObjectiveError, match="the argument `prices` is neither a parameter of the space nor prices"):
        vectorbt.objective(vague).check({"window"}, sample)
    with pytest.raises(ObjectiveError, match="has no argument `depth`, which is a parameter of the space"):
        objective.check({"window", "depth"}, sample)
    with pytest.raises(ObjectiveError, match="`function` is a function of"):
        vectorbt.objective("crossover")
