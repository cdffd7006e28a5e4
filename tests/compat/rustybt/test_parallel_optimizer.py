"""ParallelOptimizer with an objective or an algorithm, and Optimizer: each flag, and faults of the original."""

import math
import multiprocessing
import os
from decimal import Decimal

import numpy as np
import psutil
import pytest

import rbt_ray as rbt
from rbt_ray.compat.rustybt import (
    BayesianOptimizer,
    ContinuousParameter,
    DiscreteParameter,
    GeneticAlgorithm,
    GridSearchAlgorithm,
    ObjectiveFunction,
    Optimizer,
    ParallelOptimizer,
    ParameterSpace,
    PersistentWorkerPool,
    RandomSearchAlgorithm,
    cleanup_global_pool,
)
from rbt_ray.compat.rustybt.objective import NamedBundle, ScoredObjective, to_algorithm
from rbt_ray.errors import NoResultError, ObjectiveError, SettingError, StudyMismatchError
from tests import one_ray
from tests.compat.rustybt import objectives

N = DiscreteParameter(name="n", min_value=0, max_value=7)
STEPS = ParameterSpace(parameters=[N])
HILL = ParameterSpace(parameters=[ContinuousParameter(name="x", min_value=0, max_value=1), N])
PAIRS = {"fast": [10, 20], "slow": [50, 100, 150]}
CROSSOVER = ParameterSpace(
    parameters=[
        DiscreteParameter(name="fast", min_value=10, max_value=20, step=10),
        DiscreteParameter(name="slow", min_value=50, max_value=150, step=50),
    ]
)
SHARPE = ObjectiveFunction("sharpe_ratio")
PERSISTENT, SHARED = "enable_persistent_worker_pool", "enable_shared_bundle_context"
BOHB, RAY = "enable_bohb_optimizer", "enable_ray_scheduler"


class Foreign:
    """Somebody's own strategy: no space, no base class, one suggestion at a time."""

    def __init__(self):
        self.left, self.told = [{"n": Decimal(n)} for n in range(8)], []

    def suggest(self):
        return self.left.pop(0)

    def update(self, params, score):
        assert isinstance(score, Decimal)
        self.told.append((params["n"], score))

    def is_complete(self):
        return not self.left


def quiet(*args, **kwds):
    return ParallelOptimizer(*args, n_jobs=2, verbose=False, **kwds)


@pytest.fixture(scope="module", autouse=True)
def no_workers_left():
    yield
    cleanup_global_pool()
    rbt.shutdown()


@pytest.mark.parametrize("on", [(), (PERSISTENT,), (SHARED,)])
@pytest.mark.parametrize(
    "strategy",
    [
        lambda: GridSearchAlgorithm(STEPS),
        lambda: RandomSearchAlgorithm(STEPS, n_iter=8, seed=3),
        lambda: BayesianOptimizer(STEPS, n_iter=8, random_state=3),
        lambda: GeneticAlgorithm(STEPS, population_size=4, max_generations=2, seed=3),
        Foreign,
    ],
)
def test_every_strategy_runs_on_every_pool(flags, strategy, on):
    algorithm = strategy()
    optimizer = quiet(algorithm, batch_size=3, config=flags(*on))
    optimizer.run(objectives.steps)
    assert optimizer.get_best_params() == {"n": 4}
    assert optimizer.get_best_result() == ({"n": 4}, Decimal("0.0"))
    results = optimizer.get_results()
    assert sorted(one.params["n"] for one in results) == list(range(8))
    assert [one.trial_id for one in results] == list(range(8))
    assert all(one.score == objectives.steps(one.params) for one in results)
    assert {one.worker for one in results} <= set(optimizer.get_worker_statistics())
    assert (optimizer.results is not None) == (bool(on) and strategy is not Foreign)


@pytest.mark.parametrize("on", [(), (PERSISTENT,)])
def test_a_strategy_that_counts_results_is_not_asked_for_more_than_it_is_to_give(flags, on):
    class Counting(Foreign):
        n_iter, parameter_space = 5, STEPS

        def is_complete(self):
            return len(self.told) >= self.n_iter

    optimizer = quiet(Counting(), batch_size=4, config=flags(*on))
    optimizer.run(objectives.steps)
    assert [one.params["n"] for one in optimizer.get_results()] == [0, 1, 2, 3, 4]


def test_results_are_the_same_for_every_kind_of_pool(flags):
    def run(*on, n_jobs=2):
        strategy = BayesianOptimizer(HILL, n_iter=20, random_state=5)
        optimizer = ParallelOptimizer(strategy, n_jobs=n_jobs, batch_size=4, verbose=False, config=flags(*on))
        optimizer.run(objectives.hill)
        return [(one.params, one.score) for one in optimizer.get_results()]

    assert run() == run(PERSISTENT) == run(PERSISTENT, n_jobs=1)


def test_with_every_flag_off_a_standard_pool_does_the_work(flags, monkeypatch):
    made = []
    standard = multiprocessing.Pool
    monkeypatch.setattr(multiprocessing, "Pool", lambda *args, **kwds: made.append(args) or standard(*args, **kwds))
    optimizer = quiet(GridSearchAlgorithm(STEPS), config=flags())
    optimizer.run(objectives.steps)
    assert made == [(2,)]
    assert optimizer.results is None  # no study
    quiet(GridSearchAlgorithm(STEPS), config=flags(PERSISTENT)).run(objectives.steps)
    assert made == [(2,)]


def test_a_standard_pool_refuses_a_lambda(flags):
    with pytest.raises(ObjectiveError, match="enable_persistent_worker_pool"):
        quiet(GridSearchAlgorithm(STEPS), config=flags()).run(lambda params: 1.0)


@pytest.mark.parametrize(
    ("strategy", "on"),
    [
        pytest.param(lambda: GridSearchAlgorithm(STEPS), (), marks=pytest.mark.slow),
        (Foreign, (PERSISTENT,)),
        pytest.param(lambda: GridSearchAlgorithm(STEPS), (PERSISTENT,), marks=pytest.mark.slow),
        pytest.param(Foreign, (), marks=pytest.mark.slow),
    ],
)
def test_nothing_that_goes_wrong_in_a_trial_stops_the_others(flags, on, strategy):
    """An exception, NaN, kill -9, an endless loop and sys.exit: each gets its own status and message."""
    optimizer = quiet(strategy(), max_eval_time=5, batch_size=8, config=flags(*on))
    optimizer.run(objectives.perilous)
    results = {one.params["n"]: one for one in optimizer.get_results()}
    assert len(results) == 8
    assert {n for n, one in results.items() if one.is_success} == {4, 6, 7}
    assert optimizer.get_best_params() == {"n": 4}
    for n, word in {
        0: "no such thing",
        1: "nan",
        2: "(died|signal 9)",
        3: "(max_eval_time|trial_timeout_s)",
        5: "SystemExit",
    }.items():
        assert results[n].score == Decimal("-Infinity")
        assert any(part in results[n].error for part in word.strip("()").split("|")), results[n].error


def test_persistent_workers_outlive_a_run_and_others_do_not(flags):
    def pids(config):
        optimizer = quiet(algorithm_class=objectives.who, param_space=CROSSOVER, bundle_name="sample", config=config)
        optimizer.run_optimization()
        return optimizer, {one.backtest_metrics["pid"] for one in optimizer.get_results()}

    one, first = pids(flags(PERSISTENT))
    _, second = pids(flags(PERSISTENT))
    assert first & second
    assert any(psutil.pid_exists(pid) for pid in first)
    one.cleanup()
    assert not any(psutil.pid_exists(pid) for pid in first | second)
    _, third = pids(flags(SHARED))
    assert not any(psutil.pid_exists(pid) for pid in third)
    assert os.getpid() not in first | second | third


@pytest.mark.parametrize("on", [(), (PERSISTENT,), (PERSISTENT, SHARED), (BOHB,)])
@pytest.mark.parametrize("kind", [objectives.crossover, objectives.Crossover, objectives.Called])
def test_an_algorithm_on_a_bundle_finds_what_a_loop_by_hand_finds(flags, on, kind):
    optimizer = quiet(
        algorithm_class=kind, param_space=CROSSOVER, bundle_name="sample", config=flags(*on), max_trials=6, seed=1
    )
    best = optimizer.run_optimization()
    params, sharpe = objectives.serial_best("sample", PAIRS)
    assert best.params == params
    assert float(best.score) == pytest.approx(sharpe, rel=1e-12)
    assert best.backtest_metrics["total_return"] > 0
    assert best.error is None


def test_the_shared_bundle_is_the_studys_and_another_is_opened_by_its_name(flags):
    for on, is_shared in (((PERSISTENT,), False), ((PERSISTENT, SHARED), True), ((PERSISTENT, BOHB), True)):
        optimizer = quiet(
            algorithm_class=objectives.crossover, param_space=CROSSOVER, bundle_name="sample", config=flags(*on)
        )
        optimizer.run_optimization()
        assert (optimizer.results.study.bundle is not None) == is_shared


def test_bohb_evaluates_parts_of_the_history_first(flags):
    optimizer = quiet(
        algorithm_class=objectives.who,
        param_space={"fast": rbt.uniform(1, 9)},
        bundle_name="sample",
        config=flags(BOHB),
        max_trials=20,
        seed=2,
    )
    best = optimizer.run_optimization()
    assert optimizer.results.study.search_alg == "bohb"
    whole = rbt.load_bundle("sample").n_bars
    results = optimizer.get_results()
    assert {one.fidelity for one in results} > {1.0}
    assert all(one.backtest_metrics["n_bars"] == math.ceil(one.fidelity * whole - 1e-9) for one in results)
    assert best.fidelity == 1
    quiet(GridSearchAlgorithm(STEPS), config=flags(BOHB), max_trials=5).run(objectives.steps)


@pytest.mark.parametrize("keep_open", [5, None])
def test_a_warm_worker_sees_at_once_that_a_bundle_was_ingested_again(tmp_path, monkeypatch, keep_open):
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path))
    scored = ScoredObjective(
        objectives.who, takes_data=True, function=SHARPE, source=NamedBundle("mine", keep_open, seed=0)
    )
    with PersistentWorkerPool(1, lambda home: os.environ.__setitem__("RBT_RAY_HOME", home), (str(tmp_path),)) as pool:
        seen = []
        for start in (100.0, 200.0):
            prices = start + np.arange(300.0)[:, None]
            days = np.datetime64("2020-01-01") + np.arange(300)
            ingested = rbt.ingest("mine", rbt.Bundle.from_arrays({"close": prices}, days, ["A"]))
            [(_, told)] = pool.map(scored.score, [{"fast": 1}])
            assert told["version"] == ingested.version
            seen.append(told)
    assert seen[0]["pid"] == seen[1]["pid"]
    assert seen[0]["version"] != seen[1]["version"]


def test_a_named_run_resumes(flags, tmp_path):
    log = tmp_path / "log"

    def objective(params):
        with log.open("a") as file:
            file.write(f"{params['n']}\n")
        return -abs(params["n"] - 3)

    def optimizer(**kwds):
        return quiet(GridSearchAlgorithm(STEPS), config=flags(PERSISTENT), name="steps", **kwds)

    first = optimizer(max_trials=8)
    first.run(objective)
    assert len(log.read_text().split()) == 8
    again = optimizer(max_trials=8)
    again.run(objective)
    assert len(log.read_text().split()) == 8  # nothing is evaluated twice
    assert again.get_results() == first.get_results()
    with pytest.raises(StudyMismatchError, match="objective"):
        optimizer().run(objectives.steps)


def test_objective_functions_take_the_score_out_of_what_backtests_answer(flags, tmp_path):
    def best(function, on=(PERSISTENT,)):
        optimizer = Optimizer(
            STEPS, GridSearchAlgorithm(STEPS), function, objectives.rusty_backtest, 100, config=flags(*on)
        )
        return optimizer.optimize(), optimizer

    sharpe, optimizer = best(ObjectiveFunction("sharpe_ratio"))
    assert (sharpe.params, sharpe.score) == ({"n": 4}, Decimal("0.0"))
    assert len(optimizer.get_history()) == 8
    assert sharpe.backtest_metrics["max_drawdown"] == pytest.approx(0.4)
    drawdown, _ = best(ObjectiveFunction("max_drawdown", higher_is_better=False))
    assert (drawdown.params, drawdown.score) == ({"n": 0}, Decimal(0))
    custom = ObjectiveFunction("custom", lambda result: result["performance_metrics"]["max_drawdown"] * 2)
    assert best(custom)[0].params == {"n": 7}
    assert best(ObjectiveFunction("sharpe_ratio"), ())[0].params == {"n": 4}
    with pytest.raises(NoResultError, match="sortino_ratio"):
        best(ObjectiveFunction("sortino_ratio"))


def test_an_optimizer_resumes_from_its_checkpoints(flags, tmp_path):
    def optimizer(trials):
        return Optimizer(
            STEPS,
            GridSearchAlgorithm(STEPS),
            ObjectiveFunction("sharpe_ratio"),
            objectives.rusty_backtest,
            trials,
            checkpoint_dir=tmp_path / "kept",
            config=flags(PERSISTENT),
        )

    first = optimizer(8)
    best = first.optimize()
    assert (tmp_path / "kept").is_dir()
    again = optimizer(8)
    assert again.optimize() == best
    assert again.get_history() == first.get_history()  # durations too: nothing was run again
    with pytest.raises(SettingError, match="records nothing"):
        Optimizer(
            STEPS, GridSearchAlgorithm(STEPS), ObjectiveFunction("sharpe_ratio"), objectives.rusty_backtest, 8,
            checkpoint_dir=tmp_path / "kept", config=flags(),
        )  # fmt: skip


def test_debug_logging_says_what_does_the_work(flags, capfd):
    config = flags(PERSISTENT, enable_debug_logging=True)
    quiet(GridSearchAlgorithm(STEPS), config=config).run(objectives.steps)
    assert "by persistent processes, 2 workers" in capfd.readouterr().err
    quiet(GridSearchAlgorithm(STEPS), config=flags(PERSISTENT)).run(objectives.steps)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_ray_does_the_work_where_it_is_asked_for(flags):
    """By either name; closures travel, and the workers of the one run are warm in the next."""
    one_ray.keep()
    config = flags(PERSISTENT, RAY, SHARED)
    on_bundle = quiet(algorithm_class=objectives.crossover, param_space=CROSSOVER, bundle_name="sample", config=config)
    assert on_bundle.run_optimization().params == objectives.serial_best("sample", PAIRS)[0]

    def run(**kwds):
        optimizer = quiet(
            BayesianOptimizer(HILL, n_iter=8, random_state=5), batch_size=4, config=flags(PERSISTENT), **kwds
        )
        optimizer.run(lambda params: objectives.hill(params))
        return optimizer

    ray, local = run(backend="ray"), run()
    assert {one.backend for one in [*on_bundle.results.runs, *ray.results.runs]} == {"ray"}
    assert ray.results.table_hash() == local.results.table_hash()


class TradingAlgorithm:
    """What RustyBT's users derive from, as far as its name and module go: RustyBT itself is not here."""


TradingAlgorithm.__module__ = "rustybt.algorithm"


def test_a_trading_algorithm_needs_rustybt_and_a_bundle_of_its():
    class Mine(TradingAlgorithm):
        pass

    with pytest.raises(ObjectiveError, match=r"rustybt is not installed here: `pip install 'rbt-ray\[rustybt\]'`"):
        to_algorithm(Mine, "quandl")
    with pytest.raises(ObjectiveError, match="Mine is a TradingAlgorithm, which needs `bundle_name`"):
        to_algorithm(Mine, None)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"algorithm": object()},
        {"algorithm": GridSearchAlgorithm},
        {"algorithm": GridSearchAlgorithm(STEPS), "n_jobs": 0},
        {"algorithm": GridSearchAlgorithm(STEPS), "backend": "dask"},
        {"algorithm": GridSearchAlgorithm(STEPS), "max_eval_time": 0},
        {"algorithm": GridSearchAlgorithm(STEPS), "batch_size": 0},
        {"algorithm": GridSearchAlgorithm(STEPS), "maxtasksperchild": 0},
        {"algorithm": GridSearchAlgorithm(STEPS), "bundle_name": "sample"},
        {"algorithm": Foreign(), "backend": "ray"},
        {"algorithm": Foreign(), "name": "mine"},
        {"algorithm_class": objectives.crossover, "bundle_name": "sample"},
    ],
)
def test_what_does_not_go_together_is_refused(settings):
    with pytest.raises(SettingError):
        ParallelOptimizer(**settings)


def test_each_shape_has_its_own_way_to_run(flags):
    with pytest.raises(SettingError, match=r"run\(objective\)"):
        quiet(GridSearchAlgorithm(STEPS)).run_optimization()
    with pytest.raises(SettingError, match="run_optimization"):
        quiet(algorithm_class=objectives.crossover, param_space=CROSSOVER).run(objectives.steps)
    with pytest.raises(ObjectiveError, match="neither"):
        quiet(algorithm_class=type("Idle", (), {}), param_space=CROSSOVER)
    with pytest.raises(NoResultError, match="nothing was run"):
        quiet(GridSearchAlgorithm(STEPS)).get_best()
