"""hpbandster's own analysis reads an exported study."""

import math

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.export.hpbandster_result import runs_of


class Rungs:
    """Every config at a third of the history, the better half at all of it: enough to have learning curves."""

    learns = True

    def __init__(self, configs):
        self._first = [rbt.Proposal(config, 1 / 3) for config in configs]
        self._told = []
        self._second = None

    @property
    def done(self):
        return self._second == []

    def ask(self, n):
        if self._first:
            asked, self._first = self._first[:n], self._first[n:]
            return asked
        if self._second is None and len(self._told) == 12:
            ranked = sorted((r for r in self._told if r.loss is not None), key=lambda r: r.loss)
            self._second = [rbt.Proposal(r.config, 1.0) for r in ranked[:5]]
        asked, self._second = (self._second or [])[:n], None if self._second is None else self._second[n:]
        return asked

    def tell(self, results):
        self._told.extend(results)


def objective(params, data):
    if params["n"] == 3:
        raise ValueError("not 3")
    return {"score": params["n"] * data.n_bars / 1000, "kind": params["kind"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    configs = [{"n": n, "kind": "ab"[n % 2]} for n in range(12)]
    return rbt.Tuner(
        objective,
        param_space={"n": rbt.randint(0, 12), "kind": rbt.choice(["a", "b"])},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg=Rungs(configs)),
        run_config=rbt.RunConfig(
            name="s", storage_path=tmp_path_factory.mktemp("studies"), verbose=0, backend="local", num_workers=1
        ),
    ).fit()


def test_all_runs_are_the_table(results):
    runs = results.to_hpbandster().get_all_runs()
    mapping = results.to_hpbandster().get_id2config_mapping()
    found = sorted((mapping[r.config_id]["config"]["n"], r.budget, r.loss) for r in runs if r.loss is not None)
    expected = sorted((r.config["n"], r.fidelity, r.loss) for r in results if r.loss is not None)
    assert found == expected
    failed = [(mapping[r.config_id]["config"], r.error_logs) for r in runs if r.loss is None]
    assert [config for config, _ in failed] == [{"n": 3, "kind": "b"}]
    assert "not 3" in failed[0][1]
    assert len(runs) == len(results) == 17


def test_its_analysis_works(results):
    theirs = results.to_hpbandster()
    best = results.get_best_result()
    incumbent = theirs.get_incumbent_id()
    assert theirs.get_id2config_mapping()[incumbent]["config"] == dict(best.config)
    runs = theirs.get_runs_by_id(incumbent)
    assert [run.budget for run in runs] == [1 / 3, 1.0]
    assert runs[-1].loss == best.loss
    assert runs[-1].info == best.metrics
    curves = theirs.get_learning_curves()
    assert curves[incumbent] == [[(1 / 3, runs[0].loss), (1.0, best.loss)]]
    assert len(curves) == 12
    trajectory = theirs.get_incumbent_trajectory()
    assert trajectory["losses"][-1] == best.loss
    assert trajectory["config_ids"][-1] == incumbent
    assert trajectory["times_finished"] == sorted(trajectory["times_finished"])
    configs, losses = theirs.get_pandas_dataframe(budgets=[1.0])
    assert losses["loss"].min() == best.loss
    assert len(configs) == 5


def test_times_are_relative_and_in_order(results):
    for run in results.to_hpbandster().get_all_runs():
        stamps = run.time_stamps
        assert 0 <= stamps["submitted"] <= stamps["started"] <= stamps["finished"] < 120


def test_back_again_and_into_a_new_search(results, tmp_path):
    theirs = results.to_hpbandster()
    runs = runs_of(theirs)
    expected = {(r.config["n"], r.fidelity, r.loss) for r in results}
    assert {(config["n"], fidelity, loss) for config, fidelity, loss in runs} == expected
    tuner = rbt.Tuner(
        objective,
        param_space={"n": rbt.randint(2, 12), "kind": rbt.choice(["a", "b"])},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="score", search_alg="bohb", num_samples=5, warm_start=theirs),
        run_config=rbt.RunConfig(name="warm", storage_path=tmp_path),
    )
    told = {(told.point[0], told.fidelity, told.loss) for told in tuner.study.warm_start}
    assert told == {(n, fidelity, loss) for n, fidelity, loss in expected if n >= 2 and loss is not None}
    assert tuner.study.points_to_evaluate == (results.get_best_result().config,)


def test_budgets_of_any_scale_become_fidelities(tmp_path):
    from hpbandster.core.result import json_result_logger, logged_results_to_HBS_result

    logger = json_result_logger(str(tmp_path / "log"))
    for k, (budget, loss) in enumerate([(9.0, 0.5), (27.0, 0.25), (243.0, None), (243.0, math.inf)]):

        class Job:
            id = (0, 0, k)
            kwargs = {"config": {"x": k}, "budget": budget}  # noqa: RUF012
            timestamps = {"submitted": 1.0, "started": 1.0, "finished": 2.0}  # noqa: RUF012
            result = None if loss is None else {"loss": loss, "info": None}
            exception = None

        logger(Job)
    runs = runs_of(logged_results_to_HBS_result(str(tmp_path / "log")))
    assert [fidelity for _, fidelity, _ in runs] == pytest.approx([1 / 27, 1 / 9, 1.0, 1.0])
    assert [loss for _, _, loss in runs] == [0.5, 0.25, None, None]
    assert np.isfinite([fidelity for _, fidelity, _ in runs]).all()
