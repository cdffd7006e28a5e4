"""Searches and schedulers with several metrics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import tune as rbt_tune
from rbt_ray.columns import Outcomes, Results
from rbt_ray.errors import SettingError
from rbt_ray.pareto import fronts, hypervolume
from rbt_ray.search.constraints import rank_as_loss
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.front_races import FrontScheduler
from rbt_ray.search.front_ranking import FrontRanking
from rbt_ray.search.optuna_sampler import OptunaSampler
from rbt_ray.search.registry import make_searcher
from rbt_ray.search.scheduler import order_of
from rbt_ray.study.goals import Goal
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study
from rbt_ray.types import COMPLETED

SPACE = Space.of({f"x{k}": rbt.uniform(0, 1) for k in range(3)})
SCHEDULERS = [rbt.ASHA(), rbt.ASHA(kind="stopping"), rbt.MedianStopping(), rbt.Hyperband(), rbt.SuccessiveHalving()]


def schaffer(points):
    """Two losses with a front: ``(n, 2)``."""
    rest = 1 + points[:, 1:].sum(axis=1)
    return np.column_stack([points[:, 0], rest * (1 - np.sqrt(points[:, 0] / rest))])


def study_of(search_alg, seed=0, **options):
    return Study(
        "several", SPACE, "a", "min", search_alg, None, seed, 1, True, Address("", {}, "", ""),
        search_options=options, further_goals=(Goal("b", "min"),),
    )  # fmt: skip


def driven(searcher, n):
    """Returns the losses of `n` trials, evaluated one at a time."""
    found = []
    while len(found) < n:
        proposals = searcher.ask(1)
        losses = schaffer(proposals.points)
        outcomes = Outcomes(np.full(1, COMPLETED, np.uint8), {}, {}, np.zeros(1))
        searcher.tell(Results(np.array([len(found)]), proposals, outcomes, losses[:, 0], ["w"], losses=losses))
        found.append(losses[0])
    return np.array(found)


@pytest.mark.parametrize("model", ["tpe", "kde"])
def test_the_model_dominates_more_than_random_configs(model):
    reference, n = np.array([1.1, 3.1]), 100

    def volume(make):
        return np.mean([hypervolume(driven(make_searcher(make(seed)), n), reference) for seed in range(3)])

    modelled = volume(lambda seed: study_of("bohb", seed, model=model))
    assert modelled > volume(lambda seed: study_of("random", seed)) + 0.1


def ranks(draw_losses):
    return st.lists(draw_losses | st.just(math.inf) | st.floats(0, 5).map(rank_as_loss), min_size=1, max_size=30)


PAIR = st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float))


@settings(deadline=None, max_examples=40)
@given(ranks(PAIR))
def test_models_see_results_by_front_then_infeasible_then_failed(given_ranks):
    ranking = FrontRanking(Encoding(SPACE, ordered=False))
    points = np.random.default_rng(0).random((len(given_ranks), 3))
    for point, rank in zip(points, given_ranks, strict=True):
        ranking.add(point, rank)
    assert (np.diff(np.nan_to_num(ranking.losses, posinf=np.finfo(float).max)) >= 0).all()
    assert ranking.n_completed == sum(rank != math.inf for rank in given_ranks)
    position = {point.tobytes(): at for at, point in enumerate(Encoding(SPACE, ordered=False).encode(points))}
    order = [position[level.tobytes()] for level in np.ascontiguousarray(ranking.levels)]
    assert sorted(order) == list(range(len(given_ranks)))
    several = [at for at, rank in enumerate(given_ranks) if isinstance(rank, tuple)]
    front = (
        dict(zip(several, fronts(np.array([given_ranks[at] for at in several])).tolist(), strict=True))
        if several
        else {}
    )
    for at, loss in zip(order, ranking.losses.tolist(), strict=True):
        assert loss == front.get(at, given_ranks[at])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40, unique=True))
def test_one_metric_in_a_front_ranking_is_ranked_as_alone(numbers):
    one, several = Ranking(Encoding(SPACE, ordered=False)), FrontRanking(Encoding(SPACE, ordered=False))
    for point, number in zip(np.random.default_rng(0).random((len(numbers), 3)), numbers, strict=True):
        one.add(point, float(number))
        several.add(point, (float(number),))
    ranked = min(len(numbers), 50)
    assert (one.levels[:ranked] == several.levels[:ranked]).all()


def steps_of(race, losses, order, n_open):
    """Returns the steps of a race that gets the losses of ``(n_configs, n_rungs)`` in an order of arrival."""
    steps, waiting, n_entered = [], [], 0
    while True:
        while len(waiting) < n_open and (step := race.next()) is not None:
            slot = step.slot
            if slot is None:
                if n_entered == len(losses):
                    race.close()
                    continue
                slot, n_entered = n_entered, n_entered + 1
                race.enter(slot, step)
            waiting.append((slot, step.rung))
            steps.append((slot, step.rung))
        if not waiting:
            return steps
        slot, rung = waiting.pop(order[len(steps) % len(order)] % len(waiting))
        race.finish(slot, rung, losses[slot][rung], fatal=False)


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=repr)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), n_open=st.integers(1, 6))
def test_one_metric_in_a_front_race_is_raced_as_alone(scheduler, seed, n_open):
    rng = np.random.default_rng(seed)
    losses, order = rng.permutation(60).reshape(20, 3).astype(float), rng.integers(0, 6, 7).tolist()
    ladder = (1 / 9, 1 / 3, 1.0)
    alone = steps_of(scheduler.race(ladder, 3), losses.tolist(), order, n_open)
    tuples = [[(loss,) for loss in row] for row in losses.tolist()]
    assert steps_of(FrontScheduler(scheduler).race(ladder, 3), tuples, order, n_open) == alone


@settings(deadline=None, max_examples=40)
@given(ranks(PAIR | st.none()))
def test_a_bracket_promotes_by_front_then_infeasible_then_failed(given_ranks):
    order = order_of(given_ranks)
    assert sorted(order) == list(range(len(given_ranks)))
    pairs = [rank for rank in given_ranks if isinstance(rank, tuple)]
    front = dict(zip(pairs, fronts(np.array(pairs).reshape(-1, 2)).tolist(), strict=True))
    numbers = [math.inf if given_ranks[at] is None else front.get(given_ranks[at], given_ranks[at]) for at in order]
    assert numbers == sorted(numbers)


RULES = [(rbt.ASHA(kind="stopping"), lambda better, n: better < max(1, n / 3))]
RULES += [(rbt.MedianStopping(), lambda better, n: n < 4 or better <= (n - 1) / 2)]


@pytest.mark.parametrize(("scheduler", "promotes"), RULES, ids=["asha", "median"])
@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(PAIR, min_size=1, max_size=20))
def test_a_config_stops_if_too_many_are_on_fronts_before_its_own(scheduler, promotes, pairs):
    race = FrontScheduler(scheduler).race((1 / 3, 1.0), 3)
    for slot, pair in enumerate(pairs):
        step = race.next()
        assert step.slot is None
        race.enter(slot, step)
        race.finish(slot, 0, pair, fatal=False)
        front = fronts(np.array(pairs[: slot + 1]))
        if promotes(int((front < front[-1]).sum()), slot + 1):
            promoted = race.next()
            assert (promoted.slot, promoted.rung) == (slot, 1)
            race.finish(slot, 1, pair, fatal=False)
    race.close()
    assert race.done


@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(PAIR, min_size=1, max_size=20))
def test_asha_promotes_only_the_first_fronts(pairs):
    race = FrontScheduler(rbt.ASHA()).race((1 / 3, 1.0), 3)
    promoted = []
    for slot, pair in enumerate(pairs):
        while (step := race.next()).slot is not None:
            promoted.append(step.slot)
            front = fronts(np.array(pairs[:slot]))
            assert (front < front[step.slot]).sum() < slot // 3
            race.finish(step.slot, 1, pair, fatal=False)
        race.enter(slot, step)
        race.finish(slot, 0, pair, fatal=False)
    assert len(set(promoted)) == len(promoted)
    assert len(promoted) >= (len(pairs) - 1) // 3


def optuna_samplers():
    import optuna

    return [
        optuna.samplers.NSGAIISampler(population_size=10, seed=1),
        optuna.samplers.NSGAIIISampler(population_size=10, seed=1),
        optuna.samplers.TPESampler(seed=1),
    ]


@pytest.mark.filterwarnings("ignore:NSGAIIISampler is experimental")
@pytest.mark.parametrize("number", range(3))
def test_samplers_of_optuna_learn_each_loss(number):
    def course():
        study = study_of("custom")
        return driven(make_searcher(study, optuna_samplers()[number]), 60)

    found = course()
    assert (found == course()).all()
    assert found[30:].sum(axis=1).mean() < found[:30].sum(axis=1).mean()


def test_a_sampler_of_optuna_for_one_metric_is_refused():
    import optuna

    searcher = make_searcher(study_of("custom"), optuna.samplers.CmaEsSampler(seed=1))
    with pytest.raises(
        SettingError, match="CmaEsSampler cannot search this space: If the study is being used for multi-objective"
    ):
        driven(searcher, 30)


@pytest.mark.parametrize("search_alg", ["tpe", "bohb"])
def test_infeasible_and_failed_trials_are_learned(search_alg):
    options = {"constraints": ("b < 0.4",)}
    study = Study(
        "several", SPACE, "a", "min", search_alg, None, 5, 1, True, Address("", {}, "", ""),
        further_goals=(Goal("b", "min"),), **options,
    )  # fmt: skip
    searcher = make_searcher(study)
    n_infeasible = []
    for trial in range(60):
        proposals = searcher.ask(1)
        losses = schaffer(proposals.points)
        violation = np.maximum(losses[:, 1] - 0.4, 0)
        n_infeasible.append(violation[0] > 0)
        if violation[0] > 0 or trial % 9 == 0:
            losses = np.full((1, 2), np.nan)
        outcomes = Outcomes(np.full(1, COMPLETED, np.uint8), {}, {}, np.zeros(1))
        searcher.tell(Results(np.array([trial]), proposals, outcomes, losses[:, 0], ["w"], violation, losses))
    assert np.mean(n_infeasible[30:]) < np.mean(n_infeasible[:30])


def test_a_sampler_of_optuna_learns_configs_at_full_fidelity_only():
    sampler = OptunaSampler(SPACE, seed=0, n_metrics=2)
    point = sampler.sample()
    sampler.learn_losses(point, 1 / 3, (1.0, 2.0))
    assert [trial.state.name for trial in sampler._study.trials] == ["FAIL"]
    sampler.learn_losses(point, 1.0, (0.5, 0.25))
    assert sampler._study.trials[1].values == [0.5, 0.25]


def test_a_sampler_of_optuna_learns_an_infeasible_trial_before_any_other():
    sampler = OptunaSampler(SPACE, seed=0, n_metrics=2, constrained=True)
    sampler.learn_infeasible(sampler.sample(), 1.0, 0.5)
    assert [trial.state.name for trial in sampler._study.trials] == ["COMPLETE"]
    assert sampler.sample() is not None


class Plain:
    """A searcher that reads `Result.loss`."""

    done = False

    def ask(self, n):
        return []

    def tell(self, results):
        pass


class Several(Plain):
    takes_losses = True


def test_ray_tunes_settings_have_one_metric():
    with pytest.raises(SettingError, match=r"one metric; got \['a', 'b'\]. `rbt_ray.TuneConfig` takes several"):
        rbt_tune.TuneConfig(metric=["a", "b"], mode="max")


def test_searches_that_learn_from_one_metric_are_refused():
    from hyperopt import hp  # noqa: F401  Ray Tune's searcher needs it
    from ray.tune.search.hyperopt import HyperOptSearch

    for search_alg, said in [
        (Plain(), "Plain learns from one"),
        (rbt.BOHB(engine="hpbandster"), "engine='hpbandster' learns from one"),
        (HyperOptSearch(), "a searcher of Ray Tune's"),
    ]:
        with pytest.raises(SettingError, match=said):
            rbt.TuneConfig(metric=["a", "b"], search_alg=search_alg)
    assert rbt.TuneConfig(metric=["a", "b"], search_alg=Several()).goals == (Goal("a", "max"), Goal("b", "max"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"metric": []}, "`metric` is the name of a metric, or a list of different names"),
        ({"metric": ["a", "a"]}, "different names"),
        ({"metric": ["a", 3]}, "a list of names"),
        ({"metric": ["a", "status"]}, "not of a column of the results"),
        ({"metric": ["a", "b"], "mode": ["max"]}, "got 1 for 2 metrics"),
        ({"metric": ["a", "b"], "mode": ["max", "most"]}, "`mode` is one of max, min; got 'most'"),
        ({"metric": ["a", "b"], "validation": rbt.WalkForward(train=3, test=1)}, "`validation` compares configs by one metric"),
        ({"metric": ["a", "b"], "warm_start": [({"x0": 1}, 1.0, 0.0)]}, "`warm_start` compares configs by one metric"),
    ],
)  # fmt: skip
def test_settings_that_need_one_metric_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        rbt.TuneConfig(**settings)
