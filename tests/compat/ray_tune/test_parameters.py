"""`with_parameters`: workers of a machine share one read-only copy of large objects."""

from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from rbt_ray import tune
from rbt_ray.errors import InputError, StudyMismatchError
from tests import one_ray

MB = 2**20


def private_mb():
    """Memory that no file and no shared segment stands behind."""
    memory = psutil.Process().memory_info()
    return (memory.rss - memory.shared) / MB


def lies_in(data):
    """The file whose mapping holds the array; "" for memory of the process's own."""
    place = data.ctypes.data
    for mapping in psutil.Process().memory_maps(grouped=False):
        first, last = (int(end, 16) for end in mapping.addr.split("-"))
        if first <= place < last:
            return mapping.path
    raise AssertionError("in no mapping")


def reads(config, data=None, frame=None, more=()):
    total = float(data.sum()) + (0 if frame is None else float(frame["a"].sum()))
    return {"total": total, "private": private_mb(), "lies_in": lies_in(data), "n": len(more)}


def writes(config, data=None):
    data[0] = 1.0
    return {"x": 1}


class Reads(tune.Trainable):
    def setup(self, config, data=None):
        self.data = data

    def step(self):
        return {"total": float(self.data.sum()), "done": True}


@pytest.mark.slow
def test_parameters_arrive_whole_and_worker_memory_does_not_grow_with_them(fit):
    data = np.ones(25 * MB)  # 200 MB
    frame = pd.DataFrame({"a": np.arange(10.0), "b": list("abcdefghij")})
    small = fit(tune.with_parameters(reads, data=data[:10]), {}, name="small", num_samples=4)
    large = fit(tune.with_parameters(reads, data=data, frame=frame, more=[1, 2]), {}, name="large", num_samples=20)
    assert {result.metrics["total"] for result in large} == {25 * MB + 45}
    assert {result.metrics["n"] for result in large} == {2}
    assert {Path(result.metrics["lies_in"].split(" ")[0]).name for result in large} == {"parameters.bin"}
    # a copy would be 200; 50 leaves room for what pandas itself takes
    assert max(r.metrics["private"] for r in large) - max(r.metrics["private"] for r in small) < 50


def test_parameters_are_read_only(fit):
    results = fit(tune.with_parameters(writes, data=np.zeros(1000)), {})
    assert "read-only" in str(results.errors[0])


def test_a_class_gets_them_in_setup_and_wrappers_go_together(fit):
    trainable = tune.with_resources(tune.with_parameters(Reads, data=np.ones(10)), {"cpu": 1})
    assert fit(trainable, {}, metric="total", mode="max")[0].metrics["total"] == 10
    nested = tune.with_parameters(tune.with_parameters(reads, data=np.ones(3)), more=[1])
    assert fit(nested, {}, name="nested", metric="total", mode="max")[0].metrics["n"] == 1


def test_a_study_with_parameters_is_restored_with_them(fit, tmp_path):
    fit(tune.with_parameters(reads, data=np.ones(4)), {}, metric="total", mode="max")
    assert not list((tmp_path / "study").glob("parameters*"))
    again = tune.Tuner.restore(tmp_path / "study", tune.with_parameters(reads, data=np.ones(4))).fit()
    assert again[0].metrics["total"] == 4
    others = tune.with_parameters(reads, data=np.full(4, 2.0))
    with pytest.raises(StudyMismatchError, match="the setting `data` has another value"):
        tune.Tuner.restore(tmp_path / "study", others)
    assert len(tune.Tuner.restore(tmp_path / "study", others, accept_changes=True).fit()) == 1


@pytest.mark.slow
def test_on_ray_they_lie_in_its_store(tmp_path):
    one_ray.keep()
    results = tune.Tuner(
        tune.with_parameters(reads, data=np.ones(13 * MB)),
        tune_config=tune.TuneConfig(num_samples=6),
        run_config=tune.RunConfig(name="ray", storage_path=tmp_path, backend="ray", num_workers=2, verbose=0),
    ).fit()
    assert {result.metrics["total"] for result in results} == {13 * MB}
    assert all(result.metrics["lies_in"].startswith(("/dev/shm", "/tmp")) for result in results)


def test_a_value_that_is_not_a_trainable_is_refused():
    with pytest.raises(InputError, match="a trainable is"):
        tune.with_parameters(3, data=1)
    tune.register_trainable("reads", reads)
    assert tune.with_parameters("reads", data=np.ones(2))({})["total"] == 2
