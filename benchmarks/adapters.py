"""Sweeps of other backtesters' strategies: on rbt_ray's workers, and by a multiprocessing.Pool made for the sweep.

    python benchmarks/adapters.py [--quick] [--rounds 7] [--workers 2] [--only backtesting]

Each round runs every way once, one after another, on the embedded prices:

    warm     Tuner.fit on workers that an earlier study of this driver has used, journal and all
    cold     the same with workers that have to start first
    fork     Pool(2) made for the sweep, forked from this process, which has imported the backtester and made the frames
    spawn    Pool(2) made for the sweep, whose processes start afresh, as on macOS and Windows

A Pool returns as much as its own user would write: the backtester's figures. Figures are medians in seconds, with the
range; nothing is asserted but that all ways find the same.
"""

import argparse
import functools
import importlib
import itertools
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd

import rbt_ray as rbt

SYMBOL, FAST, SLOW = "IBM", (5, 10, 15, 20, 30), (40, 60, 90, 120, 160, 200)
MANY = tuple(range(40, 240, 2))
"""For the case whose configs take 2 ms: with 30 of them, only start and end would be measured."""


@functools.cache
def frame():
    """Prices of one symbol in a global, as is usual with a Pool."""
    bundle = rbt.load_bundle("sample")
    at = bundle.symbols.index(SYMBOL)
    columns = {name.capitalize(): np.array(bundle[name][:, at]) for name in bundle.fields}
    return pd.DataFrame(columns, pd.DatetimeIndex(bundle.index))


@functools.cache
def closes():
    bundle = rbt.load_bundle("sample")
    return pd.DataFrame(np.array(bundle.close), pd.DatetimeIndex(bundle.index), list(bundle.symbols))


def sma(values, n):
    return pd.Series(values).rolling(n).mean()


@functools.cache
def sma_cross():
    from backtesting import Strategy
    from backtesting.lib import crossover

    class SmaCross(Strategy):
        fast = 10
        slow = 50

        def init(self):
            self.fast_line = self.I(sma, self.data.Close, self.fast)
            self.slow_line = self.I(sma, self.data.Close, self.slow)

        def next(self):
            if crossover(self.fast_line, self.slow_line):
                self.buy()
            elif crossover(self.slow_line, self.fast_line):
                self.sell()

    return SmaCross


def by_backtesting(config):
    from backtesting import Backtest

    stats = Backtest(frame(), sma_cross(), commission=0.001, exclusive_orders=True, finalize_trades=True).run(**config)
    return stats["Equity Final [$]"]


def portfolio(close, fast, slow):
    import vectorbt as vbt

    fast_line = vbt.MA.run(close, fast, short_name="fast")
    slow_line = vbt.MA.run(close, slow, short_name="slow")
    entries, exits = fast_line.ma_crossed_above(slow_line), fast_line.ma_crossed_below(slow_line)
    return vbt.Portfolio.from_signals(close, entries, exits, fees=0.001)


def by_vectorbt(config):
    found = portfolio(frame()["Close"], **config)
    found.trades.count()
    return found.final_value()


def targets(close, fast, slow):
    import bt

    above = close.rolling(fast).mean() > close.rolling(slow).mean()
    weights = above.astype(float) / close.shape[1]
    return bt.Strategy("targets", [bt.algos.RunWeekly(), bt.algos.WeighTarget(weights), bt.algos.Rebalance()])


def by_bt(config):
    import bt

    test = bt.Backtest(targets(closes(), **config), closes(), progress_bar=False)
    test.run()
    return test.strategy.values.iloc[-1]


def returns(close, fast, slow):
    held = (close.rolling(fast).mean() > close.rolling(slow).mean()).astype(float).shift(1)
    return (held * close.pct_change(fill_method=None)).mean(axis=1).fillna(0.0)


def by_pandas(config):
    found = returns(closes(), **config)
    found.mean() / found.std()
    return (1 + found).prod() - 1


def cases():
    from rbt_ray.adapters import backtesting, bt, pandas, vectorbt

    own = {"commission": 0.001, "exclusive_orders": True, "finalize_trades": True}
    return {
        "backtesting": (
            lambda: backtesting.objective(sma_cross(), symbol=SYMBOL, **own),
            by_backtesting,
            "equity_final",
        ),
        "vectorbt": (lambda: vectorbt.objective(portfolio, symbol=SYMBOL), by_vectorbt, "final_value"),
        "vectorbt batched": (
            lambda: vectorbt.objective(portfolio, symbol=SYMBOL, batched=True),
            by_vectorbt,
            "final_value",
        ),
        "bt": (lambda: bt.objective(targets), by_bt, "final_value"),
        "pandas": (lambda: pandas.objective(returns, gives="returns"), by_pandas, "total_return"),
    }


def study(make, metric, configs, workers, folder):
    slow = sorted({config["slow"] for config in configs})
    fast = sorted({config["fast"] for config in configs})
    return rbt.Tuner(
        make(),
        param_space={"fast": rbt.grid_search(fast), "slow": rbt.grid_search(slow)},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric=metric, mode="max", search_alg="grid"),
        run_config=rbt.RunConfig(
            name=f"s{time.monotonic_ns()}",
            storage_path=folder,
            num_workers=workers,
            verbose=0,
            recheck=0,
            backend="local",
        ),
    ).fit()


def timed(run):
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def ways(make, alone, metric, configs, workers, folder):
    """Times of each way, and the best value that it finds."""

    def ours():
        return study(make, metric, configs, workers, folder).get_best_result().metrics[metric]

    def pool(method):
        with multiprocessing.get_context(method).Pool(workers) as processes:
            return max(processes.map(alone, configs))

    def cold():
        rbt.shutdown()
        return ours()

    yield "cold", timed(cold)
    yield "warm", timed(ours)
    yield "spawn", timed(lambda: pool("spawn"))
    if "fork" in multiprocessing.get_all_start_methods():
        yield "fork", timed(lambda: pool("fork"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of four configs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", help="one of the cases")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"  # for the Pools' sake: backtesting.py draws a bar for each run
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {options.workers} workers, "
        f"{1 if options.quick else options.rounds} rounds, rbt_ray {rbt.__version__}"
    )
    for name, (make, alone, metric) in cases().items():
        if options.only not in (None, name):
            continue
        frame(), closes(), importlib.import_module(name.split()[0])
        slow = SLOW[:2] if options.quick else MANY if name == "pandas" else SLOW
        configs = [{"fast": f, "slow": s} for f, s in itertools.product(FAST[:2] if options.quick else FAST, slow)]
        found: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(1 if options.quick else options.rounds):
                best = set()
                for way, (seconds, value) in ways(make, alone, metric, configs, options.workers, folder):
                    found.setdefault(way, []).append(seconds)
                    best.add(round(value, 6))
                if len(best) > 1:
                    sys.exit(f"{name}: the ways find different bests: {best}")
        for way, seconds in found.items():
            middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
            print(
                f"{name:<18} {len(configs):>4} configs  {way:<6} {middle:8.3f} s   [{low:.3f}, {high:.3f}]", flush=True
            )
    rbt.shutdown()


if __name__ == "__main__":
    main()
