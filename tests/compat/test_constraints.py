"""Constraints under the names of RustyBT and of Ray Tune."""

import pytest
from ray.tune.search.optuna import OptunaSearch

from rbt_ray import tune
from rbt_ray.compat.ray_tune.spaces import generate_samples
from rbt_ray.compat.rustybt import (
    BayesianOptimizer,
    DiscreteParameter,
    GeneticAlgorithm,
    GridSearchAlgorithm,
    ParallelOptimizer,
    ParameterSpace,
    RandomSearchAlgorithm,
)
from rbt_ray.errors import NotSupportedError, SettingError, SpaceError

RUSTY = ParameterSpace(
    parameters=[
        DiscreteParameter(name="fast", min_value=1, max_value=12),
        DiscreteParameter(name="slow", min_value=1, max_value=12),
    ],
    constraints=["fast < slow", lambda p: p["slow"] - p["fast"] >= 3],
)
ALLOWED = [{"fast": f, "slow": s} for f in range(1, 13) for s in range(1, 13) if s - f >= 3]
ALGORITHMS = {
    "grid": GridSearchAlgorithm,
    "random": lambda space: RandomSearchAlgorithm(space, n_iter=30, seed=1),
    "bayesian": lambda space: BayesianOptimizer(space, n_iter=30, random_state=1),
    "genetic": lambda space: GeneticAlgorithm(space, population_size=6, max_generations=5, seed=1),
}


@pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)
def test_rustybts_searches_suggest_only_what_is_allowed(make):
    algorithm = make(RUSTY)
    suggested = []
    while not algorithm.is_complete():
        suggested.append(algorithm.suggest())
        algorithm.update(suggested[-1], suggested[-1]["fast"])
    assert len(suggested) >= 30
    assert all(params in ALLOWED for params in suggested)
    if make is GridSearchAlgorithm:
        assert suggested == ALLOWED


@pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)
def test_rustybts_searches_say_that_nothing_is_left(make):
    nothing = ParameterSpace(parameters=RUSTY.parameters, constraints=["fast > 12"])
    with pytest.raises(SpaceError, match="'fast > 12' leave practically nothing"):
        make(nothing)


def test_rustybts_space_counts_and_validates():
    assert RUSTY.cardinality() == len(ALLOWED)
    assert RUSTY.validate_params({"fast": 2, "slow": 5})
    with pytest.raises(SpaceError, match=r"breaks the constraint 'slow - fast >= 3'"):
        RUSTY.validate_params({"fast": 2, "slow": 4})
    with pytest.raises(SettingError, match="has the name `fest`"):
        ParameterSpace(parameters=RUSTY.parameters, constraints=["fest < slow"])


def difference(params):
    return params["slow"] - params["fast"]


class Plain:
    """A search algorithm that knows no constraints."""

    parameter_space = RUSTY

    def __init__(self):
        self.n, self.scores = 0, []

    def suggest(self):
        self.n += 1
        return {"fast": 1 + self.n % 12, "slow": 1 + self.n % 11}

    def update(self, params, score):
        self.scores.append((params, float(score)))

    def is_complete(self):
        return self.n >= 100


@pytest.mark.slow
def test_an_algorithm_that_does_not_know_the_constraints_obeys_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the study's folder
    algorithm = Plain()
    optimizer = ParallelOptimizer(algorithm, n_jobs=2, verbose=False)
    optimizer.run(difference)
    found = [one.params for one in optimizer.get_results()]
    expected = [{"fast": 1 + n % 12, "slow": 1 + n % 11} for n in range(1, 101)]
    assert found == [params for params in expected if params in ALLOWED]
    assert len(found) > 10
    assert len(algorithm.scores) == 100, "every suggestion gets a score"
    assert all(score == difference(params) for params, score in algorithm.scores if params in ALLOWED)


def test_tunes_grid_is_the_filtered_grid():
    space = {"a": tune.grid_search([1, 2, 3, 4]), "opt": {"b": tune.grid_search([1, 2, 3])}, "k": "x", "fee": 2}
    free = generate_samples(space, 2, seed=1)
    kept = generate_samples(space, 2, seed=1, constraints=["a <= opt.b * fee", "a != 2"])
    assert kept == [one for one in free if one["a"] <= one["opt"]["b"] * 2 and one["a"] != 2]
    assert len(kept) == 2 * len({(one["a"], one["opt"]["b"]) for one in kept})


def test_tunes_draws_are_drawn_again():
    space = {
        "x": tune.uniform(0, 1),
        "y": tune.uniform(0, 1),
        "kind": tune.choice(["a", "b"]),
        "n": tune.grid_search([1, 2]),
    }
    kept = generate_samples(space, 30, seed=1, constraints=["x + y < 0.2 * n", "kind == 'a' or x < 0.05"])
    assert len(kept) == 60
    assert [one["n"] for one in kept] == [1, 2] * 30
    assert all(one["x"] + one["y"] < 0.2 * one["n"] and (one["kind"] == "a" or one["x"] < 0.05) for one in kept)
    assert generate_samples(space, 30, seed=1) == generate_samples(space, 30, seed=1, constraints=["x >= 0"])


@pytest.mark.parametrize(
    ("constraints", "error", "message"),
    [
        (["x > 2"], SpaceError, "no sample satisfies the constraints 'x > 2'"),
        (["loss < 1"], NotSupportedError, "has the name `loss`, but the parameters are x"),
    ],
)
def test_what_tune_refuses(constraints, error, message, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(error, match=message):
        tune.Tuner(
            lambda config: 1.0,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(constraints=constraints),
        )
    with pytest.raises(error if error is NotSupportedError else SpaceError, match=r"practically nothing|has the name"):
        tune.Tuner(
            lambda config: 1.0,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", search_alg=OptunaSearch(seed=1), constraints=constraints
            ),
        ).fit()


def trainable(config):
    tune.report({"loss": (config["x"] - 0.9) ** 2 + config["y"]})


@pytest.mark.slow
@pytest.mark.parametrize("search", ["samples", "bohb", "Ray Tune's Optuna"])
def test_a_study_of_tune_obeys_and_is_restored(search, tmp_path):
    algorithms = {"samples": None, "bohb": "bohb", "Ray Tune's Optuna": OptunaSearch(seed=1)}
    space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}
    results = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=15, seed=5, search_alg=algorithms[search],
            constraints=["x < y", lambda p: p["y"] < 0.9],
        ),
        run_config=tune.RunConfig(name="study", storage_path=str(tmp_path), verbose=0, num_workers=2, backend="local"),
    ).fit()  # fmt: skip
    assert len(results) == 15
    assert all(one.config["x"] < one.config["y"] < 0.9 for one in results)
    fresh = OptunaSearch(seed=1) if search == "Ray Tune's Optuna" else None
    for given in (None, space):
        again = tune.Tuner.restore(
            str(tmp_path / "study"), trainable, param_space=given, search_alg=fresh
        ).get_results()
        assert [one.config for one in again] == [one.config for one in results]
