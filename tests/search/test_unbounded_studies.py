"""A study records the bound of its models; one that a version without a bound began is resumed without it."""

import importlib
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.columns import Outcomes, Results
from rbt_ray.errors import JournalError
from rbt_ray.search.encoding import MOST_RESULTS
from rbt_ray.search.registry import make_searcher
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study
from rbt_ray.tuner import definition
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.types import COMPLETED

OLD = Path(__file__).parent.parent / "data" / "journals" / "unbounded"
OLD_HASH = "cc47858d106e5ac2f22166e39e30a33c81c34a83bfb8228ccb2274d262956447"
"""Of the whole study, by the version that began it."""
SPACE = {"x": rbt.uniform(-2, 2), "y": rbt.uniform(-2, 2), "n": rbt.randint(0, 1000)}


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A study of 2,200 configs that an interrupt ended after 2,120 trials, and its objective."""
    folder = tmp_path / "unbounded"
    shutil.copytree(OLD, folder)
    monkeypatch.syspath_prepend(folder)
    yield folder, importlib.import_module("unbounded_plane").plane
    sys.modules.pop("unbounded_plane", None)


def negated(params, data):
    return -params["x"]


def run_config(**settings):
    return rbt.RunConfig(backend="local", num_workers=2, verbose=0, recheck=0, **settings)


@pytest.mark.slow
def test_a_study_begun_without_a_bound_is_resumed_without_it(old):
    folder, objective = old
    begun = ResultGrid(folder)
    assert MOST_RESULTS < len(begun) < 2200
    assert begun.study.most_results is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the objective's changes between versions of Python
        results = rbt.Tuner.restore(folder, objective, run_config=run_config(), accept_changes=True).fit()
    assert len(results) == 2200
    assert results.table_hash() == OLD_HASH


def test_a_new_tuner_resumes_a_study_without_a_bound(tmp_path, monkeypatch):
    def study(num_samples):
        tune_config = rbt.TuneConfig(metric="score", mode="min", num_samples=num_samples, seed=3)
        run = run_config(name="s", storage_path=tmp_path, exist="resume")
        return rbt.Tuner(negated, param_space=SPACE, tune_config=tune_config, run_config=run).fit().study

    with monkeypatch.context() as earlier:
        earlier.setattr(definition, "MOST_RESULTS", None)
        assert study(2).most_results is None
    resumed = study(3)
    assert (resumed.num_samples, resumed.most_results) == (3, None)


def proposed(search_alg, most_results, n):
    """Returns ``(n, 3)`` the points that the searcher of a definition proposes."""
    space, address = Space.of(SPACE), Address("", {}, "", "")
    study = Study(
        "s", space, "score", "min", search_alg, None, 3, 1, True, address, recheck=0, most_results=most_results
    )
    searcher, points = make_searcher(Study.from_json(study.to_json())), []
    for trial in range(n):
        proposals = searcher.ask(1)
        points.append(proposals.points[0])
        loss = np.abs(proposals.points).sum(axis=1)
        outcomes = Outcomes(np.full(1, COMPLETED, np.uint8), {}, {}, np.zeros(1))
        searcher.tell(Results(np.array([trial]), proposals, outcomes, loss, ["w"]))
    return np.array(points)


def test_the_bound_of_a_definition_is_that_of_its_searcher():
    n, bound = 120, 64
    unbounded, bounded = (proposed("bohb", most, n) for most in (None, bound))
    np.testing.assert_array_equal(bounded[: bound + 1], unbounded[: bound + 1])
    assert (bounded != unbounded).any()
    np.testing.assert_array_equal(proposed("bohb", n, n), unbounded)


@pytest.mark.parametrize("search_alg", ["auto", "bohb"])
def test_a_new_study_records_its_bound(tmp_path, search_alg):
    tune_config = rbt.TuneConfig(metric="score", mode="min", search_alg=search_alg, num_samples=2)
    run = run_config(name="new", storage_path=tmp_path)
    study = rbt.Tuner(negated, param_space=SPACE, tune_config=tune_config, run_config=run).fit().study
    assert study.most_results == MOST_RESULTS
    with pytest.raises(JournalError, match="invalid values"):
        Study.from_json(replace(study, most_results=0).to_json())
