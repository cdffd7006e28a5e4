"""A validation has the same result on Ray, and from a mirror after the driver's disk is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import rbt_ray as rbt
from rbt_ray.store.location import StudyLocation
from tests import one_ray
from tests.end_to_end.test_walk_forward import BUILT_IN, CLOSES, SCRIPT, SPACE, answers, bundle_of, crossing, returned


@pytest.fixture
def on_ray():
    one_ray.keep()
    yield
    one_ray.release()


STUDIES = {
    "sums": (crossing, {"validation": rbt.WalkForward(8, 2)}),
    "scored_again": (BUILT_IN, {"validation": rbt.WalkForward(7, 3, anchored=True, gap=5), "metric": "calmar"}),
    "purged": (returned, {"validation": rbt.CPCV(5, 2, purge=4, embargo=2)}),
    "learning": (
        crossing,
        {
            "validation": rbt.WalkForward(8, 4), "search_alg": "bohb", "num_samples": 12, "min_fidelity": 0.3, "audit": 9,
        },
    ),
}  # fmt: skip


@pytest.mark.slow
def test_ray_gives_the_same_walk_forward_and_verdict(tmp_path, on_ray):
    for name, (objective, tune) in STUDIES.items():
        found = [
            rbt.Tuner(
                objective,
                param_space=SPACE,
                bundle=bundle_of(CLOSES),
                tune_config=rbt.TuneConfig(**{"search_alg": "grid", "seed": 3, **tune}),
                run_config=rbt.RunConfig(name, tmp_path / backend, verbose=0, num_workers=2, backend=backend),
            ).fit()
            for backend in ("local", "ray")
        ]
        assert found[0].table_hash() == found[1].table_hash()
        assert answers(found[0]) == answers(found[1]), name


@pytest.mark.parametrize("search_alg", ["random", pytest.param("tpe", marks=pytest.mark.slow)])
def test_a_validation_continues_from_a_mirror_after_its_disk_is_lost(tmp_path, monkeypatch, search_alg):
    script, log = tmp_path / "study.py", tmp_path / "calls"
    script.write_text(SCRIPT)
    uri = f"file://{tmp_path}/mirror"

    def start(home, *words):
        return subprocess.Popen(
            [sys.executable, str(script), *words], stdout=subprocess.PIPE, text=True, cwd=tmp_path,
            env={**os.environ, "CALLS": str(log), "RBT_RAY_HOME": str(tmp_path / home)},
        )  # fmt: skip

    whole = start("first", "run", uri, "whole", search_alg)
    expected = json.loads(whole.communicate(timeout=120)[0])
    n_calls = len(log.read_text().splitlines())
    log.unlink()

    driver = start("second", "run", uri, "s", search_alg)
    deadline = time.monotonic() + 120
    while not log.exists() or len(log.read_text().splitlines()) < 0.6 * n_calls:
        assert driver.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    shutil.rmtree(tmp_path / "second")

    restored = start("third", "restore", uri, "s")
    assert json.loads(restored.communicate(timeout=120)[0]) == expected
    monkeypatch.setenv("RBT_RAY_HOME", str(tmp_path / "fourth"))
    for name in ("whole", "s"):  # the mirror has the result, and the validation's own studies stay on the driver's disk
        results = rbt.ResultGrid(StudyLocation(f"{uri}/{name}").fetch())
        assert json.loads(answers(results)) == expected
