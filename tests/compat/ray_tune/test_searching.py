"""`search_alg`: names, and objects of rbt_ray, Optuna and Ray Tune."""

import datetime

import numpy as np
import pytest
from ray import tune as ray_tune
from ray.tune.search import ConcurrencyLimiter, Repeater
from ray.tune.search.optuna import OptunaSearch

import rbt_ray as rbt
from rbt_ray import tune
from rbt_ray.errors import NotSupportedError, SettingError, SpaceError
from rbt_ray.tune.schedulers import ASHAScheduler, HyperBandScheduler
from tests.compat.ray_tune.trainables import bowl, endless, reports_forever

SPACE = {"x": tune.uniform(-5, 5), "opt": {"kind": tune.choice(["a", "b"])}, "steps": 3}


@pytest.mark.parametrize("search", ["tpe", "bohb", "sobol", rbt.BOHB(model="tpe")], ids=str)
def test_our_searches_by_name(fit, tmp_path, search):
    results = fit(bowl, SPACE, metric="loss", mode="min", search_alg=search, num_samples=25, seed=1)
    assert len(results) == 25
    assert results.get_best_result().metrics["loss"] < 1
    assert results[0].config["steps"] == 3
    assert results[0].metrics["training_iteration"] == 3
    again = tune.Tuner.restore(tmp_path / "study", bowl).fit()
    assert [result.metrics for result in again] == [result.metrics for result in results]


@pytest.mark.parametrize("limiter", [ConcurrencyLimiter, tune.search.ConcurrencyLimiter], ids=["rays", "ours"])
def test_rays_searchers_and_limits(fit, limiter):
    search = limiter(OptunaSearch(seed=1), max_concurrent=2)
    results = fit(bowl, SPACE, metric="loss", mode="min", search_alg=search, num_samples=12)
    assert len(results) == 12
    assert all(result.config["opt"]["kind"] in "ab" for result in results)


@pytest.mark.parametrize(
    "scheduler", [ASHAScheduler(max_t=9, reduction_factor=3), HyperBandScheduler(max_t=9)], ids=repr
)
def test_rays_searchers_go_with_a_scheduler_and_learn_how_far_each_came(fit, tmp_path, scheduler):
    space = {"x": tune.uniform(-5, 5), "steps": 100}
    options = {"metric": "loss", "mode": "min", "scheduler": scheduler, "num_samples": 40}
    search = ConcurrencyLimiter(OptunaSearch(seed=1), max_concurrent=4)
    results = fit(bowl, space, search_alg=search, **options)
    assert len(results) == 40
    assert {result.metrics["training_iteration"] for result in results} == {1, 3, 9}
    early, late = ([abs(result.config["x"]) for result in part] for part in (results[:10], results[30:]))
    assert sum(late) < sum(early)  # it has learned where the bottom is
    again = tune.Tuner.restore(tmp_path / "study", bowl, search_alg=OptunaSearch(seed=1)).fit()
    assert [result.config for result in again] == [result.config for result in results]


def test_a_learning_search_works_with_a_scheduler(fit):
    scheduler = HyperBandScheduler(max_t=9)
    space = {**SPACE, "steps": 100}
    results = fit(
        bowl, space, metric="loss", mode="min", search_alg="bohb", scheduler=scheduler, num_samples=15, seed=1
    )
    assert {result.metrics["training_iteration"] for result in results} == {1, 3, 9}
    assert len(results) == 15


@pytest.mark.parametrize("words", [ray_tune, tune], ids=["rays", "ours"])
def test_rays_variant_generator_is_supported(fit, words):
    search = words.search.BasicVariantGenerator(points_to_evaluate=[{"x": 0.0}], constant_grid_search=True)
    space = {"x": tune.uniform(1, 5), "g": tune.grid_search([1, 2])}
    results = fit(bowl, {**space, "steps": 1}, metric="loss", mode="min", search_alg=search, num_samples=2)
    assert [result.config["x"] for result in results][:2] == [0.0, 0.0]
    assert results[2].config["x"] == results[3].config["x"]


@pytest.mark.parametrize("wrapped", [lambda search: search, lambda search: ConcurrencyLimiter(search, 2)])
def test_a_searcher_learns_by_the_metric_it_was_made_for(fit, wrapped):
    told = {}

    class Watched(OptunaSearch):
        def on_trial_complete(self, trial_id, result=None, error=False):
            told[result["loss"]] = trial_id
            super().on_trial_complete(trial_id, result, error)

    search = wrapped(Watched(metric="loss", mode="min", seed=1))
    results = fit(bowl, SPACE, search_alg=search, num_samples=6)
    assert set(told) == {result.metrics["loss"] for result in results}
    assert results.get_best_result().metrics["loss"] == min(told)


@pytest.mark.parametrize(("limit", "most"), [(None, 8), (3, 3)])
def test_a_searcher_of_rays_is_asked_a_few_trials_ahead_on_every_machine(fit, limit, most):
    n_open = []

    class Watched(OptunaSearch):
        at_once = 0

        def suggest(self, trial_id):
            self.at_once += 1
            n_open.append(self.at_once)
            return super().suggest(trial_id)

        def on_trial_complete(self, trial_id, result=None, error=False):
            self.at_once -= 1
            super().on_trial_complete(trial_id, result, error)

    options = {"metric": "loss", "mode": "min", "num_samples": 20, "max_concurrent_trials": limit}
    fit(bowl, SPACE, search_alg=Watched(seed=1), **options)
    assert n_open == [*range(1, most), *[most] * (21 - most)]


def test_equal_configs_are_trials_of_their_own(fit, tmp_path):
    space = {"x": tune.choice([1, 2, 3]), "steps": 2}
    options = {"metric": "loss", "mode": "min", "num_samples": 10}
    results = fit(bowl, space, search_alg=OptunaSearch(seed=1), **options)
    assert len(results) == len({result.path for result in results}) == 10
    assert len({result.config["x"] for result in results}) <= 3
    assert [result.metrics["trial_id"][-5:] for result in results] == [f"{n:05d}" for n in range(10)]
    assert [len(result.metrics_dataframe) for result in results] == [2] * 10
    again = tune.Tuner.restore(tmp_path / "study", bowl, search_alg=OptunaSearch(seed=1)).fit()
    assert [result.path for result in again] == [result.path for result in results]


def test_a_searcher_without_a_metric_is_refused():
    with pytest.raises(SettingError, match="OptunaSearch has nothing to learn from: give `metric`"):
        tune.Tuner(bowl, param_space=SPACE, tune_config=tune.TuneConfig(search_alg=OptunaSearch()))


@pytest.mark.parametrize("words", [tune, ray_tune], ids=["ours", "rays"])
@pytest.mark.parametrize("search", ["tpe", OptunaSearch()], ids=["tpe", "optuna"])
def test_spaces_in_a_choice_are_refused_with_a_searcher(words, search):
    space = {"opt": {"kind": words.choice([{"lr": words.uniform(0, 1)}, {"lr": 0}])}}
    config = tune.TuneConfig(metric="loss", mode="min", search_alg=search)
    with pytest.raises(SpaceError, match="'opt/kind' chooses between spaces"):
        tune.Tuner(bowl, param_space=space, tune_config=config)


def test_random_is_rays_variant_generator(fit):
    space = {"g": tune.grid_search([1, 2]), "x": tune.uniform(0, 1), "steps": 1}
    results = fit(bowl, space, metric="loss", mode="min", search_alg="random", num_samples=3)
    assert [result.config["g"] for result in results] == [1, 2] * 3


@pytest.mark.parametrize("words", [ray_tune, tune], ids=["rays", "ours"])
@pytest.mark.parametrize("state", [lambda n: n, np.random.default_rng, np.random.RandomState])
def test_the_random_state_of_a_variant_generator_is_a_seed(state, words):
    def drawn(n, **options):
        search = words.search.BasicVariantGenerator(random_state=state(n))
        tuner = tune.Tuner(
            bowl,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(search_alg=search, num_samples=3, **options),
        )
        return tuner._definition.samples

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1, seed=5) == drawn(2, seed=5) != drawn(1)


def test_a_time_budget_ends_the_study(fit):
    budget = datetime.timedelta(seconds=0.3)
    assert len(fit(endless, {}, num_samples=-1, time_budget_s=budget)) < 10_000


class Ends(tune.Callback):
    def __init__(self):
        self.last = {}

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.last[trial.trial_id] = trial.last_result["n"]


class AfterOne(tune.Stopper):
    seen = False

    def __call__(self, trial_id, result):
        self.seen |= result["n"] == -1
        return False

    def stop_all(self):
        return self.seen


def check_reports(results, ends):
    assert [result.error for result in results] == [None, None]
    for result in results:
        assert result.metrics["training_iteration"] == len(result.metrics_dataframe)
        assert result.config == {"x": result.metrics["x"]} == result.metrics["config"]
    assert max(len(result.metrics_dataframe) for result in results) > 9
    assert sorted(ends.last.values()) == sorted(result.metrics["n"] for result in results)


@pytest.mark.slow
@pytest.mark.parametrize("search", [None, "sobol"])
@pytest.mark.parametrize(
    "scheduler",
    [None, ASHAScheduler(max_t=1_000_000, grace_period=99)],
    ids=["", "asha"],
)
def test_trials_that_run_when_a_study_stops_keep_their_reports(fit, tmp_path, search, scheduler):
    space, ends = {"x": tune.uniform(0, 1) if search else tune.grid_search([0, 1])}, Ends()
    options = {"metric": "n", "mode": "max", "num_samples": 2 if search else 1, "scheduler": scheduler, "seed": 1}
    results = fit(reports_forever, space, search_alg=search, stop=AfterOne(), callbacks=[ends], **options)
    check_reports(results, ends)
    again = tune.Tuner.restore(tmp_path / "study", reports_forever, run_config=tune.RunConfig(stop=AfterOne()))
    assert [result.metrics for result in again.get_results()] == [result.metrics for result in results]


@pytest.mark.slow
def test_trials_that_run_when_the_time_budget_ends_keep_their_reports(fit):
    space, ends = {"x": tune.grid_search([0, 1])}, Ends()
    check_reports(fit(reports_forever, space, metric="n", mode="max", time_budget_s=20, callbacks=[ends]), ends)


def test_unsupported_searchers_are_refused_with_an_alternative():
    class TuneBOHB:
        pass

    for search, says in ((TuneBOHB(), "search_alg='bohb'"), (Repeater(OptunaSearch()), "the mean")):
        with pytest.raises(NotSupportedError, match=says):
            tune.Tuner(bowl, tune_config=tune.TuneConfig(metric="loss", mode="min", search_alg=search))
    with pytest.raises(NotSupportedError, match="the mean"):
        tune.search.Repeater(OptunaSearch())
    with pytest.raises(SettingError, match="`max_concurrent` must be a whole number above 0; got 0"):
        tune.search.ConcurrencyLimiter(OptunaSearch(), 0)


def by_run(trial):
    trial.suggest_float("x", 0, 1)
    return {"steps": 1}


def test_the_own_space_of_a_searcher_has_to_be_that_of_the_study(fit):
    for number, space in enumerate((None, {"x": tune.uniform(0, 1)}, {"steps": 1})):
        search = OptunaSearch(space=by_run, metric="loss", mode="min")
        with pytest.raises(SpaceError, match=r"OptunaSearch has a space of its own, .* give `param_space` the same"):
            fit(bowl, space, search_alg=search, name=f"{number}", num_samples=3)
    search = OptunaSearch(space=by_run, metric="loss", mode="min")
    results = fit(bowl, {"x": tune.uniform(0, 1), "steps": 1}, search_alg=search, num_samples=3)
    assert len(results) == 3
    assert results.num_errors == 0
