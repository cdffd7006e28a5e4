"""A study on Ray is scraped at the metrics port of its driver's node, where Ray serves it with its prefix."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rbt_ray.monitoring import FAMILIES

N = 30
DRIVER = f"""
import sys, time
from pathlib import Path
import ray, rbt_ray as rbt

HERE = Path(__file__).parent

def objective(params, data=None):
    if params["x"] == {N} - 1:
        raise ValueError("the last one")
    while params["x"] == {N} // 2 and not (HERE / "go").exists():
        time.sleep(0.01)
    return float(params["x"])

class Port:
    def on_trial_complete(self, result):
        if result.trial_id == 0:
            print(ray.nodes()[0]["MetricsExportPort"], flush=True)

    def on_study_end(self, results):
        print("done", flush=True)
        sys.stdin.read()  # until the test has scraped the last values

rbt.Tuner(
    objective,
    param_space={{"x": rbt.grid_search(list(range({N})))}},
    tune_config=rbt.TuneConfig(metric="value", mode="max"),
    run_config=rbt.RunConfig(
        name="mine", storage_path=HERE, backend="ray", num_workers=2, verbose=0, callbacks=[Port()]
    ),
).fit()
"""


def scrape(port):
    """Returns the samples of our families as (name, the study's labels): value, and their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        families = [
            family
            for family in text_string_to_metric_families(answer.read().decode())
            if family.name.startswith("ray_rbt_ray_")
        ]
    samples = [one for family in families for one in family.samples]
    ours = ("status", "metric", "le")
    return {(one.name, *(one.labels[label] for label in ours if label in one.labels)): one.value for one in samples}


def wait_for(port, condition):
    deadline = time.monotonic() + 60
    while not condition(found := scrape(port)):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_ray_serves_the_metrics_of_a_study_while_it_runs(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    # A Ray of our own collects metrics only on request, and reports them every 10 s by default.
    env = {**os.environ, "RAY_enable_metrics_collection": "1", "RAY_metrics_report_interval_ms": "1000"}
    words = [sys.executable, "driver.py"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        try:
            port = int(driver.stdout.readline())
            total = ("ray_rbt_ray_trials_total", "COMPLETED")
            found = wait_for(port, lambda found: found.get(total, 0) > 0)
            assert found[total] < N
            assert found[("ray_rbt_ray_workers",)] == 2
            assert found[("ray_rbt_ray_planned_trials",)] == N
            (tmp_path / "go").touch()
            assert driver.stdout.readline() == "done\n"
            found = wait_for(port, lambda found: found.get(("ray_rbt_ray_workers",)) == 0)
            assert found[total] == N - 1
            assert found[("ray_rbt_ray_trials_total", "FAILED")] == 1
            assert found[("ray_rbt_ray_best_value", "value")] == N - 2
            count = found[("ray_rbt_ray_batch_seconds_count",)]
            assert found[("ray_rbt_ray_batch_seconds_bucket", "+Inf")] == count > 0
            assert {name.removeprefix("ray_") for name, *_ in found} == {
                name for family in FAMILIES for name in family.sample_labels
            }
        finally:
            driver.stdin.close()
            (tmp_path / "go").touch()
            driver.stdout.read()
        assert driver.wait(60) == 0
