"""Walk-forward and CPCV: an independent loop in pandas gives the same results, and no later price has an effect."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import TimeSeriesSplit

import rbt_ray as rbt
from rbt_ray.errors import NoResultError, SettingError

SYMBOLS = ("A", "B", "C")
DAYS = pd.bdate_range("2010-01-04", periods=960)
SPACE = {"fast": rbt.choice([2, 3, 5, 8]), "slow": rbt.choice([10, 20, 30])}
CONFIGS = list(itertools.product(SPACE["fast"].options, SPACE["slow"].options))


def closes_of(seed):
    rng = np.random.default_rng(seed)
    return 100 * np.exp(np.cumsum(rng.normal(3e-4, 0.01, (len(DAYS), len(SYMBOLS))), axis=0))


def bundle_of(closes):
    return rbt.Bundle.from_arrays({"close": closes}, DAYS, SYMBOLS)


CLOSES = closes_of(4)


def crossing(params, data):
    weights = (data.sma("close", params["fast"]) > data.sma("close", params["slow"])) / data.n_symbols
    return rbt.backtest(data, weights, execution="close", rebalance="every_bar", costs=rbt.Costs())


def returned(params, data):
    run = crossing(params, data)
    return {"sharpe": run.metrics()["sharpe"], "returns": np.array(run.returns)}


@rbt.batched
def batched(params, data):
    return [crossing(one, data) for one in params]


def number(params, data):
    return crossing(params, data).metrics()["sharpe"]


BUILT_IN = rbt.objectives.sma_cross(turnover_bps=0, execution="close", rebalance="every_bar")


def run(folder, objective, validation, closes=CLOSES, name="s", workers=2, **tune):
    settings = {"seed": 3, "search_alg": "grid", "holdout": 0.1, **tune}
    return rbt.Tuner(
        objective,
        param_space=SPACE,
        bundle=bundle_of(closes),
        tune_config=rbt.TuneConfig(validation=validation, **settings),
        run_config=rbt.RunConfig(
            name=name, storage_path=folder, verbose=0, recheck=0, num_workers=workers, backend="local"
        ),
    ).fit()


def in_pandas(closes, fast, slow):
    """The returns of a crossover of averages: yesterday's weights times today's changes."""
    frame = pd.DataFrame(closes, DAYS, SYMBOLS)
    weights = (frame.rolling(fast).mean() > frame.rolling(slow).mean()) / len(SYMBOLS)
    return (weights.shift(1, fill_value=0.0) * frame.pct_change().fillna(0.0)).sum(axis=1)


def annual_sharpe(returns):
    return returns.mean() / returns.std() * np.sqrt(252)


def loop(windows):
    """For each window the best config, its Sharpe ratio there, and its returns on the test bars."""
    series = {config: in_pandas(CLOSES, *config) for config in CONFIGS}
    for window in windows:
        train = np.concatenate([np.arange(*ends) for ends in window.train])
        test = np.concatenate([np.arange(*ends) for ends in window.test])
        best = max(CONFIGS, key=lambda config: annual_sharpe(series[config].iloc[train]))
        yield best, annual_sharpe(series[best].iloc[train]), series[best].iloc[test]


VALIDATIONS = [
    rbt.WalkForward(train=8, test=2),
    rbt.WalkForward(train=7, test=3, anchored=True, gap=5),
    rbt.WalkForward(train="1Y", test="3ME", purge=4),
    TimeSeriesSplit(n_splits=3, gap=2),
    rbt.CPCV(5, 2, purge=4, embargo=2),
]


KINDS = {"config": crossing, "batch": batched, "dict": returned, "sweep": BUILT_IN}


@pytest.mark.parametrize(
    ("objective", "validation"),
    [
        # By default every kind of objective and every validation: one in two of all pairs, as on a chessboard.
        pytest.param(
            KINDS[kind], validation, id=f"{kind}-{validation!r}", marks=[pytest.mark.slow] * ((row + column) % 2)
        )
        for row, kind in enumerate(KINDS)
        for column, validation in enumerate(VALIDATIONS)
    ],
)
def test_a_loop_in_pandas_over_the_windows_gives_the_same_results(tmp_path, objective, validation):
    found = run(tmp_path, objective, validation).walk_forward()
    expected = list(loop(found.windows))
    for window, (best, inside, outside) in zip(found.windows, expected, strict=True):
        assert (window.config["fast"], window.config["slow"]) == best
        assert window.in_sample == pytest.approx(inside, rel=1e-9)
        assert window.out_of_sample == pytest.approx(annual_sharpe(outside), rel=1e-9)
    if isinstance(validation, rbt.CPCV):
        assert found.paths.shape == (4, 864)  # each block is tested with each of the 4 others
        return
    stitched = pd.concat([outside for _, _, outside in expected])
    np.testing.assert_allclose(found.returns, stitched, rtol=1e-9, atol=1e-14)
    assert found.time.astype("datetime64[D]").tolist() == stitched.index.to_numpy("datetime64[D]").tolist()
    assert found.sharpe == pytest.approx(annual_sharpe(stitched), rel=1e-9)
    assert found.equity[-1] == pytest.approx((1 + stitched).prod(), rel=1e-9)
    held = pd.DataFrame(CLOSES, DAYS).pct_change().mean(axis=1)[stitched.index]
    assert found.benchmark_sharpe == pytest.approx(annual_sharpe(held), rel=1e-9)
    assert found.efficiency == pytest.approx(found.out_of_sample / found.in_sample)


def test_printing_the_result_gives_one_sentence(tmp_path):
    found = run(tmp_path, crossing, rbt.WalkForward(8, 1)).walk_forward()
    frame = found.get_dataframe()
    means = [f"{frame[name].mean():.3g}" for name in ("out_of_sample", "in_sample")]
    assert str(found) == (
        f"WalkForward(train=8, test=1): sharpe {means[0]} out of sample, {means[1]} in-sample, mean of {len(frame)} windows; "
        f"Sharpe ratio {found.sharpe:.2f} of the stitched returns, benchmark {found.benchmark_sharpe:.2f}."
    )


def test_each_path_of_cpcv_has_every_bar_once_from_a_window_that_tests_on_it(tmp_path):
    found = run(tmp_path, crossing, rbt.CPCV(5, 2)).walk_forward()
    tested = {}
    for window, (_, _, outside) in zip(found.windows, loop(found.windows), strict=True):
        for start, stop in window.test:
            tested.setdefault(start, []).append((stop, outside[DAYS[start:stop]].to_numpy()))
    blocks = np.array_split(np.arange(864), 5)
    for path, returns in enumerate(found.paths):
        for block in blocks:
            pieces = [series for start, several in tested.items() for stop, series in cut(start, several, block)]
            assert any(np.allclose(returns[block], piece, rtol=1e-9, atol=1e-14) for piece in pieces), path


def cut(start, several, block):
    """The parts of tested ranges that cover a block."""
    for stop, series in several:
        if start <= block[0] and block[-1] < stop:
            yield stop, series[block[0] - start : block[-1] + 1 - start]


@pytest.mark.parametrize(
    ("objective", "tune"),
    [
        (crossing, {}),
        (BUILT_IN, {}),
        (BUILT_IN, {"metric": "max_drawdown"}),
        (crossing, {"search_alg": "bohb", "num_samples": 8}),
    ],
    ids=["config", "sweep", "drawdown", "bohb"],
)
@pytest.mark.parametrize("validation", [VALIDATIONS[0], VALIDATIONS[2]], ids=repr)
def test_later_prices_change_no_bit_of_an_earlier_window(tmp_path, objective, tune, validation):
    first = run(tmp_path, objective, validation, **tune).walk_forward()
    middle = first.windows[len(first.windows) // 2].test[-1][1]
    closes = CLOSES.copy()
    closes[middle:] *= closes_of(9)[middle:] / 50
    second = run(tmp_path, objective, validation, closes, name="later", **tune).walk_forward()
    n_earlier = 0
    for before, after in zip(first.windows, second.windows, strict=True):
        if before.test[-1][1] <= middle:
            n_earlier += 1
            assert before == after or repr(before) == repr(after)  # NaN in metrics equals itself
    assert n_earlier > len(first.windows) / 2
    assert repr(first.windows[-1]) != repr(second.windows[-1])


@pytest.mark.parametrize("seed", range(4))
def test_prices_after_any_bar_change_no_bit_of_a_choice_made_before(tmp_path, seed):
    rng = np.random.default_rng(seed)
    last = int(rng.integers(200, 864))  # the last bar with the same prices
    closes = CLOSES.copy()
    closes[last + 1 :] *= closes_of(100 + seed)[last + 1 :] / 50
    objective, validation, tune = [
        (crossing, rbt.WalkForward(4, 1), {}),
        (BUILT_IN, rbt.WalkForward(3, 2, anchored=True, gap=int(rng.integers(20))), {"metric": "total_return"}),
        (batched, rbt.WalkForward("9M", "1ME", purge=int(rng.integers(20))), {}),
        (returned, rbt.WalkForward(4, 4), {"search_alg": "tpe", "num_samples": 6}),
    ][seed]
    before, after = (
        run(tmp_path, objective, validation, prices, name=f"s{number}", **tune).walk_forward().windows
        for number, prices in enumerate((CLOSES, closes))
    )
    n_chosen = 0
    for one, other in zip(before, after, strict=True):
        if one.train[-1][1] <= last + 1:
            n_chosen += 1
            assert (one.trial, one.config, one.in_sample) == (other.trial, other.config, other.in_sample)
        if one.test[-1][1] <= last + 1:
            assert repr(one) == repr(other)
    assert n_chosen
    assert repr(before[-1]) != repr(after[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "tune",
    [{}, {"search_alg": "bohb", "num_samples": 8, "min_fidelity": 0.3}],
    ids=["grid", "bohb"],
)
def test_the_result_is_the_same_for_any_number_of_workers(tmp_path, tune):
    validation = rbt.WalkForward(9, 3, gap=1)
    one, four = (answers(run(tmp_path, crossing, validation, name=f"s{n}", workers=n, **tune)) for n in (1, 4))
    assert one == four


def answers(results):
    """The walk-forward and the verdict as JSON."""
    return json.dumps([results.walk_forward().to_dict(), results.verdict().to_dict()])


def test_a_search_that_learns_runs_again_in_each_window_with_a_seed_of_its_own(tmp_path):
    results = run(tmp_path, crossing, rbt.WalkForward(8, 4), search_alg="tpe", num_samples=6)
    found = results.walk_forward()
    searches = [rbt.ResultGrid(path) for path in sorted((results.path / "validation").iterdir())]
    assert len(searches) == len(found.windows) == 2
    assert len({search.study.seed for search in (*searches, results)}) == 3
    for search, window in zip(searches, found.windows, strict=True):
        assert search.is_done
        assert len(search) == 6
        best = search.get_best_result()
        assert (best.trial_id, best.config) == (window.trial, window.config)
        # The whole window, and no more than it, decides.
        series = in_pandas(CLOSES, best.config["fast"], best.config["slow"]).iloc[slice(*window.train[0])]
        assert window.in_sample == pytest.approx(annual_sharpe(series), rel=1e-9)


def test_fidelities_are_shares_of_a_windows_training_bars(tmp_path):
    validation = rbt.WalkForward(8, 4)
    tune = {"search_alg": "random", "scheduler": "successive_halving", "num_samples": 9, "min_fidelity": 0.11}
    results = run(tmp_path, n_bars_counted, validation, metric="bars", **tune)
    for path, window in zip(
        sorted((results.path / "validation").iterdir()), results.walk_forward().windows, strict=True
    ):
        search = rbt.ResultGrid(path)
        (start, stop) = window.train[0]
        # The objective returns a number, so it runs on the training bars alone.
        assert {(round(one.fidelity, 3), one.metrics["window 0"]) for one in search} == {
            (round(share, 3), float(-(-(stop - start) * share // 1))) for share in {one.fidelity for one in search}
        }
        assert len({one.fidelity for one in search}) > 1


def n_bars_counted(params, data):
    return {"bars": float(data.n_bars)}


def test_an_objective_without_returns_runs_on_the_bars_of_each_window_alone(tmp_path):
    found = run(tmp_path, number, rbt.WalkForward(8, 4)).walk_forward()
    for window in found.windows:
        config = dict(window.config)
        (start, stop), (test_start, test_stop) = window.train[0], window.test[0]
        alone = {(fast, slow): number({"fast": fast, "slow": slow}, part_of(start, stop)) for fast, slow in CONFIGS}
        assert (config["fast"], config["slow"]) == max(alone, key=alone.get)
        assert window.out_of_sample == number(config, part_of(test_start, test_stop))
    assert found.returns.shape == (0,)
    assert np.isnan(found.sharpe)
    json.dumps(found.to_dict(), allow_nan=False)


def part_of(start, stop):
    return rbt.Bundle.from_arrays({"close": CLOSES[start:stop]}, DAYS[start:stop], SYMBOLS).view()


def test_a_config_with_too_few_trades_is_not_chosen(tmp_path):
    plain = run(tmp_path, crossing, rbt.WalkForward(8, 8), name="plain").walk_forward().windows[0]
    view = bundle_of(CLOSES).view(432)
    trades = {
        (fast, slow): crossing({"fast": fast, "slow": slow}, view).metrics()["n_trades"] for fast, slow in CONFIGS
    }
    least = trades[tuple(plain.config.values())] + 1
    assert least <= max(trades.values())
    for objective in (crossing, BUILT_IN):
        validation = rbt.WalkForward(8, 8, min_trades=least)
        (window,) = run(tmp_path, objective, validation, name=type(objective).__name__).walk_forward().windows
        assert trades[tuple(window.config.values())] >= least


def test_a_window_in_which_no_config_has_a_value_holds_nothing(tmp_path):
    found = run(tmp_path, crossing, rbt.WalkForward(8, 8, min_trades=10_000)).walk_forward()
    assert found.windows[0].config is None
    assert (found.returns == 0).all()
    assert found.get_dataframe()["trial"].isna().all()
    json.dumps(found.to_dict(), allow_nan=False)


def raising_later(params, data):
    if data.n_bars > 700:
        raise ValueError("too many bars")
    return crossing(params, data)


def test_an_error_on_the_test_bars_is_shown_and_stops_nothing(tmp_path):
    tune = {"holdout": 0.5}
    found = run(tmp_path, raising_later, rbt.WalkForward(8, 4), **tune).walk_forward()
    assert {window.error for window in found.windows} == {None}
    with pytest.raises(NoResultError):
        run(tmp_path, raising_later, rbt.WalkForward(8, 4), name="whole", holdout=None).get_best_result()


def test_the_frame_has_a_row_per_window(tmp_path):
    found = run(tmp_path, crossing, rbt.WalkForward(8, 2)).walk_forward()
    frame = found.get_dataframe()
    assert frame["config/fast"].tolist() == [window.config["fast"] for window in found.windows]
    assert frame["out_of_sample"].tolist() == frame["sharpe"].tolist()
    assert (frame["train_to"] == frame["test_from"]).all()


def test_a_study_without_windows_says_how_to_get_them(tmp_path):
    results = run(tmp_path, crossing, None)
    with pytest.raises(SettingError, match=r"validation=rbt\.WalkForward"):
        results.walk_forward()


def test_constraints_on_metrics_are_not_judged_in_windows_and_refused(tmp_path):
    with pytest.raises(SettingError) as caught:
        run(tmp_path, crossing, rbt.WalkForward(8, 1), constraints=["n_trades >= 30"])
    assert str(caught.value) == (
        "`validation` chooses by the metric in each window, and does not judge `constraints` on metrics there: leave one of "
        "them out, or use the `min_trades` of the validation."
    )
    found = run(tmp_path, crossing, rbt.WalkForward(8, 1), constraints=["slow - fast >= 10"]).walk_forward()
    assert all(window.config["slow"] - window.config["fast"] >= 10 for window in found.windows)


def test_a_validation_needs_a_bundle(tmp_path):
    with pytest.raises(SettingError, match="`validation`"):
        rbt.Tuner(
            lambda params, data: 1.0,
            param_space=SPACE,
            tune_config=rbt.TuneConfig(validation=rbt.WalkForward(8, 1)),
            run_config=rbt.RunConfig(storage_path=tmp_path),
        )


SCRIPT = """
import os, sys, time
import numpy as np
import rbt_ray as rbt

def objective(params, data):
    weights = (data.sma("close", params["fast"]) > data.sma("close", params["slow"])) / data.n_symbols
    with open(os.environ["CALLS"], "a") as log:
        log.write(f"{data.n_bars} {params['fast']} {params['slow']}\\n")
    time.sleep(0.01)
    return rbt.backtest(data, weights)

def tuner(folder, name, search_alg):
    return rbt.Tuner(
        objective,
        param_space={"fast": rbt.randint(2, 10), "slow": rbt.randint(12, 20)},
        bundle="sample",
        tune_config=rbt.TuneConfig(
            search_alg=search_alg, num_samples=24, seed=1, scheduler=None, min_fidelity=1.0,
            validation=rbt.WalkForward(8, 2, gap=3),
        ),
        run_config=rbt.RunConfig(name=name, storage_path=folder, verbose=0, recheck=0, num_workers=2),
    )

if __name__ == "__main__":
    if sys.argv[1] == "restore":
        results = rbt.Tuner.restore(f"{sys.argv[2]}/{sys.argv[3]}", objective).fit()
    else:
        results = tuner(sys.argv[2], sys.argv[3], sys.argv[4]).fit()
    import json
    print(json.dumps([results.walk_forward().to_dict(), results.verdict().to_dict()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("search_alg", ["random", "tpe"])
def test_a_validation_that_was_killed_continues_and_has_the_same_result(tmp_path, monkeypatch, search_alg):
    script, log = tmp_path / "study.py", tmp_path / "calls"
    script.write_text(SCRIPT)
    monkeypatch.setenv("CALLS", str(log))

    def start(*words):
        return subprocess.Popen([sys.executable, str(script), *words], stdout=subprocess.PIPE, text=True, cwd=tmp_path)

    whole = start("run", str(tmp_path), "whole", search_alg)
    expected = json.loads(whole.communicate(timeout=120)[0])
    n_calls = len(log.read_text().splitlines())
    log.unlink()

    killed = start("run", str(tmp_path), "s", search_alg)
    deadline = time.monotonic() + 120
    while not log.exists() or len(log.read_text().splitlines()) < 0.6 * n_calls:
        assert killed.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    n_before = len(log.read_text().splitlines())
    assert (tmp_path / "s" / "validation").is_dir()

    resumed = start("restore", str(tmp_path), "s")
    assert json.loads(resumed.communicate(timeout=120)[0]) == expected
    n_after = len(log.read_text().splitlines()) - n_before
    assert n_after < 0.75 * n_calls  # what was recorded does not run again
    assert rbt.ResultGrid(tmp_path / "s").is_done
    shutil.rmtree(tmp_path / "s" / "validation")  # the study's own journal has the result
    results = rbt.ResultGrid(tmp_path / "s")
    found = results.walk_forward()
    assert json.loads(json.dumps([found.to_dict(), results.verdict().to_dict()])) == expected
    assert replace(found.windows[0]) == found.windows[0]
