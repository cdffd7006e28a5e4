"""rbt_ray's closed form: `sma_cross` on 8 x 5,124 bars, the kernel on one core and a whole study on two workers."""

import argparse
import tempfile
import time

import kernel
import numpy as np

import rbt_ray as rbt
from benchmarks.crossover import old_bundle


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=("kernel", "study"), default="study")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    bundle, score = old_bundle(), rbt.objectives.sma_cross(turnover_bps=kernel.COST_BPS, rebalance="every_bar")
    n_slow = max(1, options.n // 50)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs + 1):
            began = time.perf_counter()
            if options.what == "kernel":
                fast, slow = np.meshgrid(np.arange(5.0, 55.0), np.arange(55.0, 55.0 + n_slow), indexing="ij")
                score.evaluate(bundle.view(), {"fast": fast.ravel(), "slow": slow.ravel()}, score.metrics)
            else:
                rbt.Tuner(
                    score,
                    param_space={"fast": rbt.randint(5, 55), "slow": rbt.randint(55, 55 + n_slow)},
                    bundle=bundle,
                    tune_config=rbt.TuneConfig(metric="sharpe", search_alg="grid"),
                    run_config=rbt.RunConfig(
                        name=f"s{time.monotonic_ns()}", storage_path=folder, backend="local", num_workers=2, verbose=0,
                        recheck=0,
                    ),
                ).fit()  # fmt: skip
            seconds.append(time.perf_counter() - began)
    rbt.shutdown()
    kernel.tell(seconds[1:], 50 * n_slow)


if __name__ == "__main__":
    main()
