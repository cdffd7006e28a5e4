"""Objectives of bt strategies equal bt alone."""

import numpy as np
import pytest

from rbt_ray.adapters import bt as adapter
from rbt_ray.errors import ObjectiveResultError


@pytest.fixture(scope="module")
def bt():
    """The library, which takes seconds to import: processes that run other tests do without."""
    import bt

    return bt


@pytest.fixture(scope="module")
def swept(example):
    return example("from_bt")


@pytest.mark.slow
def test_each_of_the_sweep_equals_a_backtest_alone(bt, swept, wide):
    results = swept["results"]
    assert len(results) == 24
    assert results.errors == []
    close = wide("close", results.study.bundle.train_bars)
    for result in results:
        alone = bt.Backtest(
            swept["momentum"](**result.config),
            close,
            initial_capital=100_000,
            commissions=swept["commission"],
            progress_bar=False,
        )
        alone.run()
        assert round(result.metrics["final_value"], 2) == round(alone.strategy.values.iloc[-1], 2)
        assert result.metrics["fees"] == alone.strategy.fees.sum()
        returns = alone.strategy.values.pct_change().iloc[1:]
        assert result.metrics["sharpe"] == pytest.approx(returns.mean() / returns.std() * 252**0.5, rel=1e-9)


def test_a_backtest_that_the_function_returns_runs_unchanged(bt, sample, wide):
    def hold(close, weight):
        algos = [bt.algos.RunOnce(), bt.algos.WeighSpecified(IBM=weight), bt.algos.Rebalance()]
        return bt.Backtest(bt.Strategy("hold", algos), close, initial_capital=5_000, integer_positions=False)

    run = adapter.objective(hold)({"weight": 0.4}, sample.view(500))
    ibm = wide("close", 500)["IBM"]
    # The position is bought at the first bar's close: bt adds a day without prices before it.
    np.testing.assert_allclose(run.equity, 0.6 + 0.4 * ibm / ibm.iloc[0], rtol=1e-9)


def test_other_results_and_other_bars_are_refused(bt, sample):
    with pytest.raises(ObjectiveResultError, match=r"returned a float; return a bt\.Strategy or a bt\.Backtest"):
        adapter.objective(lambda close: 1.0)({}, sample.view(100))

    def shorter(close):
        return bt.Backtest(bt.Strategy("s", []), close.iloc[10:])

    with pytest.raises(ObjectiveResultError, match="over 90 bars; expected the 100"):
        adapter.objective(shorter)({}, sample.view(100))
