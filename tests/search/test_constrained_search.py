"""Every search obeys constraints on parameters, and learns from trials that break those on metrics."""

import numpy as np
import optuna
import pytest
from ray import tune
from ray.tune.search.optuna import OptunaSearch

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.engine.frontier import Frontier
from rbt_ray.errors import SpaceError
from rbt_ray.metric_columns import from_rows
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Finished
from tests.ray_searchers import hyperopt_search

CUBE = {name: rbt.uniform(0, 1) for name in "xyz"}
TIGHT = ["abs(x - y) < 0.03", "abs(y - z) < 0.03"]  # 0.35 % of the cube
SEARCHES = {
    "auto": lambda: {},
    "bohb": lambda: {"search_alg": "bohb"},
    "hpbandster": lambda: {"search_alg": rbt.BOHB(engine="hpbandster")},
    "tpe": lambda: {"search_alg": "tpe"},
    "Optuna's NSGA-II": lambda: {"search_alg": optuna.samplers.NSGAIISampler(seed=3)},
    "Ray Tune's Optuna": lambda: {"search_alg": OptunaSearch(seed=3)},
    "Ray Tune's Optuna with a space of its own": lambda: {
        "search_alg": OptunaSearch({name: tune.uniform(0, 1) for name in "xyz"}, metric="loss", mode="min", seed=3)
    },
    "Ray Tune's HyperOpt": lambda: {"search_alg": hyperopt_search(random_state_seed=3)},
    "random": lambda: {"search_alg": "random"},
    "sobol": lambda: {"search_alg": "sobol"},
}
LEARNING = ("auto", "bohb", "hpbandster", "tpe", "Ray Tune's Optuna")


def each_of(names):
    """Each search by name; hpbandster's takes seconds."""
    marks = {"hpbandster": pytest.mark.slow}
    return pytest.mark.parametrize(
        "settings_of", [pytest.param(SEARCHES[name], id=name, marks=marks.get(name, ())) for name in names]
    )


each, each_learning = each_of(SEARCHES), each_of(LEARNING)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def play(settings_of, metrics_of, space, constraints, n=100, **tune):
    """Runs a search through the engine's rule, one trial at a time; returns configs and metrics."""
    given = settings_of()
    study = rbt.Tuner(
        lambda params, data: 0.0,
        param_space=space,
        tune_config=rbt.TuneConfig(
            **{
                "metric": "loss",
                "mode": "min",
                "num_samples": n,
                "seed": 5,
                "max_pending": 2,
                "constraints": constraints,
                **given,
                **tune,
            }
        ),
    ).study
    alg = given.get("search_alg")
    searcher = make_searcher(study, None if alg is None or isinstance(alg, (str, rbt.BOHB)) else alg)
    frontier, rows = Frontier(study, searcher), []
    while not frontier.done:
        for batch in frontier.advance():
            configs = study.space.decode(batch.points)
            found = [metrics_of(config) for config in configs]
            rows += zip(configs, found, strict=True)
            outcomes = Outcomes(np.zeros(len(batch), np.uint8), from_rows(found), {}, np.zeros(len(batch)))
            trials = np.arange(batch.first, batch.first + len(batch))
            frontier.finish(Finished(trials, batch.points, 1.0, outcomes, "w", 0.0, 0.0, 0.0))
    return rows, study


def far_corner(config):
    return {"loss": sum((value - 0.9) ** 2 for value in config.values())}


@each
def test_no_search_proposes_what_breaks_a_constraint(settings_of):
    rows, study = play(settings_of, far_corner, CUBE, TIGHT, n=60)
    assert len(rows) == 60
    assert study.space.allowed(study.space.encode([config for config, _ in rows])).all()
    assert len({tuple(config.values()) for config, _ in rows}) == 60


@each_learning
def test_a_search_learns_where_nearly_all_is_excluded(settings_of):
    """Random draws of the allowed 0.35 % are uniform along the diagonal; the optimum is at 0.9."""
    rows, _ = play(settings_of, far_corner, CUBE, TIGHT, n=60)
    losses = np.array([metrics["loss"] for _, metrics in rows])
    assert np.median(losses[-20:]) < np.median(losses[:20]) / 2


def limited(config):
    """The best loss is beyond the limit: at (0.8, 0.8), where `total` is 1.6."""
    return {"loss": (config["x"] - 0.8) ** 2 + (config["y"] - 0.8) ** 2, "total": config["x"] + config["y"]}


PLANE = {"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1)}


@each_learning
def test_a_search_closes_on_the_best_feasible_config(settings_of):
    rows, _ = play(settings_of, limited, PLANE, ["total <= 1"], n=120)
    feasible = [metrics["total"] <= 1 for _, metrics in rows]
    best = min(metrics["loss"] for (_, metrics), ok in zip(rows, feasible, strict=True) if ok)
    assert best < 0.18 + 0.06, "the optimum under the limit is 0.18, at (0.5, 0.5)"
    assert np.mean(feasible[-60:]) > 0.3
    late = np.mean([metrics["loss"] for _, metrics in rows[-60:]])
    assert late < np.mean([metrics["loss"] for _, metrics in rows[:20]])


@each_of(["auto", "bohb", "hpbandster", "tpe"])  # Ray Tune cannot say how far a trial is infeasible
def test_a_search_finds_a_small_feasible_region_by_the_violation(settings_of):
    """One in 2,500 random configs is feasible, and the loss leads away from it."""

    def far(config):
        return {"loss": config["x"] + config["y"], "a": config["x"], "b": config["y"]}

    rows, _ = play(settings_of, far, PLANE, ["a > 0.98 and b > 0.98"], n=120)
    distance = [max(0.98 - metrics["a"], 0) + max(0.98 - metrics["b"], 0) for _, metrics in rows]
    assert np.median(distance[-40:]) < np.median(distance[:20]) / 3


def test_a_searcher_of_the_users_gets_no_loss_and_the_violation():
    class Watching:
        done, n = False, 0

        def __init__(self):
            self.seen = []

        def ask(self, n):
            self.n += 1
            self.done = self.n >= 20
            return [rbt.Proposal({"x": self.n / 21, "y": 0.5})]

        def tell(self, results):
            self.seen += results

    searcher = Watching()
    rows, _ = play(lambda: {"search_alg": searcher}, limited, PLANE, ["total <= 1"], n=20)
    assert len(rows) == 20
    for result in searcher.seen:
        assert (result.loss is None) == (result.violation > 0) == (result.metrics["total"] > 1)


def test_a_searcher_of_the_users_that_does_not_know_the_constraints_obeys_them():
    class Walking:
        done = False

        def __init__(self):
            self.n, self.seen = 0, []

        def ask(self, n):
            self.n += 1
            self.done = self.n >= 50
            return [rbt.Proposal({"x": self.n / 51, "y": 0.5}, tag=(self.n,))]

        def tell(self, results):
            self.seen += results

    searcher = Walking()
    rows, _ = play(lambda: {"search_alg": searcher}, limited, PLANE, ["x > y"], n=100)
    assert [config["x"] for config, _ in rows] == [n / 51 for n in range(26, 51)]
    assert sorted(result.tag[0] for result in searcher.seen) == list(range(1, 51))
    assert [result.loss is None for result in searcher.seen] == [result.config["x"] <= 0.5 for result in searcher.seen]


def test_a_searcher_that_proposes_only_excluded_configs_is_an_error():
    class Stubborn:
        done = False

        def ask(self, n):
            return [rbt.Proposal({"x": 0.1, "y": 0.5})]

        def tell(self, results):
            pass

    with pytest.raises(SpaceError, match=r"proposed only configs that break a constraint 1,000 times in a row"):
        play(lambda: {"search_alg": Stubborn()}, limited, PLANE, ["x > y"])


def test_a_choice_among_texts_and_the_grid_obey_too():
    space = {"kind": rbt.choice(["a", "b"]), "n": rbt.randint(0, 5)}
    rows, study = play(
        lambda: {}, lambda config: {"loss": config["n"]}, space, ["kind == 'a' or n > 2"], num_samples=None
    )
    assert study.search_alg == "grid"
    expected = [{"kind": k, "n": n} for k in "ab" for n in range(5) if k == "a" or n > 2]
    assert [config for config, _ in rows] == expected
    assert "the whole space has 7 configs" in study.why
