"""Tables of twenty studies of all kinds, and fingerprints of public names, are those of `tests/data/study_hashes.json`.

After a deliberate change: ``python -m tests.test_study_hashes`` writes the file again.

Libraries load where a study needs them: workers import this module for its objectives, in each new process again.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt

RECORDED = Path(__file__).parent / "data" / "study_hashes.json"
PLANE = {"x": rbt.uniform(-2, 2), "n": rbt.randint(0, 1000), "kind": rbt.choice(["a", "b", "c"])}
GRID = {"fast": rbt.grid_search([5, 10, 20]), "slow": rbt.grid_search([30, 60, 90])}
LENGTHS = {"fast": rbt.randint(2, 40), "slow": rbt.randint(41, 200)}


def plane(params, data):
    return {"score": (params["x"] - 1) ** 2 + params["n"] / 1000, "kind": params["kind"]}


def noisy(params, data):
    return {"score": params["x"] + float(data.rng.normal()), "bars": data.n_bars, "symbols": data.n_symbols}


def fails(params, data):
    if params["n"] % 3 == 0:
        raise ValueError("a multiple of three")
    return {"score": params["x"] if params["n"] % 5 else float("nan")}


def learns(params, data):
    value, n = rbt.get_checkpoint() or (0.0, 0)
    while n < 9:
        value, n = value + (params["x"] - value) / 3, n + 1
        rbt.report({"score": value, "n": n}, checkpoint=(value, n))


@rbt.batched
def whole(params, data):
    return {"score": np.asarray(params["x"]) ** 2, "n": np.asarray(params["n"], float)}


def rule(params, data):
    fast, slow = data.sma(params["fast"]), data.sma(params["slow"])
    return rbt.backtest(data, (fast > slow) / data.n_symbols)


def double(value):
    return 2 * value


def triple(value):
    return 3 * value


def chosen(params, data):
    return {"score": params["function"](params["x"])}


def conditional():
    import ConfigSpace as CS

    space = CS.ConfigurationSpace(seed=1)
    kind = CS.Categorical("kind", ["sma", "rsi"])
    fast, slow = CS.Integer("fast", (2, 50)), CS.Integer("slow", (2, 50))
    period = CS.Float("period", (1.0, 30.0), log=True)
    space.add([kind, fast, slow, period])
    space.add([CS.EqualsCondition(slow, kind, "sma"), CS.EqualsCondition(period, kind, "rsi")])
    space.add(CS.ForbiddenAndConjunction(CS.ForbiddenEqualsClause(kind, "rsi"), CS.ForbiddenInClause(fast, [2, 3, 4])))
    return space


def constrained():
    import ConfigSpace as CS

    space = CS.ConfigurationSpace(seed=1)
    fast, slow = CS.Integer("fast", (2, 50)), CS.Integer("slow", (2, 50))
    space.add([fast, slow])
    space.add(CS.ForbiddenGreaterThanRelation(fast, slow))
    return space


def lengths(params, data):
    return {"score": float(sum(value for value in params.values() if not isinstance(value, str)))}


def holed():
    """A bundle with missing bars and a symbol that ends early."""
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (400, 3)), axis=0))
    close[rng.random(close.shape) < 0.05] = np.nan
    close[:30, 1] = np.nan
    index = np.datetime64("2015-01-01") + np.arange(400)
    return rbt.Bundle.from_arrays({"close": close, "open": close * 1.001}, index, ["A", "B", "C"])


def fit(folder, objective=plane, space=None, *, name, bundle=None, **settings):
    tuned = {"metric": "score", "search_alg": "random", "num_samples": 40, "seed": 3, **settings}
    return rbt.Tuner(
        objective,
        param_space=PLANE if space is None else space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**tuned),
        # Every trial of the recorded study "batched" fails.
        run_config=rbt.RunConfig(
            name, folder, backend="local", num_workers=2, verbose=0, recheck=0, stop_on_identical_failures=False
        ),
    ).fit()


def resumed(folder):
    """A study that is interrupted after some trials and then continued."""

    class Interrupts:
        n = 0

        def on_trial_complete(self, result):
            self.n += 1
            if self.n == 10:
                raise KeyboardInterrupt

    settings = {"metric": "score", "search_alg": "bohb", "num_samples": 40, "seed": 3, "max_pending": 4}
    run = rbt.RunConfig("resumed", folder, backend="local", num_workers=2, verbose=0, callbacks=[Interrupts()])
    with pytest.raises(KeyboardInterrupt):
        rbt.Tuner(plane, param_space=PLANE, tune_config=rbt.TuneConfig(**settings), run_config=run).fit()
    again = rbt.RunConfig(backend="local", num_workers=2, verbose=0)
    return rbt.Tuner.restore(Path(folder) / "resumed", plane, run_config=again).fit()


def warm(folder):
    first = fit(folder, name="first", num_samples=20)
    return fit(folder, name="warm", search_alg="bohb", num_samples=30, warm_start=first, max_pending=4, seed=5)


def ported(folder):
    """What a study of the Ray Tune front reports, without its times."""
    from rbt_ray import tune

    def trainable(config):
        for step in range(4):
            tune.report({"loss": config["x"] ** 2 + step, "kind": config["kind"]})

    space = {"x": tune.uniform(-1, 1), "kind": tune.choice(["a", "b"]), "n": tune.grid_search([1, 2, 3])}
    results = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=4, seed=5, scheduler=tune.schedulers.ASHAScheduler(max_t=4)
        ),
        run_config=tune.RunConfig(name="ported", storage_path=str(folder), verbose=0, num_workers=2, backend="local"),
    ).fit()
    rows = [(sorted(one.config.items()), one.metrics["loss"], one.metrics["training_iteration"]) for one in results]
    return sorted(rows)


def rusty(folder):
    """What RustyBT's optimizer reports."""
    from rbt_ray.compat.rustybt import (
        CategoricalParameter,
        ContinuousParameter,
        ParallelOptimizer,
        ParameterSpace,
        RandomSearchAlgorithm,
    )

    space = ParameterSpace(
        parameters=[
            ContinuousParameter(name="x", min_value=-1.0, max_value=1.0),
            CategoricalParameter(name="kind", choices=["a", "b"]),
        ]
    )
    optimizer = ParallelOptimizer(RandomSearchAlgorithm(space, n_iter=20, seed=4), n_jobs=2, verbose=False)
    optimizer.run(hill)
    return sorted((sorted(map(repr, one.params.items())), str(one.score)) for one in optimizer.get_results())


def optunas_sampler():
    import optuna

    return optuna.samplers.TPESampler(seed=2)


def rays_searcher():
    from ray.tune.search.optuna import OptunaSearch

    return OptunaSearch(seed=2)


def hill(params):
    return -(params["x"] ** 2) - (params["kind"] == "a")


def swept(rebalance):
    return rbt.objectives.sma_cross(metrics=("sharpe", "n_trades", "turnover", "max_drawdown"), rebalance=rebalance)


STUDIES = {
    "grid": lambda at: fit(
        at, rule, GRID, name="s", bundle="sample", metric="sharpe", search_alg="grid", num_samples=None
    ),
    "random": lambda at: fit(at, noisy, name="s", bundle="sample"),
    "sobol": lambda at: fit(at, name="s", search_alg="sobol"),
    "auto": lambda at: fit(at, noisy, name="s", bundle="sample", search_alg="auto", max_pending=8),
    "bohb": lambda at: fit(at, noisy, name="s", bundle="fx", search_alg="bohb", max_pending=8),
    "kernel model": lambda at: fit(
        at, name="s", search_alg=rbt.BOHB(model="kde"), scheduler="successive_halving", bundle="fx"
    ),
    "hyperband": lambda at: fit(at, noisy, name="s", bundle="fx", scheduler="hyperband"),
    "asha": lambda at: fit(at, noisy, name="s", bundle="fx", scheduler="asha", fidelity="blocks"),
    "median": lambda at: fit(at, noisy, name="s", bundle="fx", scheduler="median"),
    "optuna": lambda at: fit(at, name="s", search_alg=optunas_sampler(), max_pending=4),
    "ray tune searcher": lambda at: fit(at, name="s", search_alg=rays_searcher(), max_pending=4, num_samples=20),
    "conditional": lambda at: fit(at, lengths, conditional(), name="s", search_alg="bohb", max_pending=8),
    "constrained": lambda at: fit(at, lengths, constrained(), name="s", search_alg="sobol"),
    "batched": lambda at: fit(at, whole, name="s", num_samples=60),
    "reports": lambda at: fit(at, learns, name="s", scheduler="asha", fidelity="reports", max_reports=9),
    "functions": lambda at: fit(
        at, chosen, {"x": rbt.uniform(0, 1), "function": rbt.choice([double, triple])}, name="s"
    ),
    "failing": lambda at: fit(at, fails, name="s"),
    "missing bars": lambda at: fit(at, swept("on_change"), LENGTHS, name="s", bundle=holed(), metric="sharpe"),
    "swept": lambda at: fit(
        at, swept("on_change"), LENGTHS, name="s", bundle="sample", metric="sharpe", num_samples=60
    ),
    "swept every bar": lambda at: fit(
        at, swept("every_bar"), LENGTHS, name="s", bundle="sample", metric="sharpe", num_samples=60
    ),
    "warm start": warm,
    "resumed": resumed,
    "cost and holdout": lambda at: fit(at, noisy, name="s", bundle="sample", max_cost=12.5, holdout=0.25),
    "ray tune": ported,
    "rustybt": rusty,
}


def table_of(study, folder):
    found = STUDIES[study](folder)
    return hashlib.sha256(repr(found).encode()).hexdigest() if isinstance(found, list) else found.table_hash()


def public_values():
    """Functions and classes that an objective can name, by their public names."""
    from tests.test_public_names import ADAPTERS

    modules = (
        *("rbt_ray", "rbt_ray.analysis", "rbt_ray.tune", "rbt_ray.tune.logger"),
        *("rbt_ray.tune.schedulers", "rbt_ray.tune.stopper", "rbt_ray.objectives", "rbt_ray.compat.rustybt"),
        *(f"rbt_ray.adapters.{name}" for name in ADAPTERS),
    )
    for module in map(importlib.import_module, modules):
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            value = getattr(module, name)
            if callable(value) and getattr(value, "__module__", "").startswith("rbt_ray"):
                yield f"{module.__name__}.{name}", value


def fingerprint(value):
    """Returns what a study records of an objective that refers to the object; equal for all versions of Python."""
    from rbt_ray.objectives.fingerprint.fingerprint import fingerprint_of

    return fingerprint_of(functools.partial(value)).digest


EXPECTED = json.loads(RECORDED.read_text()) if RECORDED.exists() else {"tables": {}, "fingerprints": {}}


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    import optuna

    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("study", STUDIES)
def test_the_table_of_a_study_is_the_one_recorded(study, tmp_path):
    assert table_of(study, tmp_path) == EXPECTED["tables"].get(study)


def test_studies_name_public_functions_and_classes_as_before():
    found = {name: fingerprint(value) for name, value in public_values()}
    assert {name: found.get(name) for name in EXPECTED["fingerprints"]} == EXPECTED["fingerprints"]


def record():
    tables = {}
    for study in STUDIES:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            tables[study] = table_of(study, Path(folder))
            print(study, tables[study], flush=True)
    found = {"tables": tables, "fingerprints": {name: fingerprint(value) for name, value in public_values()}}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    from tests import test_study_hashes

    test_study_hashes.record()  # not of `__main__`, whose name is in the table of functions
