"""Class trainables: steps, checkpoints, reused objects, and Ray Tune's own base class."""

from pathlib import Path

import pytest

from rbt_ray import tune
from rbt_ray.errors import NotSupportedError
from tests.compat.ray_tune.trainables import LOG, Counter, Demanding, InADict, Reusable, Wrong


def log(folder):
    return [line.split() for line in Path(folder, LOG).read_text().splitlines()]


def test_a_class_trainable_runs_until_it_is_done_or_stopped(fit, tmp_path):
    space = {"folder": str(tmp_path), "until": tune.grid_search([3, 50])}
    results = fit(Counter, space, metric="n", mode="max", stop={"training_iteration": 5})
    assert [result.metrics["n"] for result in results] == [3, 5]
    assert [result.metrics["done"] for result in results] == [True, True]
    assert results[1].metrics_dataframe["iteration"].tolist() == [0, 1, 2, 3, 4]
    assert sorted(what for what, *_ in log(tmp_path)) == ["cleanup"] * 2 + ["setup"] * 2
    assert all(result.checkpoint is None for result in results)


def test_checkpoints_come_as_often_as_asked_and_at_the_end(fit, tmp_path):
    keep = tune.CheckpointConfig(checkpoint_frequency=2, checkpoint_at_end=True)
    results = fit(
        Counter, {"folder": str(tmp_path)}, metric="n", mode="max", stop={"n": 5}, checkpoint=keep, name="often"
    )
    found = [
        (metrics["training_iteration"], Path(c.path, "n.json").read_text())
        for c, metrics in results[0].best_checkpoints
    ]
    assert found == [(2, "2"), (4, "4"), (5, "5")]


def test_an_object_with_reset_config_is_reused_for_several_trials(fit, tmp_path):
    space = {"folder": str(tmp_path), "from": tune.grid_search([10, 20, 30, 40])}
    options = {"metric": "n", "mode": "max", "stop": {"training_iteration": 2}, "reuse_actors": True}
    results = fit(Reusable, space, max_concurrent_trials=1, **options)
    assert [result.metrics["n"] for result in results] == [12, 22, 32, 42]
    assert [result.metrics["training_iteration"] for result in results] == [2] * 4
    assert [what for what, *_ in log(tmp_path)].count("reset") >= 2  # all but a first one a worker
    assert all(result.metrics["iteration"] == 1 for result in results)


def test_a_failed_trial_continues_from_a_dict_checkpoint(fit):
    results = fit(
        InADict,
        {"fails": True},
        metric="n",
        mode="max",
        stop={"training_iteration": 4},
        checkpoint=tune.CheckpointConfig(checkpoint_frequency=1),
        failure=tune.FailureConfig(max_failures=1),
    )
    assert results[0].metrics_dataframe["n"].tolist() == [1, 2, 3, 4]
    assert results[0].metrics_dataframe["iterations_since_restore"].tolist() == [1, 2, 1, 2]


def test_rays_own_classes_run_as_they_are(fit):
    from ray.tune import Trainable as RayTrainable
    from ray.tune.utils.mock_trainable import MyTrainableClass

    class OnRays(RayTrainable):
        def setup(self, config):
            self.n = config["x"]

        def step(self):
            self.n += 1
            return {"n": self.n}

    results = fit(OnRays, {"x": tune.grid_search([0, 10])}, metric="n", mode="max", stop={"training_iteration": 3})
    assert [result.metrics["n"] for result in results] == [3, 13]
    mock = fit(MyTrainableClass, {"width": 10, "height": 5}, name="mock", stop={"training_iteration": 4})
    assert mock[0].metrics["training_iteration"] == 4


def test_a_class_works_by_itself_too(tmp_path):
    counter = Counter({"folder": str(tmp_path)})
    assert [counter.train()["n"] for _ in range(3)] == [1, 2, 3]
    checkpoint = counter.save(str(tmp_path / "saved"))
    other = Counter({"folder": str(tmp_path)})
    other.restore(checkpoint)
    assert (other.train()["n"], other.iteration, other.trial_id) == (4, 4, "default")
    other.stop()


def test_classes_that_cannot_be_run_say_why(fit):
    with pytest.raises(NotSupportedError, match="with_resources"):
        tune.Tuner(Demanding)
    assert "must return a dict" in str(fit(Wrong, {}, stop={"training_iteration": 1}).errors[0])
