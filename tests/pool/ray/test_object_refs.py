"""References to objects of Ray work wherever a user may put them."""

import numpy as np
import pytest
import ray

import rbt_ray as rbt
from rbt_ray.errors import ObjectiveError
from tests import one_ray


@pytest.fixture(scope="module")
def references():
    one_ray.keep()
    return [ray.put(np.full(100_000, float(value))) for value in (2, 3)]


def best(path, objective, space, backend="ray"):
    results = rbt.Tuner(
        objective,
        param_space=space,
        tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="grid"),
        run_config=rbt.RunConfig(name="study", storage_path=path, backend=backend, num_workers=2, verbose=0),
    ).fit()
    return [trial.metrics.get("score", trial.error) for trial in results]


@pytest.mark.timeout(120)  # a reference without its owner is waited for without end
def test_an_objective_reads_references_that_it_captures_and_those_of_its_grid(tmp_path, references):
    captured = {"list": references[:1]}

    def objective(params, data):
        return {"score": float(ray.get(captured["list"][0]).mean() * ray.get(params["factor"]).mean() + params["x"])}

    space = {"factor": rbt.grid_search(references), "x": rbt.grid_search([1, 2])}
    assert sorted(best(tmp_path, objective, space)) == [5.0, 6.0, 7.0, 8.0]


@pytest.mark.slow
def test_workers_without_ray_refuse_a_reference_in_a_sentence(tmp_path, references):
    def objective(params, data):
        return float(ray.get(references[0]).mean())

    with pytest.raises(ObjectiveError, match=r"^an `ObjectRef` can only be read by workers on Ray\. Set backend='ray'"):
        best(tmp_path, objective, {"x": rbt.grid_search([1])}, backend="local")
