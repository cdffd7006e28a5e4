"""Time per proposal of a fitted model: one `tell` and one `ask`, including refits.

    python benchmarks/suggestion.py [--repeats 7] [--proposals 60] [--quick] [--data docs/benchmarks.json]

Milliseconds a proposal: the median over repeats, with a 95 % bootstrap interval. hpbandster's generator runs in the same
process, a tenth as many proposals a repeat. Nothing is asserted.
"""

import argparse
import platform
import time

import numpy as np

import rbt_ray as rbt
from benchmarks.record import add_data_option, record
from rbt_ray.bench import median_with_interval
from rbt_ray.search.bohb import BOHB
from rbt_ray.study.space import Space

ENGINES = {
    "native kde": {},
    "native tpe": {"model": "tpe"},
    "hpbandster": {"engine": "hpbandster"},
}


def loss(point):
    return float(((point - 0.3) ** 2).sum())


def with_history(n_params, n, options):
    space = Space.of({f"x{k}": rbt.uniform(0.0, 1.0) for k in range(n_params)})
    sampler = BOHB(**options).sampler(space, 1)
    generator = getattr(sampler, "_generator", None)
    if generator is not None:  # it would refit after each; only the last fit matters
        fit, generator.new_result = generator.new_result, lambda job: fit(job, update_model=False)
    points = np.random.default_rng(0).random((n, n_params))
    for point in points[:-1]:
        sampler.learn(point, 1.0, loss(point))
    if generator is not None:
        generator.new_result = fit
    sampler.learn(points[-1], 1.0, loss(points[-1]))
    sampler.sample()
    return sampler


def a_proposal(sampler, n):
    start = time.perf_counter()
    for _ in range(n):
        point = sampler.sample()
        sampler.learn(point, 1.0, loss(point))
    return 1e3 * (time.perf_counter() - start) / n


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--proposals", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="one case")
    add_data_option(parser)
    options = parser.parse_args()
    cases = []
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
          f"{options.repeats} repeats, rbt_ray {rbt.__version__}")  # fmt: skip
    print(f"{'dimensions':>10} {'history':>8}" + "".join(f"{f'{name}, ms':>30}" for name in ENGINES))
    for n_params in (6,) if options.quick else (2, 6, 12):
        for n in (1000,) if options.quick else (100, 1000, 5000):
            samplers = {name: with_history(n_params, n, settings) for name, settings in ENGINES.items()}
            found = {name: [] for name in ENGINES}
            for _ in range(options.repeats):
                for name, sampler in samplers.items():
                    n_proposals = options.proposals // (10 if name == "hpbandster" else 1)
                    found[name].append(a_proposal(sampler, max(n_proposals, 1)))
            cases.append({"n_params": n_params, "n_results": n, "ms": found})
            cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*median_with_interval(values)) for values in found.values()]
            print(f"{n_params:>10} {n:>8}" + "".join(f"{cell:>30}" for cell in cells), flush=True)
    settings = {"repeats": options.repeats, "proposals": options.proposals}
    record(options.data, "suggestion", {**settings, "cases": cases})


if __name__ == "__main__":
    main()
