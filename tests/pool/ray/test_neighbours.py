"""On Ray, a trial that kills its worker affects no other trial."""

import os
import signal

import numpy as np
import pytest

import rbt_ray as rbt

DEADLY = {17, 23}


def kills_its_worker(params, data):
    if params["n"] in DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(np.nanmean(data.close[: 100 + params["n"]]))


@pytest.fixture
def ray_ends_after():
    yield
    rbt.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)  # dozens of actors die and are started again
@pytest.mark.usefixtures("ray_ends_after")
def test_trials_that_are_done_before_another_kills_their_worker_keep_their_results(tmp_path):
    """Three studies: the answers were lost by chance, in about half of the studies on a busy machine."""
    for study in range(3):
        results = rbt.Tuner(
            kills_its_worker,
            param_space={"n": rbt.randint(0, 40)},
            bundle="sample",
            tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="grid"),
            run_config=rbt.RunConfig(
                name=f"{study}", storage_path=tmp_path, backend="ray", num_workers=2, verbose=0, max_retries=0
            ),
        ).fit()
        table = results.get_dataframe()
        assert set(table.loc[table["status"] != "COMPLETED", "config/n"]) == DEADLY
