"""Objectives of backtesting.py strategies equal backtesting.py alone."""

import cloudpickle
import numpy as np
import pytest
from backtesting import Backtest, Strategy

import rbt_ray as rbt
from rbt_ray.adapters import backtesting
from rbt_ray.data.fidelity import cut_to_fidelity
from rbt_ray.errors import InputError, ObjectiveError, StudyMismatchError
from rbt_ray.objectives.address import address_of

PAIRS = {"fast": rbt.grid_search([5, 10]), "slow": rbt.grid_search([40, 60])}


@pytest.fixture(scope="module")
def swept(example):
    return example("from_backtesting")


class Momentum(Strategy):
    """Does not use `I`, so that it trades from the second bar on; also writes to its prices."""

    lag = 20
    share = 0.5

    def init(self):
        self.data.df["seen"] = 1.0

    def next(self):
        if len(self.data) > self.lag and self.data.Close[-1] > self.data.Close[-self.lag]:
            if not self.position:
                self.buy(size=self.share)
        else:
            self.position.close()


class OtherMomentum(Momentum):
    lag = 30


def test_each_of_the_sweep_equals_a_run_alone(swept, ohlcv):
    results = swept["results"]
    assert len(results) == 30
    assert results.errors == []
    bars = results.study.bundle.train_bars
    alone = Backtest(
        ohlcv("IBM", bars),
        swept["SmaCross"],
        cash=10_000,
        commission=0.001,
        exclusive_orders=True,
        finalize_trades=True,
    )
    for result in results:
        stats = alone.run(**result.config)
        assert round(result.metrics["equity_final"], 2) == round(stats["Equity Final [$]"], 2)
        for ours, theirs in {
            "sqn": "SQN",
            "n_trades": "# Trades",
            "return_pct": "Return [%]",
            "sharpe_ratio": "Sharpe Ratio",
            "max_drawdown_pct": "Max. Drawdown [%]",
            "return_ann_pct": "Return (Ann.) [%]",
            "commissions": "Commissions [$]",
            "buy_and_hold_return_pct": "Buy & Hold Return [%]",
        }.items():
            assert result.metrics[ours] == stats[theirs]
        assert result.metrics["max_drawdown_duration_days"] == stats["Max. Drawdown Duration"].days
        equity = stats["_equity_curve"]["Equity"]
        returns = equity.pct_change().fillna(0.0)
        assert result.metrics["sharpe"] == pytest.approx(returns.mean() / returns.std() * 252**0.5, rel=1e-9)
        assert result.metrics["total_return"] == pytest.approx(equity.iloc[-1] / 10_000 - 1, rel=1e-9)


def test_the_hold_out_is_backtesting_alone_on_the_bars_after(swept, ohlcv):
    [first, *_] = swept["results"].review.rows
    bars = swept["results"].study.bundle.train_bars
    frame = ohlcv("IBM").iloc[bars:]
    alone = Backtest(
        frame, swept["SmaCross"], cash=10_000, commission=0.001, exclusive_orders=True, finalize_trades=True
    ).run(**first["config"])
    assert first["holdout"]["equity_final"] == alone["Equity Final [$]"]
    assert first["holdout"]["sqn"] == alone["SQN"]


def test_without_a_symbol_each_symbol_has_its_own_account(sample, ohlcv):
    objective = backtesting.objective(Momentum, cash=50_000, commission=0.002, trade_on_close=True)
    for n_bars in (600, sample.n_bars):  # FB and GOOG are listed after bar 600
        metrics = objective({"lag": 40}, sample.view(n_bars)).metrics()
        frames = {symbol: ohlcv(symbol, n_bars) for symbol in sample.symbols}
        runs = {
            symbol: Backtest(frame, Momentum, cash=50_000, commission=0.002, trade_on_close=True).run(lag=40)
            for symbol, frame in frames.items()
            if len(frame)
        }
        assert len(runs) == (3 if n_bars == 600 else 5)
        final = sum(stats["Equity Final [$]"] for stats in runs.values()) + 50_000 * (5 - len(runs))
        assert round(metrics["equity_final"], 2) == round(final, 2)
        assert metrics["total_return"] == pytest.approx(final / 250_000 - 1, rel=1e-9)
        assert metrics["n_trades"] == sum(stats["# Trades"] for stats in runs.values())
        win_rates = [stats["Win Rate [%]"] for stats in runs.values()]
        assert metrics["win_rate_pct"] == pytest.approx(np.nanmean(win_rates))


def test_a_lower_fidelity_is_a_backtest_of_the_first_bars(sample, ohlcv):
    objective = backtesting.objective(Momentum, symbol="AAPL", cash=10_000)
    for n_bars in (400, 1_000):
        stats = Backtest(ohlcv("AAPL", n_bars), Momentum, cash=10_000).run(lag=10, share=0.25)
        run = objective({"lag": 10, "share": 0.25}, sample.view(n_bars))
        assert run.metrics()["equity_final"] == stats["Equity Final [$]"]
        np.testing.assert_allclose(run.equity * 10_000, stats["_equity_curve"]["Equity"], rtol=1e-12)


def test_a_trial_leaves_nothing_to_the_next(sample):
    objective = backtesting.objective(Momentum, symbol="AAPL")
    view = sample.view(500)
    first, again = (objective({"lag": lag}, view).metrics() for lag in (10, 10))
    objective({"lag": 50, "share": 0.9}, view)
    assert first == again == objective({"lag": 10}, view).metrics()
    assert Momentum.lag == 20


def test_closes_alone_are_enough():
    fx = rbt.load_bundle("fx")
    metrics = backtesting.objective(Momentum, symbol=fx.symbols[0], cash=10_000)({"lag": 20}, fx.view(1_000)).metrics()
    assert metrics["n_trades"] > 10


def test_no_progress_bar_is_shown(sample, capfd):
    backtesting.objective(Momentum, symbol="AAPL", finalize_trades=True)({"lag": 20}, sample.view())
    assert "Backtest.run" not in capfd.readouterr().err


def tuner(objective, space, tmp_path, bundle="sample"):
    return rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(metric="sharpe", mode="max"),
        run_config=rbt.RunConfig(name="s", storage_path=tmp_path, verbose=0),
    )


def test_what_would_fail_every_trial_is_refused_before_the_first(tmp_path):
    objective = backtesting.objective(Momentum)
    with pytest.raises(ObjectiveError, match=r"no class variable `lagg`.*did you mean 'lag'\?"):
        tuner(objective, {"lagg": rbt.randint(1, 5)}, tmp_path)
    with pytest.raises(ObjectiveError, match="`bundle` is missing"):
        tuner(objective, {"lag": rbt.randint(1, 5)}, tmp_path, bundle=None)
    with pytest.raises(ObjectiveError, match="got 'AAPLE': did you mean 'AAPL'"):
        tuner(backtesting.objective(Momentum, symbol="AAPLE"), {"lag": rbt.randint(1, 5)}, tmp_path)
    with pytest.raises(ObjectiveError, match=r"subclass of backtesting\.Strategy"):
        backtesting.objective("Momentum")


def test_a_symbol_that_is_not_listed_yet_fails_with_a_sentence(sample):
    with pytest.raises(ObjectiveError, match="`FB` has no price on the first 600 bars"):
        backtesting.objective(Momentum, symbol="FB")({"lag": 20}, sample.view(600))


def test_a_symbol_missing_at_this_fidelity_fails_with_one_sentence(sample):
    some, n_bars = cut_to_fidelity(sample, "symbols", 1 / 5, sample.n_bars, seed=7)
    [other] = some.symbols
    absent = "AAPL" if other != "AAPL" else "IBM"
    with pytest.raises(ObjectiveError, match=f"`{absent}` is not among the symbols of this trial, {other}"):
        backtesting.objective(Momentum, symbol=absent)({"lag": 20}, some.view(n_bars))


def test_another_strategy_or_setting_is_another_objective(tmp_path):
    one = backtesting.objective(Momentum, symbol="AAPL")
    assert address_of(one) == address_of(backtesting.objective(Momentum, symbol="AAPL"))
    others = [
        backtesting.objective(OtherMomentum, symbol="AAPL"),
        backtesting.objective(Momentum, symbol="IBM"),
        backtesting.objective(Momentum, symbol="AAPL", cash=20_000),
        backtesting.objective(Momentum, symbol="AAPL", commission=lambda size, price: 1.0),
    ]
    assert len({address_of(other).fingerprint for other in [one, *others]}) == 5
    tuner(one, {"lag": rbt.grid_search([10, 20])}, tmp_path).fit()
    with pytest.raises(StudyMismatchError, match=r"Backtesting\(Momentum\)"):
        rbt.Tuner.restore(tmp_path / "s", others[0])
    assert len(rbt.Tuner.restore(tmp_path / "s", one).fit()) == 2


def test_the_objective_pickles_with_a_commission(sample):
    objective = backtesting.objective(Momentum, symbol="AAPL", commission=lambda size, price: 2.0)
    there = cloudpickle.loads(cloudpickle.dumps(objective))
    view = sample.view(800)
    assert there({"lag": 15}, view).metrics() == objective({"lag": 15}, view).metrics()
    assert issubclass(ObjectiveError, InputError)
