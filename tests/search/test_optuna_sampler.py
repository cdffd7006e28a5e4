"""Optuna's samplers under our protocol."""

import numpy as np
import optuna
import pytest

import rbt_ray as rbt
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


def test_it_learns():
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
