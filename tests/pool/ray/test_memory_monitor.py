"""Ray's memory monitor, made to kill workers of a separate Ray: it watches the whole machine and not one worker."""

import json
import os
import subprocess
import sys
import textwrap

import psutil
import pytest

ROOM = 2 * 2**30  # for the greedy, beyond what the machine holds already


@pytest.mark.slow
def test_a_trial_whose_worker_the_memory_monitor_kills_has_crashed_with_a_message(tmp_path):
    script = textwrap.dedent(
        f"""
        import json
        import numpy as np
        import rbt_ray as rbt

        def greedy(params, data):
            kept = []
            while params["n"] == 7 and len(kept) < 200:  # 6 GiB, were nobody to stop it
                kept.append(np.ones(2**22))
            return float(params["n"])

        results = rbt.Tuner(
            greedy,
            param_space={{"n": rbt.randint(0, 30)}},
            tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
            run_config=rbt.RunConfig(
                name="greedy", storage_path={str(tmp_path)!r}, backend="ray", num_workers=1, verbose=0,
                worker_memory_limit=2**40,
            ),
        ).fit()
        print(json.dumps([[result.config["n"], result.status, result.error] for result in results]))
        """
    )
    memory = psutil.virtual_memory()
    strict = {
        "RAY_memory_usage_threshold": str((memory.total - memory.available + ROOM) / memory.total),
        "RAY_memory_monitor_refresh_ms": "50",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=600, check=True, env={**os.environ, **strict},
    )  # fmt: skip
    trials = json.loads(done.stdout)
    assert [n for n, status, _ in trials if status == "COMPLETED"] == [n for n in range(30) if n != 7]
    _, status, error = trials[7]
    assert status == "CRASHED"
    assert "out of memory: Ray's memory monitor ended the worker (Memory usage" in error
    assert error.endswith("2 times.")
