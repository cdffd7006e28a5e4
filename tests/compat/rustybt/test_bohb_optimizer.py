"""BOHBOptimizer: the original tests under their names."""

import os
from decimal import Decimal

import psutil
import pytest

from rbt_ray.compat.rustybt import (
    BOHBOptimizer,
    ContinuousParameter,
    DiscreteParameter,
    GridSearchAlgorithm,
    OptimizationConfig,
    ParallelOptimizer,
    ParameterSpace,
)
from rbt_ray.errors import NoResultError, SettingError

N_VALUES = 2_000
LARGE = ParameterSpace(parameters=[DiscreteParameter(name="n", min_value=0, max_value=N_VALUES - 1)])
SPACE = ParameterSpace(
    parameters=[
        ContinuousParameter(name="x", min_value=-1, max_value=1),
        ContinuousParameter(name="y", min_value=-1, max_value=1),
    ]
)


def valley(params, budget):
    """Best at (0.3, -0.2), and the closer to the truth the larger the budget."""
    return -((params["x"] - 0.3) ** 2) - (params["y"] + 0.2) ** 2 - 0.5 / budget


def optimizer(tmp_path, space=SPACE, **kwds):
    return BOHBOptimizer(space, n_jobs=2, storage_path=str(tmp_path / "studies"), **kwds)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("ran")
    made = optimizer(tmp_path, min_budget=1, max_budget=27, eta=3, n_trials=200, seed=4)
    best = made.run(valley)
    yield made, best
    made.cleanup()


def test_initialization(tmp_path):
    made = optimizer(tmp_path, min_budget=2, max_budget=32, eta=4, n_trials=5)
    assert (made.min_budget, made.max_budget, made.eta, made.n_trials, made.n_jobs) == (2, 32, 4, 5, 2)
    assert made.get_results() == []
    with pytest.raises(NoResultError):
        made.get_best_params()
    assert not (tmp_path / "studies").exists()  # nothing is started: no name server, no worker


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (3, 2), (1, float("inf")), (float("nan"), 1)])
def test_invalid_budget_raises_error(tmp_path, low, high):
    with pytest.raises(ValueError, match="min_budget"):
        optimizer(tmp_path, min_budget=low, max_budget=high)


@pytest.mark.parametrize("eta", [1, 0, -3, float("nan")])
def test_invalid_eta_raises_error(tmp_path, eta):
    with pytest.raises(ValueError, match="eta"):
        optimizer(tmp_path, eta=eta)
    with pytest.raises(SettingError, match="n_trials"):
        optimizer(tmp_path, n_trials=0)


def test_suggest_not_supported(tmp_path):
    with pytest.raises(NotImplementedError, match="run"):
        optimizer(tmp_path).suggest()


def test_update_not_supported(tmp_path):
    with pytest.raises(NotImplementedError, match="run"):
        optimizer(tmp_path).update({"x": 0.0, "y": 0.0}, Decimal(1))


def test_real_run(ran):
    """Every budget of the ladder, exactly; the larger, the fewer."""
    made, best = ran
    budgets = [27 * one.fidelity for one in made.get_results()]
    for one in made.get_results():
        budget = round(27 * one.fidelity, 9)
        assert budget in (1, 3, 9, 27)
        assert float(one.score) == pytest.approx(valley(one.params, budget), rel=1e-12)
    counts = [sum(round(budget) == rung for budget in budgets) for rung in (1, 3, 9)]
    assert counts == sorted(counts, reverse=True)
    assert best.fidelity == 1


def test_result_is_the_best_on_the_largest_budget(ran):
    made, best = ran
    whole = [one for one in made.get_results() if one.fidelity == 1]
    assert best == max(whole, key=lambda one: one.score)
    assert made.get_best_params() == best.params
    assert isinstance(best.score, Decimal)
    assert best.is_success
    assert made.results.study.search_alg == "bohb"
    assert abs(best.params["x"] - 0.3) < 0.25
    assert abs(best.params["y"] + 0.2) < 0.25


def test_against_grid(tmp_path):
    """Near the best of 2,000 at a tenth of the grid's cost: in the regime that BOHB is for."""

    def far(params, budget=27):
        return -((params["n"] / N_VALUES - 0.37) ** 2) * (1 + 1 / budget)

    config = OptimizationConfig(benchmark_output_dir=str(tmp_path / "grid"))
    grid = ParallelOptimizer(GridSearchAlgorithm(LARGE), n_jobs=2, verbose=False, config=config)
    grid.run(far)
    made = optimizer(tmp_path, LARGE, n_trials=200, seed=1)
    best = made.run(far)
    made.cleanup()
    grid.cleanup()
    assert grid.get_best_params() == {"n": 740}
    assert abs(best.params["n"] - 740) <= 20  # 1 % of the range
    assert sum(one.fidelity for one in made.get_results()) < N_VALUES / 10


def test_cleanup_ends_the_workers(tmp_path):
    def noted(params, budget):
        (tmp_path / str(os.getpid())).touch()
        return valley(params, budget)

    made = optimizer(tmp_path, n_trials=12, seed=0)
    made.run(noted)
    pids = [int(file.name) for file in tmp_path.iterdir() if file.name.isdigit()]
    assert any(psutil.pid_exists(pid) for pid in pids)  # warm for a next run
    made.cleanup()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    made.cleanup()  # nothing is left to end
    assert made.get_best().fidelity == 1  # results stay
