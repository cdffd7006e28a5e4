"""Reviews give hold-out metrics even if the objective raises to reject a config."""

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.objectives.review import review
from rbt_ray.simulate.backtest import keeping

SPACE = {"fast": rbt.randint(5, 60), "slow": rbt.randint(20, 250)}


@pytest.fixture(scope="module")
def prices():
    return rbt.load_bundle("fx")


def weights(params, data):
    return (data.sma("close", params["fast"]) > data.sma("close", params["slow"])) / data.n_symbols


def run_of(params, data, rebalance="on_change"):
    return rbt.backtest(data, weights(params, data), rebalance=rebalance)


def limit_of(params, prices, train_bars):
    """A number of trades that the training bars stay below and all bars do not."""
    return run_of(params, prices.view(train_bars)).metrics()["n_trades"]


@pytest.mark.parametrize("rebalance", ["on_change", "every_bar"])
@pytest.mark.parametrize("fast", [5, 11, 20])
def test_the_figures_are_those_of_the_run_that_broke_the_constraint(prices, rebalance, fast):
    train_bars, params = prices.n_bars // 2, {"fast": fast, "slow": 60}
    limit = limit_of(params, prices, train_bars)

    def free(params, data):
        return run_of(params, data, rebalance)

    def constrained(params, data):
        run = free(params, data)
        if run.metrics()["n_trades"] > limit:
            raise ValueError(f"more than {limit} trades")
        return run

    expected = review(free, params, "sharpe", prices, train_bars, 0)
    found = review(constrained, params, "sharpe", prices, train_bars, 0)
    assert found.error is None
    assert found.holdout == expected.holdout
    assert (found.order_level, found.holdout_order_level) == (expected.order_level, expected.holdout_order_level)
    np.testing.assert_array_equal(found.equity, expected.equity)
    assert found.note == (
        f"On the training and hold-out bars together the objective raised ValueError: more than {limit} trades. The figures "
        f"are of the Backtest that it had made before."
    )
    assert expected.note is None


def test_where_the_run_cannot_be_known_the_hold_out_alone_counts(prices):
    """With two backtests, either could be the result: the review does not guess which."""
    train_bars, params = 5_000, {"fast": 5, "slow": 60}
    limit = limit_of(params, prices, train_bars)

    def either(params, data):
        runs = [run_of(params, data), run_of({**params, "slow": 90}, data)]
        if runs[0].metrics()["n_trades"] > limit:
            raise ValueError("too many trades")
        return max(runs, key=lambda run: run.metrics()["sharpe"])

    def alone(params, data):
        return {"sharpe": either(params, data).metrics()["sharpe"]}

    found = review(either, params, "sharpe", prices, train_bars, 0)
    assert found.error is None
    assert found.holdout["sharpe"] == review(alone, params, "sharpe", prices, train_bars, 0).holdout["sharpe"]
    assert len(found.equity) == train_bars
    assert found.note == (
        "On the training and hold-out bars together the objective raised ValueError: too many trades. Its hold-out figures "
        "are of the hold-out bars alone, without those before."
    )


def test_a_review_explains_an_objective_that_raises_on_the_hold_out(prices):
    def objective(params, data):
        if data.n_bars < prices.n_bars // 2:
            raise ValueError("too few bars\nfor this")
        return float(data.n_bars)

    found = review(objective, {}, "score", prices, prices.n_bars - 100, 0)
    assert found.note == "On the hold-out bars the objective raised ValueError: too few bars for this."
    assert (found.error, found.holdout) == (None, None)
    assert found.has_findings


def test_the_winner_of_a_study_has_its_hold_out_figures_and_its_chart(tmp_path):
    """The best on the training bars has more trades than allowed as soon as there are more bars."""

    def objective(params, data):
        run = run_of(params, data)
        if params["fast"] >= params["slow"] or run.metrics()["n_trades"] > 250:
            raise ValueError("not allowed")
        return run

    results = rbt.Tuner(
        objective,
        param_space=SPACE,
        bundle="fx",
        tune_config=rbt.TuneConfig(
            metric="sharpe", mode="max", search_alg="random", num_samples=40, seed=7, holdout=0.5
        ),
        run_config=rbt.RunConfig(name="study", storage_path=tmp_path, num_workers=2, verbose=0),
    ).fit()
    assert results.num_errors > 0
    rows = results.review.rows
    assert rows[0]["trial"] == results.get_best_result().trial_id
    assert all(row["holdout"] and row["error"] is None for row in rows)
    noted = [row for row in rows if row["note"]]
    assert rows[0] in noted
    assert len(results.review.curves["equity"]) == rbt.load_bundle("fx").n_bars
    page = results.report(tmp_path / "page.html").read_text()
    assert page.count(
        "On the training and hold-out bars together the objective raised ValueError: not allowed."
    ) == len(noted)
    assert "Wealth and drawdown" in page
    assert "could not be run again" not in page


def test_a_review_keeps_few_of_the_backtests_that_an_objective_makes(prices):
    with keeping() as made:
        first, *_ = [run_of({"fast": fast, "slow": 60}, prices.view(600)) for fast in range(5, 10)]
    assert len(made) == 2
    assert made[0] is first
