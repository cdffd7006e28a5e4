"""Optuna's samplers under our protocol."""

import itertools

import numpy as np
import optuna
import pytest

import rbt_ray as rbt
from rbt_ray import tune
from rbt_ray.errors import SettingError
from rbt_ray.search.optuna_sampler import OptunaSampler
from rbt_ray.study.space import Space

SPACE = Space.of({"x": rbt.uniform(-1.0, 1.0), "n": rbt.randint(0, 20), "kind": rbt.choice(["a", "b"])})


def loss(point):
    return float(point[0] ** 2 + abs(point[1] - 12) / 10 + point[2])


def test_it_proposes_what_optuna_does():
    """Driven by hand with the same seed, Optuna's own study asks for the same."""
    sampler = OptunaSampler(SPACE, seed=5)
    own = optuna.samplers.TPESampler(seed=5, multivariate=True, constant_liar=True)
    study = optuna.create_study(sampler=own)
    for _ in range(40):
        point = sampler.sample()
        trial = study.ask()
        theirs = [
            trial.suggest_float("x", -1.0, 1.0),
            trial.suggest_int("n", 0, 19),
            trial.suggest_categorical("kind", [0, 1]),
        ]
        np.testing.assert_array_equal(point, theirs)
        sampler.learn(point, 1.0, loss(point))
        study.tell(trial, loss(point))


@pytest.mark.parametrize(
    "make",
    [
        lambda: optuna.samplers.RandomSampler(seed=3),
        lambda: optuna.samplers.QMCSampler(seed=3),
        lambda: optuna.samplers.NSGAIISampler(seed=3),
        lambda: optuna.samplers.TPESampler(seed=3),
    ],
    ids=["random", "qmc", "nsga2", "tpe"],
)
def test_any_sampler_by_object(make):
    found = []
    for _ in range(2):
        sampler, points = OptunaSampler(SPACE, sampler=make()), []
        for _ in range(30):
            points.append(sampler.sample())
            sampler.learn(points[-1], 1.0, loss(points[-1]))
        found.append(np.array(points))
    np.testing.assert_array_equal(*found)
    assert len(np.unique(found[0], axis=0)) == 30


def test_lower_fidelities_are_pruned_trials():
    sampler = OptunaSampler(SPACE, seed=1)
    points = [sampler.sample() for _ in range(4)]
    sampler.learn(points[0], 1 / 9, 0.5)
    sampler.learn(points[0], 1 / 3, 0.4)
    sampler.learn(points[1], 1.0, 0.3)
    sampler.learn(points[2], 1.0, float("nan"))
    trials = sampler._study.trials
    states = [trial.state.name for trial in trials]
    assert sorted(states) == ["COMPLETE", "FAIL", "PRUNED", "PRUNED", "RUNNING"]
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert [list(trial.intermediate_values.values()) for trial in pruned] == [[0.5], [0.4]]
    assert [max(trial.intermediate_values) for trial in pruned] == [round(1e9 / 9), round(1e9 / 3)]
    assert pruned[0].params == pruned[1].params


def test_optunas_sampler_beats_random_search():
    regrets = []
    for seed in range(5):
        sampler, best = OptunaSampler(SPACE, seed=seed), np.inf
        for _ in range(60):
            point = sampler.sample()
            sampler.learn(point, 1.0, loss(point))
            best = min(best, loss(point))
        regrets.append(best)
    random = [min(map(loss, SPACE.from_unit(np.random.default_rng(seed).random((60, 3))))) for seed in range(5)]
    assert np.mean(regrets) < 0.5 * np.mean(random)


MIXED = {"kind": rbt.choice(["a", "b", None]), "n": rbt.qrandint(10, 40, 10), "x": rbt.quniform(0.5, 1.5, 0.5)}
GRID = {"kind": ["a", None], "n": [10, 40], "x": [0.5, 1.0, 1.5]}


def distance(params, data):
    return {"m": abs(params["n"] - 40) + params["x"] + len(params["kind"] or "")}


def configs_of(sampler, space=MIXED, **settings):
    """Every config that a study of at most 200 evaluates."""
    config = rbt.TuneConfig(metric="m", mode="min", search_alg=sampler, num_samples=200, **settings)
    results = rbt.Tuner(distance, param_space=space, tune_config=config).fit()
    assert results.num_errors == 0
    return [tuple(result.config.values()) for result in results]


@pytest.mark.parametrize("open_at_once", [1, 5, 64])
def test_a_grid_sampler_gives_its_grid_and_no_more(open_at_once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = configs_of(optuna.samplers.GridSampler(GRID), max_pending=open_at_once)
    assert sorted(found, key=repr) == sorted(itertools.product(*GRID.values()), key=repr)


def test_a_brute_force_sampler_gives_the_whole_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = configs_of(optuna.samplers.BruteForceSampler(seed=1))
    whole = itertools.product(["a", "b", None], [10, 20, 30, 40], [0.5, 1.0, 1.5])
    assert sorted(found, key=repr) == sorted(whole, key=repr)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({**GRID, "n": [10, 15]}, r"GridSampler proposes 15 for `n`, which takes multiples of 10 from 10 to 40"),
        ({**GRID, "kind": ["a", "z"]}, r"GridSampler cannot search this space: .*'z' not in"),
        ({"kind": ["a"], "n": [10]}, r"GridSampler cannot search this space: The parameter name, x, is not found"),
    ],
    ids=["step", "option", "missing"],
)
def test_a_grid_outside_of_the_space_is_refused(grid, said):
    sampler = OptunaSampler(Space.of(MIXED), sampler=optuna.samplers.GridSampler(grid))
    with pytest.raises(SettingError, match=said):
        [sampler.sample() for _ in range(12)]


@pytest.mark.parametrize(
    "domain",
    [
        rbt.choice(["a", 1, 2.5, None, False]),
        rbt.choice([True, 1, 1.0]),
        rbt.choice([[1, 2], {"a": 1}]),
        rbt.uniform(-1.0, 3.0),
        rbt.loguniform(1e-6, 1.0),
        rbt.quniform(0.1, 0.7, 0.1),
        tune.qloguniform(0.1, 10.0, 0.1),
        rbt.randint(-3, 9),
        rbt.lograndint(1, 900),
        rbt.qrandint(-10, 40, 5),
        tune.qlograndint(4, 400, 4),
        rbt.normal(1.0, 2.0),
    ],
    ids=lambda domain: str(domain)[:40],
)
def test_values_travel_to_optuna_and_back(domain):
    """What Optuna suggests is a config of the space, and a result of another study is known to Optuna as the same."""
    space = Space.of({"v": domain})
    sampler = OptunaSampler(space, seed=2, sampler=optuna.samplers.RandomSampler(seed=2))
    points = [point for point in (sampler.sample() for _ in range(12)) if point is not None]
    other = OptunaSampler(space, seed=3)
    for point in points:
        assert space.has(point[None])
        other.learn(point, 1.0, 0.5)
    assert len(other._study.trials) == len(points)
    for here, there in zip(sampler._study.trials, other._study.trials, strict=False):
        if here.params:  # of a domain of one value Optuna knows nothing
            assert here.distributions == there.distributions
