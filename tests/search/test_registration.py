"""One line registers a built-in search or scheduler: studies then use and resume it by name."""

import pytest

import rbt_ray as rbt
from rbt_ray.search import registry, scheduler_registry
from rbt_ray.search.registry import SearchKind
from tests.search.test_plugins import CODE, SPACE

KINDS = {
    "a sequence": SearchKind("mine", "searches_of_mine:Backwards"),
    "a sampler": SearchKind("mine", "searches_of_mine:LowerHalf", learns=True),
    "a searcher": SearchKind("mine", "searches_of_mine:HillClimb", proposes_alone=True),
}
SEQUENCE = '''

from rbt_ray.search.fixed_sequence import GridSearch


class Backwards(GridSearch):
    """A sequence under a name of its own."""
'''


def objective(params, data):
    return (params["x"] - 30) ** 2 + (params["y"] - 700) ** 2


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "searches_of_mine.py").write_text(CODE + SEQUENCE)
    monkeypatch.syspath_prepend(tmp_path)


def run(tmp_path, name, **tune):
    return rbt.Tuner(
        objective,
        param_space=SPACE,
        tune_config=rbt.TuneConfig(metric="loss", mode="min", num_samples=30, seed=3, **tune),
        run_config=rbt.RunConfig(name=name, storage_path=tmp_path, num_workers=1, verbose=0),
    ).fit()


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_line_in_the_registry_is_all_that_a_built_in_search_needs(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "mine", kind)
    results = run(tmp_path, "study", search_alg="mine")
    assert len({tuple(result.config.values()) for result in results}) == 30
    assert results.num_errors == 0
    restored = rbt.Tuner.restore(tmp_path / "study", objective).fit()
    assert restored.table_hash() == results.table_hash()


@pytest.mark.usefixtures("module")
def test_a_line_in_the_registry_is_all_that_a_built_in_scheduler_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(scheduler_registry._SCHEDULERS, "mine", "searches_of_mine:Impatient")
    results = rbt.Tuner(
        rbt.objectives.sma_cross(),
        param_space={"fast": rbt.randint(5, 60), "slow": rbt.randint(61, 200)},
        bundle="sample",
        tune_config=rbt.TuneConfig(search_alg="random", scheduler="mine", num_samples=12, seed=3),
        run_config=rbt.RunConfig(name="study", storage_path=tmp_path, num_workers=1, verbose=0),
    ).fit()
    assert len({trial.fidelity for trial in results}) > 1
