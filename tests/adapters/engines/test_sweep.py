import importlib
import itertools
import json
import os
import shutil
from functools import cache, partial
from pathlib import Path

import engine_algorithms as algorithms
import engine_bundle as folder
import numpy as np
import pandas as pd
import pytest

import rbt_ray as rbt

pytestmark = pytest.mark.engine

START, END = "2004-07-01", "2005-06-30"
"""With the split and the dividend of the bundle within."""
CAPITAL = 1e6
SPACE = {"fast": rbt.grid_search([3, 5, 7, 10, 15, 20]), "slow": rbt.grid_search([30, 40, 60, 90])}
GRID = [{"fast": fast, "slow": slow} for fast, slow in itertools.product([3, 5, 7, 10, 15, 20], [30, 40, 60, 90])]
PAIRS = {  # rbt_ray's name: the backtester's
    "sharpe": "sharpe",
    "sortino": "sortino",
    "max_drawdown": "max_drawdown",
    "volatility": "algo_volatility",
    "total_return": "algorithm_period_return",
}


@pytest.fixture(scope="module")
def alone(package, root, tmp_path_factory):
    """Returns a function that runs the backtester's `run_algorithm`, with its own metrics and loaders; it returns the performance frame."""
    run = importlib.import_module(package).run_algorithm

    @cache
    def perf(fast, slow, start=START, end=END):
        here = Path.cwd()
        os.chdir(tmp_path_factory.getbasetemp())  # where RustyBT leaves its folders
        try:
            return run(
                start=pd.Timestamp(start),
                end=pd.Timestamp(end),
                initialize=partial(algorithms.initialize, fast=fast, slow=slow),
                handle_data=algorithms.handle_data,
                capital_base=CAPITAL,
                bundle=folder.NAME,
                benchmark_returns=pd.Series(0.0, index=pd.date_range(start, end, tz="UTC")),
            )
        finally:
            os.chdir(here)

    return perf


@pytest.fixture
def tuner(adapter, tmp_path):
    def make(objective=None, space=SPACE, *, backend="local", name="study", **tune):
        return rbt.Tuner(
            objective or _objective(adapter),
            param_space=space,
            tune_config=rbt.TuneConfig(**{"metric": "sharpe", "search_alg": "grid", "seed": 1, **tune}),
            run_config=rbt.RunConfig(name=name, storage_path=tmp_path, backend=backend, num_workers=2, verbose=0),
        )

    return make


def _objective(adapter, **changed):
    settings = {"initialize": algorithms.initialize, "handle_data": algorithms.handle_data, "bundle": folder.NAME}
    return adapter.objective(**{**settings, "start": START, "end": END, "capital_base": CAPITAL, **changed})


def _is_that_of(metrics, frame):
    """Asserts equal money to the cent, and equal figures up to rounding.

    The ledger multiplies a session's returns each time it is read, and the backtester's own metrics read it more often than
    the adapter's: on 252 sessions that is 252 more roundings of 1e-16 each.
    """
    last = frame.iloc[-1]
    assert CAPITAL * (1 + metrics["total_return"]) == pytest.approx(last["portfolio_value"], abs=0.005)
    for ours, theirs in PAIRS.items():
        assert metrics[ours] == pytest.approx(last[theirs], rel=1e-12, abs=1e-12), ours


@pytest.mark.timeout(600)  # a backtester takes seconds to load in each worker
def test_a_sweep_equals_the_backtesters_own_runs_on_both_backends(tuner, alone, ingested, tmp_path, monkeypatch):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "home"))
    local = tuner(name="local").fit()
    assert [result.config for result in local] == GRID
    for result in local:
        _is_that_of(result.metrics, alone(**result.config))
    assert len({result.metrics["sharpe"] for result in local}) > 20
    rbt.shutdown()
    on_ray = tuner(backend="ray", name="ray").fit()
    assert on_ray.table_hash() == local.table_hash()
    (unpacked,) = (tmp_path / "home" / "files").iterdir()
    assert {path.name for path in ingested.iterdir()} - {path.name for path in unpacked.iterdir()} == {
        "minute_equities.bcolz"
    }
    assert not list(unpacked.parent.parent.glob("**/.unpacking-*"))
    rbt.shutdown()


def test_returns_are_the_backtesters(adapter, alone):
    performance = _objective(adapter)({"fast": 5, "slow": 40})
    assert performance.returns == pytest.approx(alone(5, 40)["returns"].to_numpy(), rel=0, abs=1e-14)
    assert np.count_nonzero(performance.returns) > 100


def test_a_class_is_its_functions(adapter, tuner, alone, package):
    objective = _objective(adapter, algorithm=algorithms.crossover(), initialize=None, handle_data=None)
    results = tuner(objective, {"fast": rbt.choice([5]), "slow": rbt.choice([40])}).fit()
    _is_that_of(results[0].metrics, alone(5, 40))


def test_a_worker_opens_the_bundle_once_and_keeps_it_for_the_next_study(adapter, tuner, tmp_path):
    notes = tmp_path / "notes"
    objective = _objective(adapter, initialize=algorithms.initialize_and_tell)
    space = {**SPACE, "notes": rbt.choice([str(notes)])}
    for name in ("first", "second"):
        assert tuner(objective, space, name=name, num_samples=6, search_alg="random").fit().num_errors == 0
    lines = [json.loads(line) for line in notes.read_text().splitlines()]
    assert len(lines) == 12
    workers = {line["pid"] for line in lines}
    assert len(workers) == 2
    assert os.getpid() not in workers
    assert {(line["portals"], line["finders"]) for line in lines} == {(1, 1)}
    # At most one: the database of assets is opened at its first query, which is after the first note.
    assert max(line["databases"] for line in lines) <= 1


def test_a_lower_fidelity_ends_earlier_and_a_holdout_begins_later(adapter, tuner, alone):
    objective = _objective(adapter, start="2003-01-02", end="2006-12-29")
    sessions = pd.DatetimeIndex(objective.bundle.index)
    results = tuner(
        objective, scheduler="hyperband", min_fidelity=1 / 3, num_samples=6, search_alg="random", holdout=0.25
    ).fit()
    training = results.study.bundle.train_bars
    ends = {1.0: training, 1 / 3: -(-training // 3)}
    assert {result.fidelity for result in results} == set(ends)
    for result in results:
        end = sessions[ends[result.fidelity] - 1]
        _is_that_of(result.metrics, alone(**result.config, start="2003-01-02", end=str(end.date())))
    (best,) = [row for row in results.review.rows if row["trial"] == results.get_best_result().trial_id]
    _is_that_of(best["holdout"], alone(**best["config"], start=str(sessions[training].date()), end="2006-12-29"))


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_killed_worker_costs_no_trial(adapter, tuner, alone, tmp_path, backend):
    note = tmp_path / "killed"
    objective = _objective(adapter, initialize=algorithms.kill_its_worker_once)
    space = {"fast": rbt.grid_search([3, 7, 20]), "slow": rbt.grid_search([30, 90])}
    results = tuner(objective, {**space, "note": rbt.choice([str(note)])}, backend=backend).fit()
    assert note.exists()
    assert results.num_terminated == 6
    for result in results:
        _is_that_of(result.metrics, alone(result.config["fast"], result.config["slow"]))


def test_a_parameter_that_the_algorithm_does_not_take_fails_its_trial(tuner):
    results = tuner(space={"fast": rbt.choice([5]), "slow": rbt.choice([40]), "slwo": rbt.choice([1])}).fit()
    assert results[0].status == "FAILED"
    assert "unexpected keyword argument 'slwo'" in results[0].error


def test_a_parameter_with_a_name_of_the_engines_own_is_refused(tuner):
    results = tuner(space={"fast": rbt.choice([5]), "slow": rbt.choice([40]), "blotter": rbt.choice([1])}).fit()
    assert "TradingAlgorithm has an argument blotter of its own" in results[0].error


def test_pipelines_read_the_bundle(adapter):
    objective = _objective(
        adapter,
        initialize=algorithms.initialize_with_pipeline,
        before_trading_start=algorithms.before_trading_start,
        handle_data=algorithms.hold_the_dearest,
    )
    assert np.count_nonzero(objective({"window": 20}).returns) > 100


def test_nothing_is_left_in_the_working_directory(adapter, tuner, tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    rbt.shutdown()
    assert tuner(space={"fast": rbt.choice([5]), "slow": rbt.choice([40])}).fit().num_errors == 0
    rbt.shutdown()
    assert not list(work.iterdir())


def test_a_study_is_resumed_with_the_same_bundle_and_dates_only(adapter, tuner, tmp_path):
    tuner(space={"fast": rbt.choice([5]), "slow": rbt.choice([40])}).fit()
    restored = rbt.Tuner.restore(tmp_path / "study", _objective(adapter)).fit()
    assert len(restored) == 1
    with pytest.raises(ValueError, match="its dates"):
        rbt.Tuner.restore(tmp_path / "study", _objective(adapter, end="2005-05-31"))
    with pytest.raises(ValueError, match="the objective is not the one"):
        rbt.Tuner.restore(tmp_path / "study", _objective(adapter, capital_base=2e6))
    with pytest.raises(ValueError, match="the objective is not the one"):
        rbt.Tuner.restore(tmp_path / "study", _objective(adapter, handle_data=algorithms.hold_the_dearest))


def test_refusals_are_one_sentence(adapter, tuner, package, tmp_path):
    for changed, said in [
        ({"bundle": "embeded"}, "There is no bundle 'embeded'.*embedded.*There are: embedded"),
        ({"bundle": tmp_path}, "is not the folder of a bundle"),
        ({"bundle": str(tmp_path / "none")}, "is not the folder of a bundle"),
        ({"start": "soon"}, "`start` is a date"),
        ({"start": "2020-01-01", "end": "2020-12-31"}, "the bundle has sessions from 2000-03-01 to 2013-03-01"),
        ({"capital_base": 0}, "`capital_base` is an amount of money above 0; got 0"),
        ({"initialize": None}, "pass either a subclass"),
        ({"algorithm": dict}, "subclass of .*TradingAlgorithm; got"),
        ({"handle_data": "f"}, "`handle_data` is a function; got 'f'"),
    ]:
        with pytest.raises(ValueError, match=said) as caught:
            _objective(adapter, **changed)
        assert "\n" not in str(caught.value)
    for tune in ({"fidelity": "symbols"}, {"fidelity": "blocks"}):
        with pytest.raises(ValueError, match="brings its own data"):
            tuner(**tune)


def test_a_bundle_that_changed_under_a_study_is_noticed(adapter, tuner, ingested, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ingested, copy)
    study = tuner(_objective(adapter, bundle=copy), {"fast": rbt.choice([5]), "slow": rbt.choice([40])})
    (copy / "adjustments.sqlite").write_bytes(b"")
    with pytest.raises(ValueError, match="have changed"):
        study.fit()


RUSTYBT_ONLY = pytest.mark.skipif(algorithms.PACKAGE != "rustybt", reason="of RustyBT's algorithms only")


def _optimizer(flag, tmp_path, **settings):
    from rbt_ray.compat.rustybt import OptimizationConfig, ParallelOptimizer

    config = OptimizationConfig(enable_persistent_worker_pool=False, benchmark_output_dir=str(tmp_path / "studies"))
    if flag is not None:
        setattr(config, flag, True)
    return ParallelOptimizer(config=config, n_jobs=2, verbose=False, **settings)


@RUSTYBT_ONLY
@pytest.mark.parametrize("flag", ["enable_persistent_worker_pool", "enable_ray_scheduler", None])
def test_rustybts_names_run_its_algorithms(adapter, alone, tmp_path, flag):
    """On persistent workers, on Ray, and with every flag off on a standard pool."""
    space = {"fast": rbt.grid_search([5, 7]), "slow": rbt.grid_search([40])}
    optimizer = _optimizer(flag, tmp_path, algorithm_class=_objective(adapter), param_space=space)
    best = optimizer.run_optimization()
    scores = {one.params["fast"]: float(one.score) for one in optimizer.get_results()}
    assert scores == {fast: pytest.approx(alone(fast, 40).iloc[-1]["sharpe"], rel=1e-9) for fast in (5, 7)}
    assert best.params["fast"] == max(scores, key=scores.get)
    optimizer.cleanup()


@RUSTYBT_ONLY
def test_rustybts_names_take_a_class_and_the_name_of_its_bundle(adapter, ingested, tmp_path):
    """A class that holds a share runs from the bundle's first day to its last."""
    space = {"share": rbt.grid_search([0.2, 0.8])}
    optimizer = _optimizer(
        "enable_persistent_worker_pool",
        tmp_path,
        algorithm_class=algorithms.holder(),
        bundle_name=folder.NAME,
        param_space=space,
    )
    optimizer.run_optimization()
    alone = adapter.objective(algorithms.holder(), bundle=folder.NAME)
    for one in optimizer.get_results():
        assert float(one.score) == alone(one.params).metrics()["sharpe"]
    optimizer.cleanup()
