"""Stop criteria of trials and studies; Ray Tune's own stoppers are the oracles."""

import datetime
import random

import pytest
from ray.tune import stopper as rays

from rbt_ray import tune
from rbt_ray.errors import SettingError
from rbt_ray.tune import stopper as ours
from tests.compat.ray_tune.trainables import AfterTwo, climb, endless


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MaximumIterationStopper", {"max_iter": 7}),
        ("NoopStopper", {}),
        ("TrialPlateauStopper", {"metric": "loss", "std": 0.2}),
        ("TrialPlateauStopper", {"metric": "loss", "std": 0.5, "num_results": 3, "grace_period": 6}),
        ("TrialPlateauStopper", {"metric": "loss", "std": 1.0, "metric_threshold": 0.4, "mode": "min"}),
        ("TrialPlateauStopper", {"metric": "loss", "std": 1.0, "metric_threshold": 0.6, "mode": "max"}),
        ("ExperimentPlateauStopper", {"metric": "loss", "std": 0.05, "top": 4}),
        ("ExperimentPlateauStopper", {"metric": "loss", "std": 0.05, "top": 4, "mode": "max", "patience": 3}),
        ("FunctionStopper", {"function": lambda trial_id, result: result["loss"] < 0.2}),
    ],
)
def test_stoppers_say_what_rays_say(name, options, seed):
    rng = random.Random(seed)
    mine, theirs = getattr(ours, name)(**options), getattr(rays, name)(**options)
    both = ours.CombinedStopper(getattr(ours, name)(**options), ours.NoopStopper())
    for _ in range(80):
        trial, result = rng.choice("ab"), {"loss": rng.random()}
        expected = bool(theirs(trial, result))
        assert bool(mine(trial, result)) == expected == bool(both(trial, result))
        assert bool(mine.stop_all()) == bool(theirs.stop_all()) == bool(both.stop_all())


@pytest.mark.parametrize(
    ("stop", "last"),
    [
        ({"training_iteration": 5}, 5),
        ({"n": 7}, 8),  # at or above
        ({"part/n": 2, "training_iteration": 50}, 3),  # whichever comes first
        ({"part": {"n": 2}}, 3),
        (lambda trial_id, result: result["n"] == 3, 4),
        (ours.MaximumIterationStopper(6), 6),
        (rays.MaximumIterationStopper(6), 6),
        (rays.CombinedStopper(rays.MaximumIterationStopper(9), rays.FunctionStopper(lambda i, r: r["n"] == 1)), 2),
    ],
)
def test_trials_end_where_the_criteria_say(fit, stop, last):
    results = fit(climb, {"x": tune.grid_search([1, 2])}, metric="loss", mode="min", stop=stop)
    assert [result.metrics["training_iteration"] for result in results] == [last, last]
    assert all(result.metrics["done"] for result in results)


def test_a_stopper_may_end_the_study(fit, tmp_path):
    stopper = ours.ExperimentPlateauStopper("loss", std=0.01, top=3)
    space = {"x": tune.grid_search([1] * 200)}
    results = fit(
        climb, space, metric="loss", mode="min", stop=ours.CombinedStopper(stopper, ours.MaximumIterationStopper(3))
    )
    assert 3 <= len(results) < 200
    restored = tune.Tuner.restore(tmp_path / "study", climb, run_config=tune.RunConfig(stop=stopper, verbose=0))
    assert len(restored.fit()) == len(results)  # it has ended


def test_a_stopper_of_the_users_sees_all_trials(fit):
    results = fit(climb, {"x": tune.grid_search(list(range(100)))}, metric="loss", mode="min", stop=AfterTwo())
    assert 2 <= len(results) < 100


def test_a_timeout_is_the_time_budget(fit):
    for stopper in (ours.TimeoutStopper(0.2), rays.TimeoutStopper(datetime.timedelta(seconds=0.2))):
        results = fit(endless, {"x": tune.grid_search(list(range(1000)))}, name=type(stopper).__module__, stop=stopper)
        assert len(results) < 1000


def test_a_criterion_that_is_never_reported_is_an_error(fit):
    results = fit(climb, {"x": 1}, metric="loss", mode="min", stop={"accuracy": 0.9})
    assert "'accuracy', which the trainable did not report" in str(results.errors[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ours.ExperimentPlateauStopper("m", mode="best"),
        lambda: ours.ExperimentPlateauStopper("m", top=1),
        lambda: ours.ExperimentPlateauStopper("m", std=0.0),
        lambda: ours.ExperimentPlateauStopper("m", patience=-1),
        lambda: ours.TrialPlateauStopper("m", metric_threshold=1.0),
        lambda: ours.TimeoutStopper("soon"),
    ],
)
def test_settings_that_make_no_sense_are_refused_as_ray_does(make):
    with pytest.raises(ValueError):
        make()
    assert issubclass(SettingError, ValueError)
