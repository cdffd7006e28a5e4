"""MLflow's own client reads an exported study."""

import pytest

import rbt_ray as rbt

pytestmark = pytest.mark.slow  # to import mlflow takes 10 s


def score(params, data):
    if params["opt"]["n"] == 3:
        raise ValueError("not 3")
    return {"score": float(params["opt"]["n"]), "my (odd) name": 2, "text": "fine", "flag": True, "none": None}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    from mlflow import MlflowClient  # not for the workers, which import this module

    folder = tmp_path_factory.mktemp("mlflow")
    results = rbt.Tuner(
        score,
        param_space={"opt": {"n": rbt.grid_search([1, 2, 3, 4])}, "kind": rbt.choice(["a"]), "fixed": 0.5},
        bundle="sample",
        tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="grid"),
        run_config=rbt.RunConfig(name="sma", storage_path=folder, verbose=0, num_workers=1),
    ).fit()
    uri = f"sqlite:///{folder}/mlflow.db"
    return results, MlflowClient(tracking_uri=uri), results.to_mlflow(experiment="mine", tracking_uri=uri), uri


def children(client, parent):
    where = client.get_experiment_by_name("mine").experiment_id
    return client.search_runs([where], f"tags.mlflow.parentRunId = '{parent}'", order_by=["start_time ASC"])


def test_the_study_is_a_run(written):
    results, client, parent, _ = written
    run = client.get_run(parent)
    assert run.info.run_name == "sma"
    assert run.info.status == "FINISHED"
    assert run.data.params["search_alg"] == "grid"
    assert run.data.params["bundle"] == "sample"
    assert run.data.metrics["score"] == 4.0
    assert run.data.metrics["n_errors"] == 1
    assert run.data.tags["table_hash"] == results.table_hash()


def test_each_trial_is_a_child_run(written):
    results, client, parent, _ = written
    runs = {run.info.run_name: run for run in children(client, parent)}
    assert len(runs) == len(results) == 4
    for result in results:
        run = runs[f"trial {result.trial_id}"]
        assert run.data.params == {"opt/n": str(result.config["opt"]["n"]), "kind": "a", "fixed": "0.5"}
        assert run.data.metrics["fidelity"] == 1.0
        assert run.data.metrics["duration_s"] == pytest.approx(result.duration_s)
        assert run.info.start_time <= run.info.end_time
        assert run.data.tags["worker"] == result.worker
        if result.error is None:
            assert run.info.status == "FINISHED"
            assert run.data.metrics["score"] == result.metrics["score"]
            assert run.data.metrics["my _odd_ name"] == 2
            assert run.data.metrics["flag"] == 1
            assert run.data.tags["text"] == "fine"
        else:
            assert run.info.status == "FAILED"
            assert "not 3" in run.data.tags["error"]
            assert "score" not in run.data.metrics


def test_a_second_study_joins_the_experiment(written):
    results, client, parent, uri = written
    again = results.to_mlflow(experiment="mine", tracking_uri=uri)
    assert again != parent
    assert len(children(client, again)) == len(children(client, parent)) == 4
