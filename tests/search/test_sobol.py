"""The Sobol sequence in numpy against that of scipy, which it replaces in a driver, and what a driver loads for it."""

import subprocess
import sys

import numpy as np
import pytest

from rbt_ray.search.sobol import BITS, MOST_PARAMS, SobolSequence


@pytest.mark.parametrize("seed", range(3))
def test_each_point_is_the_one_of_scipy_bit_for_bit(seed):
    from scipy.stats.qmc import Sobol

    for n_params in (1, 2, 3, 7, 30, MOST_PARAMS):  # the last has all direction numbers
        ours = SobolSequence(n_params, np.random.default_rng([seed, 7]))
        theirs = Sobol(n_params, bits=BITS, seed=np.random.default_rng([seed, 7]))
        for n in (1, 1, 2, 4, 0, 8, 128) if n_params % 2 else (64, 1024):
            np.testing.assert_array_equal(ours.random(n), theirs.random(n))


def test_a_study_of_a_sobol_search_loads_no_scipy_in_the_driver(tmp_path):
    code = (
        "import sys, rbt_ray as rbt\n"
        "rbt.Tuner(lambda params, data: params['x'], param_space={'x': rbt.uniform(0, 1)},\n"
        "  tune_config=rbt.TuneConfig(search_alg='sobol', num_samples=20),\n"
        f"  run_config=rbt.RunConfig(name='s', storage_path={str(tmp_path)!r}, num_workers=1, verbose=0)).fit()\n"
        "print('scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
