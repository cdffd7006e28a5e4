"""Ray Tune's schedulers by name: how far each trial runs."""

from collections import Counter

import pytest
from ray.tune import schedulers as rays

from rbt_ray import tune
from rbt_ray.compat.ray_tune.schedulers import schedule_plan, to_native_scheduler
from rbt_ray.errors import NotSupportedError, SettingError
from rbt_ray.tune import schedulers as ours
from tests.compat.ray_tune.trainables import Line, line, line_unless_broken


def iterations(results):
    return [result.metrics["training_iteration"] for result in results]


SPACE = {"x": tune.grid_search(list(range(16)))}


def test_asha_ends_trials_at_tunes_milestones_and_the_best_runs_to_max_t(fit):
    scheduler = ours.ASHAScheduler(max_t=20, grace_period=2, reduction_factor=3)
    results = fit(line, SPACE, metric="score", mode="min", scheduler=scheduler)
    assert set(iterations(results)) <= {2, 6, 18, 20}
    assert iterations(results)[0] == 20  # the best came first, and is never behind
    assert iterations(results)[-1] == 2  # the worst came last, with 15 better ones
    assert results.get_best_result().config == {"x": 0}
    assert [result.metrics_dataframe["step"].tolist() for result in results] == [
        list(range(1, n + 1)) for n in iterations(results)
    ]


@pytest.mark.parametrize("trainable", [line, Line])
def test_a_promoted_trial_continues_from_its_checkpoint(fit, trainable):
    scheduler = ours.ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3)
    space = {"x": tune.grid_search([0, 1, 2, 3]), "saves": True}
    best = fit(trainable, space, metric="score", mode="min", scheduler=scheduler)[0]
    frame = best.metrics_dataframe
    assert frame["step"].tolist() == list(range(1, 10))
    assert frame["began_at"].tolist() == [0, 1, 1, *[3] * 6]


def test_hyperband_sends_the_best_of_each_bracket_to_the_top(fit):
    scheduler = ours.HyperBandScheduler(max_t=9, reduction_factor=3)
    results = fit(line, {"x": tune.grid_search(list(range(22)))}, metric="score", mode="max", scheduler=scheduler)
    counts = Counter(iterations(results))
    assert set(counts) <= {1, 3, 9}
    # Li et al. (2018), table 1, for R = 9 and eta = 3: brackets of 9, 3 (as hpbandster rounds) and 3, over 1, 3 and 9.
    assert counts[9] >= 3
    assert len(results) == 22


def test_the_median_rule_ends_what_is_below_it(fit):
    scheduler = ours.MedianStoppingRule(time_attr="training_iteration", grace_period=2, min_samples_required=3)
    results = fit(line, SPACE, metric="score", mode="min", scheduler=scheduler, stop={"training_iteration": 8})
    assert iterations(results)[:2] == [8, 8]
    assert iterations(results)[-1] == 2


def test_stopping_criteria_and_trials_that_end_by_themselves_hold_under_a_scheduler(fit):
    scheduler = ours.ASHAScheduler(max_t=100, reduction_factor=2)
    short = fit(line, {**SPACE, "until": 5}, name="a", metric="score", mode="min", scheduler=scheduler)
    assert max(iterations(short)) == 5
    assert short[0].metrics["done"]
    stopped = fit(line, SPACE, name="b", metric="score", mode="min", scheduler=scheduler, stop={"step": 3})
    assert max(iterations(stopped)) == 3
    one = fit(line, SPACE, name="c", metric="score", mode="min", scheduler=scheduler, stop={"training_iteration": 1})
    assert iterations(one) == [1] * 16


@pytest.mark.parametrize("trainable", [line, Line])
@pytest.mark.parametrize(
    "scheduler", [ours.ASHAScheduler(max_t=2, grace_period=2), ours.HyperBandScheduler(max_t=2)], ids=repr
)
def test_max_t_ends_trials_if_it_is_the_only_milestone(fit, scheduler, trainable):
    space = {"x": tune.grid_search([0, 1]), "until": 20}
    assert iterations(fit(trainable, space, metric="score", mode="min", scheduler=scheduler)) == [2, 2]


def test_max_t_ends_trials_that_are_run_again(fit, tmp_path):
    broken = tmp_path / "broken"
    broken.touch()
    space = {"x": tune.grid_search([0, 1]), "broken": str(broken), "until": 20}
    scheduler = ours.ASHAScheduler(max_t=4, reduction_factor=2)
    assert fit(line_unless_broken, space, metric="score", mode="min", scheduler=scheduler).num_errors == 2
    broken.unlink()
    results = tune.Tuner.restore(tmp_path / "study", line_unless_broken, restart_errored=True).fit()
    assert iterations(results) == [4, 4]


def test_the_same_seed_gives_the_same_trials_for_any_number_of_workers(tmp_path):
    def run(n):
        results = tune.Tuner(
            line,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=20,
                seed=3,
                scheduler=ours.ASHAScheduler(max_t=8, reduction_factor=2),
            ),
            run_config=tune.RunConfig(name=f"w{n}", storage_path=tmp_path, num_workers=n, backend="local", verbose=0),
        ).fit()
        return [(result.config, result.metrics["score"], result.metrics["step"]) for result in results]

    assert run(1) == run(2)


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (
            rays.ASHAScheduler(max_t=27, grace_period=3, reduction_factor=3, metric="m", mode="max"),
            ours.ASHAScheduler(max_t=27, grace_period=3, reduction_factor=3, metric="m", mode="max"),
        ),
        (rays.HyperBandScheduler(max_t=32, reduction_factor=2), ours.HyperBandScheduler(max_t=32, reduction_factor=2)),
        (
            rays.MedianStoppingRule(time_attr="training_iteration", grace_period=5, min_samples_required=2),
            ours.MedianStoppingRule(time_attr="training_iteration", grace_period=5, min_samples_required=2),
        ),
        (rays.FIFOScheduler(), ours.FIFOScheduler()),
        ("asynchyperband", ours.ASHAScheduler()),
    ],
)
def test_rays_own_objects_and_names_mean_the_same(theirs, mine):
    assert to_native_scheduler(theirs) == mine


def test_milestones_are_those_of_rays_own():
    for options in (
        {"max_t": 100},
        {"max_t": 81, "grace_period": 2, "reduction_factor": 3},
        {"max_t": 9, "grace_period": 9},
    ):
        theirs = rays.ASHAScheduler(**options)
        rungs = sorted(milestone for milestone, _ in theirs._brackets[0]._rungs)
        climb = schedule_plan(ours.ASHAScheduler(**options), None)
        milestones = () if climb is None else climb.milestones[:-1]
        assert list(milestones) == [rung for rung in rungs if rung < options["max_t"]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ours.PopulationBasedTraining(), "ASHAScheduler"),
        (lambda: ours.PB2(), "bohb"),
        (lambda: ours.HyperBandForBOHB(max_t=3), "search_alg='bohb'"),
        (lambda: ours.ResourceChangingScheduler(), "with_resources"),
        (lambda: ours.create_scheduler("pbt"), "ASHAScheduler"),
        (lambda: ours.ASHAScheduler(time_attr="time_total_s"), "training_iteration"),
        (lambda: ours.ASHAScheduler(brackets=3), "HyperBandScheduler"),
        (lambda: ours.ASHAScheduler(stop_last_trials=False), "max_t"),
        (lambda: ours.MedianStoppingRule(), "training_iteration"),
        (lambda: to_native_scheduler(rays.PopulationBasedTraining(hyperparam_mutations={"x": [1]})), "ASHAScheduler"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(make, says):
    with pytest.raises(NotSupportedError, match=says):
        make()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scheduler": ours.ASHAScheduler()}, "needs a `metric`"),
        (
            {"scheduler": ours.ASHAScheduler(metric="m", mode="max"), "metric": "m", "mode": "max"},
            "in both TuneConfig and its scheduler",
        ),
        (
            {"scheduler": ours.MedianStoppingRule("training_iteration"), "metric": "m", "mode": "max"},
            "the number of reports of a trial",
        ),
        ({"scheduler": 5}, "one of"),
        ({"scheduler": "fastest"}, "one of"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(options, says):
    with pytest.raises(SettingError, match=says):
        tune.Tuner(line, param_space={"x": 1}, tune_config=tune.TuneConfig(**options))
    with pytest.raises(SettingError):
        ours.ASHAScheduler(max_t=1, grace_period=2)
