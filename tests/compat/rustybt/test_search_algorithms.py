"""Parameters, spaces, search algorithms, and search algorithms of other packages."""

from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.compat.rustybt import (
    BayesianOptimizer,
    CategoricalParameter,
    ContinuousParameter,
    DiscreteParameter,
    GeneticAlgorithm,
    GridSearchAlgorithm,
    ParameterSpace,
    RandomSearchAlgorithm,
)
from rbt_ray.compat.rustybt.parameter_space import to_space
from rbt_ray.compat.rustybt.strategy_searcher import StrategySearcher, max_open_suggestions
from rbt_ray.errors import InputError, NoResultError, SettingError, SpaceError

X = ContinuousParameter(name="x", min_value=0, max_value=1)
N = DiscreteParameter(name="n", min_value=1, max_value=10, step=3)
C = CategoricalParameter(name="c", choices=["sma", "ema"])
SPACE = ParameterSpace(parameters=[X, N, C])
FINITE = ParameterSpace(parameters=[N, C])
OURS = [
    lambda seed=1: GridSearchAlgorithm(FINITE),
    lambda seed=1: RandomSearchAlgorithm(SPACE, n_iter=40, seed=seed),
    lambda seed=1: BayesianOptimizer(SPACE, n_iter=40, random_state=seed),
    lambda seed=1: GeneticAlgorithm(SPACE, population_size=8, max_generations=5, seed=seed),
]


def score(params):
    return Decimal(str(-((params.get("x", 0.3) - 0.3) ** 2) - abs(params["n"] - 4) - (params["c"] != "ema")))


def run(strategy, ahead=1):
    """Requests `ahead` suggestions before it reports their results."""
    told, open_ = [], []
    while True:
        while len(open_) < ahead and not strategy.is_complete():
            open_.append(strategy.suggest())
        if not open_:
            return told
        params = open_.pop(0)
        strategy.update(params, score(params))
        told.append(params)


def test_a_space_has_the_values_that_its_parameters_name():
    assert SPACE.cardinality() == -1
    assert FINITE.cardinality() == 8
    space = to_space(FINITE)
    configs = space.decode(space.grid(0, 8))
    assert configs == [{"n": n, "c": c} for n in (1, 4, 7, 10) for c in ("sma", "ema")]
    even = to_space(ParameterSpace(parameters=[DiscreteParameter(name="n", min_value=-4, max_value=4, step=2)]))
    assert [config["n"] for config in even.decode(even.grid(0, 5))] == [-4, -2, 0, 2, 4]
    assert SPACE.get_parameter("n") is N
    assert SPACE.validate_params({"x": Decimal("0.5"), "n": 4, "c": "sma"})
    for wrong in ({"x": 0.5, "n": 2, "c": "sma"}, {"x": 0.5, "n": 4}, {"x": 2, "n": 4, "c": "sma"}):
        with pytest.raises(SpaceError):
            SPACE.validate_params(wrong)


def test_priors_put_the_draws_where_they_say():
    levels = (np.arange(10_000) + 0.5)[:, None] / 10_000
    priors = {
        prior: to_space(
            ParameterSpace(parameters=[ContinuousParameter(name="x", min_value=1, max_value=100, prior=prior)])
        )
        .from_unit(levels)
        .ravel()
        for prior in ("uniform", "log-uniform", "normal")
    }
    assert np.median(priors["uniform"]) == pytest.approx(50.5, abs=0.1)
    assert np.median(priors["log-uniform"]) == pytest.approx(10, rel=0.01)
    assert np.median(priors["normal"]) == pytest.approx(50.5, abs=0.1)
    # 68.27 % of a normal lie within a deviation, a quarter of the range; 95.45 % are within the bounds.
    within = np.mean(np.abs(priors["normal"] - 50.5) < 99 / 4)
    assert within == pytest.approx(0.6827 / 0.9545, abs=0.001)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContinuousParameter(name="x", min_value=2, max_value=1),
        lambda: ContinuousParameter(name="x", min_value=0, max_value=1, prior="log-uniform"),
        lambda: ContinuousParameter(name="x", min_value=0, max_value=1, prior="lognormal"),
        lambda: ContinuousParameter(name="", min_value=0, max_value=1),
        lambda: DiscreteParameter(name="n", min_value=1, max_value=1),
        lambda: DiscreteParameter(name="n", min_value=1, max_value=5, step=0),
        lambda: DiscreteParameter(name="n", min_value=1, max_value=5, step=3),
        lambda: DiscreteParameter(name="n", min_value=1.5, max_value=5),
        lambda: CategoricalParameter(name="c", choices=["one"]),
        lambda: CategoricalParameter(name="c", choices="sma"),
        lambda: ParameterSpace(parameters=[]),
        lambda: ParameterSpace(parameters=[X, X]),
        lambda: GridSearchAlgorithm(SPACE),
        lambda: to_space(7),
    ],
)
def test_what_is_no_space_is_refused(make):
    with pytest.raises(SpaceError):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomSearchAlgorithm(SPACE, n_iter=0),
        lambda: RandomSearchAlgorithm(SPACE, n_iter=3, seed=-1),
        lambda: GridSearchAlgorithm(FINITE, early_stopping_rounds=0),
        lambda: BayesianOptimizer(SPACE, acq_func="LCB"),
        lambda: BayesianOptimizer(SPACE, initial_points=[{"x": 0.1, "n": 1, "c": "sma"}], initial_scores=[]),
        lambda: GeneticAlgorithm(SPACE, mutation_prob=1.5),
        lambda: GeneticAlgorithm(SPACE, population_size=0),
    ],
)
def test_settings_that_no_search_has_are_refused(make):
    with pytest.raises(SettingError):
        make()


@pytest.mark.parametrize("make", OURS)
@pytest.mark.parametrize("ahead", [1, 5])
def test_a_strategy_comes_to_its_end_and_knows_its_best(make, ahead):
    """Also when it is asked for five before it learns of one."""
    strategy = make()
    with pytest.raises(NoResultError):
        strategy.get_best_params()
    told = run(strategy, ahead)
    assert len(told) == (8 if isinstance(strategy, GridSearchAlgorithm) else 40)
    assert strategy.iteration == len(told)
    assert strategy.get_best_result() == max(((one, score(one)) for one in told), key=lambda pair: pair[1])
    assert len(strategy.get_results(top_k=3)) == 3
    with pytest.raises(InputError, match="complete"):
        strategy.suggest()
    assert run(make(), ahead) == told  # the same seed and results, the same suggestions


def test_searches_that_learn_beat_one_that_does_not():
    """Over ten seeds, by the median of the distance to the best there is."""

    def regret(make):
        return np.median([float(-make(seed).get_best_result()[1]) for seed in range(10)])

    def done(kind):
        def make(seed):
            strategy = kind(seed)
            run(strategy, ahead=4)
            return strategy

        return make

    random = regret(done(OURS[1]))
    for kind in (OURS[2], OURS[3]):
        assert regret(done(kind)) < random


def test_a_grid_may_stop_early_and_a_genetic_search_at_its_target():
    grid = GridSearchAlgorithm(FINITE, early_stopping_rounds=3)
    assert [one["n"] for one in run(grid)] == [1, 1, 4, 4, 7, 7, 10]
    genetic = GeneticAlgorithm(FINITE, population_size=4, max_generations=100, target_fitness=0, seed=0)
    assert score(run(genetic)[-1]) == 0
    patient = GeneticAlgorithm(SPACE, population_size=4, max_generations=1000, patience=3, seed=0)
    assert len(run(patient)) < 4000
    exhausted = GeneticAlgorithm(FINITE, population_size=4, max_generations=100, seed=0)
    told = run(exhausted)
    assert len(told) == len({tuple(one.items()) for one in told}) == 8


def test_known_points_come_first_or_are_learned():
    first = {"x": 0.25, "n": 4, "c": "ema"}
    asked = BayesianOptimizer(SPACE, n_iter=3, initial_points=[first], random_state=0)
    assert asked.suggest() == first
    told = BayesianOptimizer(SPACE, n_iter=3, initial_points=[first], initial_scores=[Decimal(1)], random_state=0)
    assert told.get_best_params() == first
    assert told.suggest() != first
    assert len(run(told)) == 2


def test_every_search_continues_after_a_failed_trial():
    for make in OURS:
        strategy = make()
        while not strategy.is_complete():
            params = strategy.suggest()
            strategy.update(params, Decimal("-Infinity") if params["c"] == "sma" else score(params))
        assert strategy.get_best_params()["c"] == "ema"


class OneAtATime:
    """As RustyBT's Bayesian search: takes a result of its last suggestion only."""

    def __init__(self, n):
        self.left, self.last, self.told = n, None, []

    def suggest(self):
        self.left -= 1
        self.last = {"n": self.left}
        return self.last

    def update(self, params, score):
        if params is not self.last:
            raise ValueError("not my last suggestion")
        self.told.append((params["n"], score))

    def is_complete(self):
        return self.left == 0


def tell(searcher, losses):
    for number, loss in losses.items():
        searcher.tell([SimpleNamespace(tag=(number,), loss=loss)])


def test_a_foreign_strategy_is_asked_for_one_at_a_time():
    with pytest.warns(UserWarning, match="one worker of 4"):
        assert max_open_suggestions(OneAtATime(3), None, 4) == 1
    assert max_open_suggestions(OneAtATime(3), 5, 4) == 5  # its author knows
    assert max_open_suggestions(RandomSearchAlgorithm(SPACE, 3), None, 4) == 8
    searcher = StrategySearcher(OneAtATime(3), 1)
    for number in range(3):
        assert [dict(one.config) for one in searcher.ask(9)] == [{"n": 2 - number}]
        assert searcher.ask(9) == []
        tell(searcher, {number: 1.5})
    assert searcher.done


def test_a_strategy_of_rustybt_gets_the_worst_score_for_a_failed_trial():
    strategy = OneAtATime(4)
    strategy.update = lambda params, score: strategy.told.append((params["n"], score))
    searcher = StrategySearcher(strategy, 2)
    searcher.ask(2)
    tell(searcher, {0: None, 1: 2.0})  # the failure waits for a score
    searcher.ask(2)
    tell(searcher, {2: 0.5, 3: None})
    assert strategy.told == [(2, Decimal("-2.0")), (3, Decimal("-2.0")), (1, Decimal("-0.5")), (0, Decimal("-2.0"))]


def test_a_strategy_may_say_by_an_exception_that_it_waits():
    class Waits(OneAtATime):
        def suggest(self):
            if self.last is not None and (not self.told or self.told[-1][0] != self.last["n"]):
                raise RuntimeError("results first")
            return super().suggest()

    searcher = StrategySearcher(Waits(2), 5)
    assert len(searcher.ask(5)) == 1
    tell(searcher, {0: 1.0})
    assert len(searcher.ask(5)) == 1

    class Broken(OneAtATime):
        def suggest(self):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        StrategySearcher(Broken(1), 1).ask(1)


def test_a_space_of_rbt_ray_serves_too():
    strategy = GridSearchAlgorithm({"n": rbt.randint(0, 3), "fixed": 7})
    assert strategy.suggest() == {"n": 0, "fixed": 7}
