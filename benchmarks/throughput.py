"""Parallel efficiency of workers, and configs per second of the built-in sweep.

    python benchmarks/throughput.py [--quick] [--repeats 10] [--workers 2] [--backend local] [--small-grids]
                                    [--data docs/benchmarks.json]

Parallel efficiency = evaluation CPU time / (wall time x workers). An evaluation burns a fixed CPU time, so that its
share is known and nothing of rbt_ray's own work counts as evaluation. Cases are interleaved: every repeat runs each
case once. Figures are medians with a 95 % bootstrap interval, and nothing is asserted.

With `--small-grids`, only this: how much longer `search_alg="auto"` takes than "grid" on spaces of 25 to 100 configs, at
1 ms an evaluation, study by study in pairs, each first in turn.
"""

import argparse
import platform
import resource
import sys
import tempfile
import time

import rbt_ray as rbt
from benchmarks.crossover import old_bundle
from benchmarks.record import add_data_option, record
from rbt_ray.bench import median_with_interval

CASES = [  # seconds an evaluation, kind, evaluations
    (10e-3, "plain", 600),
    (1e-3, "plain", 6_000),
    (100e-6, "plain", 60_000),
    (10e-6, "plain", 300_000),
    (10e-6, "batched", 300_000),
]


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def burner(seconds, kind):
    if kind == "batched":

        @rbt.batched
        def objective(params, data):
            for _ in params:
                burn(seconds)
            return [0.0] * len(params)
    else:

        def objective(params, data):
            burn(seconds)
            return 0.0

    return objective


def study(objective, space, where, bundle=None, metric="score", search_alg="grid"):
    tuner = rbt.Tuner(
        objective,
        param_space=space,
        bundle=bundle,
        tune_config=rbt.TuneConfig(metric=metric, search_alg=search_alg),
        run_config=rbt.RunConfig(name=f"s{time.monotonic_ns()}", verbose=0, recheck=0, **where),
    )
    start = time.perf_counter()
    results = tuner.fit()
    return results, time.perf_counter() - start


def efficiency(seconds, kind, n, where):
    results, _ = study(burner(seconds, kind), {"n": rbt.randint(0, n)}, where)
    assert results.num_terminated == n
    return n * seconds / (results.runs[-1].wall_s * where["num_workers"])


def auto_over_grid(n_each, n_pairs, where):
    """Returns the ratio of wall times of "auto" and "grid" by pair, from fit() to results on disk."""
    objective = burner(1e-3, "plain")
    space = {"fast": rbt.randint(5, 5 + n_each), "slow": rbt.randint(65, 65 + n_each)}
    ratios = []
    for pair in range(n_pairs):
        wall = {}
        for name in ("auto", "grid") if pair % 2 else ("grid", "auto"):
            results, wall[name] = study(objective, space, where, search_alg=name)
            assert len(results) == n_each**2
        ratios.append(wall["auto"] / wall["grid"])
    return ratios


def sweep(bundle, n, where, rebalance):
    """Returns configs per second of a grid of n `sma_cross` pairs, from fit() to results on disk."""
    slow = n // 50
    space = {"fast": rbt.randint(5, 55), "slow": rbt.randint(55, 55 + slow)}
    results, wall = study(rbt.objectives.sma_cross(rebalance=rebalance), space, where, bundle, "sharpe")
    assert len(results) == 50 * slow
    return len(results) / wall


def efficiency_name(seconds, kind):
    return f"efficiency {seconds * 1e6:>6,.0f} us {kind}"


def sweep_name(label):
    return f"sma_cross configs/s on {label}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once, with a hundredth of the evaluations")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backend", default="local")
    parser.add_argument("--small-grids", action="store_true", help='"auto" beside "grid", 20 pairs a repeat')
    add_data_option(parser)
    options = parser.parse_args()
    if options.small_grids and options.data:
        parser.error("--small-grids only prints; leave --data out")
    scale, repeats = (100, 1) if options.quick else (1, options.repeats)
    bundles = {"sample (5 x 3,270)": "sample", "fx (8 x 5,124)": old_bundle()}
    sweeps = {
        f"{label}, {rebalance}": (bundle, rebalance)
        for label, bundle in bundles.items()
        for rebalance in ("on_change", "every_bar")
    }
    n_configs = 100_000 // scale
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        where = {"storage_path": folder, "num_workers": options.workers, "backend": options.backend}
        study(burner(1e-6, "plain"), {"n": rbt.randint(0, 10)}, where)  # starts the workers
        if options.small_grids:
            for n_each in (5, 7, 10):
                ratios = auto_over_grid(n_each, 20 * repeats, where)
                median, low, high = median_with_interval(ratios)
                print(
                    f"auto over grid, {n_each**2} configs, {len(ratios)} pairs   {median:.4f} [{low:.4f}, {high:.4f}]"
                )
            rbt.shutdown()
            return
        for bundle, rebalance in sweeps.values():
            sweep(bundle, 1_000, where, rebalance)  # loads the kernels
        for _ in range(repeats):
            for seconds, kind, n in CASES:
                found.setdefault(efficiency_name(seconds, kind), []).append(
                    efficiency(seconds, kind, n // scale, where)
                )
            for label, (bundle, rebalance) in sweeps.items():
                found.setdefault(sweep_name(label), []).append(sweep(bundle, n_configs, where, rebalance))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
        f"{options.workers} {options.backend} workers, {repeats} repeats, rbt_ray {rbt.__version__}"
    )
    for name, values in found.items():
        median, low, high = median_with_interval(values)
        digits = ".3f" if median < 10 else ",.0f"
        print(f"{name:<44} {median:{digits}}   [{low:{digits}}, {high:{digits}}]")
    print(f"{'peak memory of the driver, MiB':<44} {peak:,.0f}")
    rbt.shutdown()
    efficiencies = [
        {"seconds": seconds, "kind": kind, "n": n // scale, "efficiency": found[efficiency_name(seconds, kind)]}
        for seconds, kind, n in CASES
    ]
    swept = [{"bundle": label, "n_configs": n_configs, "a_second": found[sweep_name(label)]} for label in sweeps]
    settings = {"repeats": repeats, "workers": options.workers, "backend": options.backend}
    record(
        options.data,
        f"throughput {options.backend}",
        {**settings, "efficiencies": efficiencies, "sweeps": swept, "driver_peak_mib": peak},
    )


if __name__ == "__main__":
    main()
