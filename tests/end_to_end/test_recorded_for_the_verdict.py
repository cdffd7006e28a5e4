"""What a verdict needs is recorded once, the same bit for bit for any workers, after kill -9, and beside the table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.block_sums import BlockSums, block_lengths
from rbt_ray.engine.audit import audit_size
from rbt_ray.errors import NoResultError, SettingError
from rbt_ray.objectives import sma_cross
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.store.journal import Journal
from rbt_ray.study.draw import AUDIT_FIRST, CAP, is_drawn
from rbt_ray.tuner.benchmark import hold_returns
from rbt_ray.tuner.result_grid import ResultGrid

SPACE = {"fast": rbt.randint(2, 40), "slow": rbt.randint(20, 90)}
CROSS = sma_cross()


def with_returns(params, data):
    run = CROSS(params, data)
    if params["fast"] == 13:
        raise ValueError("an unlucky number")
    return {"sharpe": run.metrics()["sharpe"], "skew": 0.0, "returns": run.returns}


def plain(params, data):
    return float(params["fast"])


@pytest.fixture(scope="module")
def bundle():
    """Two symbols, 700 bars."""
    prices = rbt.load_bundle("sample")
    return rbt.Bundle.from_arrays({"close": prices.close[:700, [0, 3]]}, prices.index[:700], ["A", "B"])


def tuner(folder, name, bundle, objective=CROSS, *, space=None, run=(), **tune):
    settings = {"search_alg": "random", "num_samples": 150, "seed": 3, **tune}
    return rbt.Tuner(
        objective,
        param_space=space or SPACE,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**settings),
        run_config=rbt.RunConfig(
            name=name, storage_path=folder, **{"backend": "local", "num_workers": 2, "verbose": 0, **dict(run)}
        ),
    )


def fit(*words, **settings):
    return tuner(*words, **settings).fit()


def recorded(results):
    """Everything that the verdict is made from, as bytes."""
    sums, benchmark = results.block_sums()
    parts = [sums.trials, sums.rows(), benchmark.lengths, benchmark.sums, benchmark.squares]
    if results.audit is not None:
        audit = results.audit
        parts += [audit.trials, audit.points, audit.outcomes.block_sums.rows, audit.outcomes.block_sums.values]
    verdict = json.dumps(results.verdict().to_dict())
    return [part.tobytes() for part in parts], results.table_hash(), verdict


ADAPTIVE = {"search_alg": "bohb", "num_samples": 40, "min_fidelity": 1 / 3, "audit": 20}


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        (CROSS, {"num_samples": 400}),
        pytest.param(with_returns, {}, marks=pytest.mark.slow),
        (CROSS, ADAPTIVE),
        pytest.param(with_returns, ADAPTIVE, marks=pytest.mark.slow),
    ],
    ids=["sweep", "function", "adaptive sweep", "adaptive function"],
)
def test_the_same_bits_on_any_workers_and_batches(tmp_path, bundle, objective, settings):
    found = [
        recorded(
            fit(tmp_path, f"w{n}-{most}", bundle, objective, run={"num_workers": n, "recycle_after": most}, **settings)
        )
        for n, most in [(1, None), (4, None), (2, 40)]
    ]
    assert found.count(found[0]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("objective", [CROSS, with_returns], ids=["sweep", "function"])
def test_the_same_bits_on_ray(tmp_path, bundle, objective):
    local = fit(tmp_path, "local", bundle, objective, **ADAPTIVE)
    ray = fit(tmp_path, "ray", bundle, objective, run={"backend": "ray"}, **ADAPTIVE)
    assert recorded(ray) == recorded(local)
    rbt.shutdown()


def test_the_sums_are_those_of_the_returns_of_each_trial(tmp_path, bundle):
    results = fit(tmp_path, "sums", bundle, with_returns, holdout=0.2, benchmark="B")
    n_bars = results.study.bundle.train_bars
    assert n_bars == 560
    sums, benchmark = results.block_sums()
    completed = [result for result in results if result.status == "COMPLETED"]
    assert 0 < results.num_errors < len(results)
    assert sums.trials.tolist() == [result.trial_id for result in completed]
    assert "returns" not in results.get_dataframe()
    beside = hold_returns(bundle, n_bars, "B")
    returns = np.column_stack([CROSS(result.config, bundle.view(n_bars)).returns for result in completed])
    np.testing.assert_allclose(sums.rows(), BlockSums.of(returns, beside).rows(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(benchmark.sums, np.add.reduceat(beside, np.r_[0, np.cumsum(block_lengths(n_bars))[:-1]]))
    rest = hold_returns(bundle, 700, "B")[n_bars:]
    assert results.study.benchmark.holdout_sharpe == pytest.approx(rest.mean() / rest.std(ddof=1) * 252**0.5)


def test_block_sums_change_neither_the_table_nor_its_hash(tmp_path, bundle):
    with_sums = fit(tmp_path, "with", bundle, with_returns)
    only_metrics = fit(tmp_path, "without", bundle, lambda params, data: _without_returns(params, data))
    assert with_sums.block_sums() is not None
    assert only_metrics.block_sums() is None
    assert with_sums.table_hash() == only_metrics.table_hash()


def _without_returns(params, data):
    return {name: value for name, value in with_returns(params, data).items() if name != "returns"}


@pytest.mark.slow
def test_above_the_cap_a_sample_is_recorded_and_the_winner_again(tmp_path, bundle):
    space = {"fast": rbt.randint(2, 300), "slow": rbt.randint(20, 500)}
    results = fit(tmp_path, "many", bundle, space=space, num_samples=60_000, seed=2)
    winner = results.get_best_result()
    sums, _benchmark = results.block_sums()
    in_journal = results.table.outcomes.block_sums
    assert winner.trial_id not in results.table.trials[in_journal.rows]  # this seed's winner is not drawn
    assert CAP * 0.9 < len(sums) <= CAP + 1
    assert winner.trial_id in sums.trials
    drawn = is_drawn(2, sums.trials, 60_000, 60_000)
    assert sums.trials[~drawn].tolist() == [winner.trial_id]
    returns = CROSS(winner.config, bundle.view()).returns
    expected = BlockSums.of(returns[:, None], hold_returns(bundle, bundle.n_bars)).rows()[0]
    np.testing.assert_allclose(sums.rows()[sums.trials == winner.trial_id][0], expected, rtol=1e-9, atol=1e-12)
    size = (results.path / "journal.sqlite").stat().st_size
    assert len(results) == 60_000
    # 8 (1 + 48) bytes for each drawn trial, and at most 60 for the others, beside config, duration and metrics.
    assert size < 1.05 * (60_000 * 8 * (2 + 1 + 4) + CAP * 8 * 49 + (60_000 - CAP) * 60)
    assert results.verdict().to_dict()["checks"]


def test_the_audit_set_is_drawn_by_lot_evaluated_at_full_fidelity_and_kept_apart(tmp_path, bundle):
    results = fit(tmp_path, "audit", bundle, **ADAPTIVE)
    without = fit(tmp_path, "none", bundle, **{**ADAPTIVE, "audit": 0})
    assert without.audit is None
    assert results.table_hash() == without.table_hash()
    assert len(results) == len(without)
    assert results.audit.trials.tolist() == list(range(20))
    assert (results.audit.fidelity == 1).all()
    assert results.cost == pytest.approx(without.cost + 20)
    space = results.study.space
    configs = space.decode(results.audit.points)
    assert len({tuple(config.items()) for config in configs}) == 20
    for row, config in enumerate(configs):
        sharpe = CROSS(config, bundle.view()).metrics()["sharpe"]
        assert results.audit.numbers("sharpe")[row] == pytest.approx(sharpe, nan_ok=True)
    # Any config may be drawn, wherever the search went.
    fast = np.array([config["fast"] for config in configs])
    assert fast.min() < 12
    assert fast.max() > 29
    assert np.array_equal(results.audit.points, fit(tmp_path, "again", bundle, plain, **ADAPTIVE).audit.points)


def test_a_space_smaller_than_the_audit_set_is_evaluated_whole(tmp_path, bundle):
    space = {"fast": rbt.randint(2, 5), "slow": rbt.randint(20, 24)}
    results = fit(tmp_path, "small", bundle, space=space, **ADAPTIVE)
    assert len(results.audit) == 12


def test_by_default_a_long_adaptive_search_has_an_audit_set(tmp_path, bundle):
    adaptive = tuner(tmp_path, "a", bundle, **{**ADAPTIVE, "audit": None}).study
    table = fit(tmp_path, "t", bundle, num_samples=2_600).table
    without_returns = fit(tmp_path, "p", bundle, plain, num_samples=2_600).table
    shorter = fit(tmp_path, "s", bundle, num_samples=2_500).table
    assert audit_size(adaptive, table) == 128
    assert audit_size(adaptive, without_returns) == 0
    assert audit_size(adaptive, shorter) == 0
    assert audit_size(tuner(tmp_path, "b", bundle).study, table) == 0


OBJECTIVE = """
import os, time
from pathlib import Path
from rbt_ray.objectives import sma_cross

CROSS = sma_cross()

def objective(params, data):
    with open(Path(__file__).with_name("ran.log"), "a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(0.02)
    run = CROSS(params, data)
    return {"sharpe": run.metrics()["sharpe"], "returns": run.returns}
"""
STUDY = """
objective = "slow_one:objective"
bundle = "sample"
[space]
fast = { randint = [2, 40] }
slow = { randint = [20, 90] }
[search]
search_alg = "bohb"
min_fidelity = 0.4
num_samples = 20
seed = 5
audit = 40
benchmark = "AAPL"
[run]
recheck = 0
"""


def command(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "rbt_ray.cli", *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_kill_9_during_the_audit_then_resume(tmp_path):
    found = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "slow_one.py").write_text(OBJECTIVE)
        (folder / "study.toml").write_text(STUDY)
        log, study = folder / "ran.log", folder / "studies" / "study"
        driver = command(folder, "run", "study.toml", "--workers", "2")
        if name == "killed":
            end = time.monotonic() + 120
            while not (study / "journal.sqlite").exists() or not _n_audited(study):
                assert time.monotonic() < end, "waited in vain"
                time.sleep(0.01)
            os.kill(driver.pid, signal.SIGKILL)
            driver.communicate()
            workers = {int(line) for line in log.read_text().split()}
            while any(psutil.pid_exists(pid) for pid in workers):
                assert time.monotonic() < end, "workers are left"
                time.sleep(0.01)
            assert 0 < (before := _n_audited(study)) < 40
            n_ran = len(log.read_text().split())
            driver = command(folder, "resume", str(study))
        _, errors = driver.communicate(timeout=120)
        assert driver.returncode == 0, errors
        if name == "killed":  # what was recorded does not run again
            assert len(log.read_text().split()) - n_ran == 40 - before
        found.append(recorded(ResultGrid(study)))
    assert found[0] == found[1]


def _n_audited(study):
    audit = ResultGrid(study).audit
    return 0 if audit is None else len(audit)


def test_a_study_of_an_earlier_version_is_restored_without_block_sums(tmp_path, bundle):
    new = fit(tmp_path, "new", bundle, num_samples=30)
    definition = new.study.to_json()
    for name in ("benchmark", "audit"):
        del definition[name]
    folder = tmp_path / "old"
    folder.mkdir()
    bundle.save(folder / "bundle.arrow")
    with closing(Journal.create(folder, definition)):
        pass
    old = rbt.Tuner.restore(folder, CROSS, run_config=rbt.RunConfig(backend="local", num_workers=1, verbose=0)).fit()
    assert old.table_hash() == new.table_hash()
    assert old.block_sums() is None
    assert old.verdict().word == "TOO LITTLE TO SAY"
    with pytest.raises(NoResultError, match="no returns of trials are recorded"):
        old.cscv()


def test_a_benchmark_that_is_a_series_survives_a_restore(tmp_path, bundle):
    series = np.random.default_rng(0).normal(0, 0.01, bundle.n_bars)
    first = fit(tmp_path, "series", bundle, benchmark=series, num_samples=30)
    again = rbt.Tuner.restore(tmp_path / "series", CROSS).fit()
    assert recorded(again) == recorded(first)
    np.testing.assert_array_equal(again.study.benchmark.returns, series)
    cash = fit(tmp_path, "cash", bundle, benchmark=None, num_samples=30)
    assert not cash.block_sums()[0].products.any()
    assert not cash.block_sums()[1].squares.any()


def test_verdicts_say_what_is_missing(tmp_path, bundle):
    assert fit(tmp_path, "plain", bundle, plain).verdict().word == "TOO LITTLE TO SAY"
    learned = fit(tmp_path, "learned", bundle, **{**ADAPTIVE, "audit": None}, holdout=0.2)
    assert learned.verdict().word == "NOT SHOWN"
    assert "audit=128" in learned.verdict().sentence
    with pytest.raises(NoResultError, match="audit=128"):
        learned.cscv()
    audited = fit(tmp_path, "audited", bundle, **ADAPTIVE, holdout=0.2)
    assert audited.cscv().n_trials == len(audited.audit.outcomes.block_sums)
    assert [check.state for check in audited.verdict().checks].count("not checked") == 0
    sampled = fit(tmp_path, "sampled", bundle)
    assert sampled.cscv().n_trials == len(sampled.block_sums()[0])
    assert "Walk-forward" in sampled.verdict().sentence


def test_the_audit_set_draws_other_configs_than_a_random_search(bundle, tmp_path):
    study = tuner(tmp_path, "x", bundle, **ADAPTIVE).study
    results = fit(tmp_path, "y", bundle, **ADAPTIVE)
    assert not np.array_equal(results.audit.points, RandomSearch(study.space, limit=20, seed=study.seed).ask(20).points)
    assert AUDIT_FIRST > 2**40


REFUSED = {
    "no such symbol": ({"benchmark": "C"}, "got 'C'"),
    "a number": ({"benchmark": 3}, "`benchmark` is 'hold', the name of a symbol, a series of returns or None; got 3"),
    "an empty name": ({"benchmark": ""}, "`benchmark` is"),
    "another length": ({"benchmark": np.zeros(3)}, "each of the 700 training bars"),
    "an audit of a sample": ({"audit": 10}, "`audit` is for searches"),
    "a share": ({**ADAPTIVE, "audit": 0.5}, "`audit` is a whole number"),
    "below zero": ({**ADAPTIVE, "audit": -1}, "`audit` is a whole number"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_invalid_settings_are_refused_with_a_sentence(tmp_path, bundle, what):
    settings, sentence = REFUSED[what]
    with pytest.raises(SettingError) as caught:
        tuner(tmp_path, "refused", bundle, **settings)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"benchmark": "A"}, {"search_alg": "tpe", "audit": 10}])
def test_settings_that_need_prices_are_refused_without_them(tmp_path, settings):
    with pytest.raises(SettingError, match="there is no `bundle`"):
        tuner(tmp_path, "refused", None, lambda params, data: 1.0, **settings)
