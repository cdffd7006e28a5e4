"""Overhead of a small study on its own Ray, compared with Ray alone: both in new processes, alternately.

    python benchmarks/ray_start.py [--repeats 10] [--workers 2] [--data docs/benchmarks.json]

"bare": a quiet `ray.init(address="local")` and as many actors that do nothing, until each has answered once. "study": the
same Ray with rbt_ray on it: 100 configurations of the built-in `sma_cross` on the embedded bundle, until `fit()` is back.
Times are taken from the start of the process, and another pair includes its end, in which Ray is shut down.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.record import add_data_option, record

BARE = """
import logging, time
import ray
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, num_cpus={workers})
class Actor:
    def hello(self):
        return 1
actors = [ray.remote(Actor).options(num_cpus=0).remote() for _ in range({workers})]
ray.get([actor.hello.remote() for actor in actors])
print(time.time())
"""
STUDY = """
import time
import rbt_ray as rbt
rbt.Tuner(
    rbt.objectives.sma_cross(),
    param_space={{"fast": rbt.randint(5, 15), "slow": rbt.randint(20, 30)}},
    bundle="sample",
    run_config=rbt.RunConfig(backend="ray", num_workers={workers}, storage_path={place!r}, verbose=0),
).fit()
print(time.time())
"""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token")}


def seconds(script):
    """Returns seconds from the start of a process to its printed time, and to its end."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **QUIET}
    )
    return float(done.stdout) - began, time.time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    add_data_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        scripts = {"bare": BARE, "study": STUDY}
        found = {name: [] for name in scripts}
        for repeat in range(options.repeats + 1):
            for name, script in scripts.items():
                times = seconds(script.format(workers=options.workers, place=place))
                if repeat:  # the first warms the disk cache
                    found[name].append(times)
    for column, what in enumerate(("until the answer is there", "until the process has ended")):
        print(what)
        for name, times in found.items():
            column_times = np.array(times)[:, column]
            low, high = column_times.min(), column_times.max()
            print(f"  {name:<6} {np.median(column_times):.2f} s [{low:.2f}, {high:.2f}]")
        more = np.array(found["study"])[:, column] - np.array(found["bare"])[:, column]
        print(f"  study less bare, pairwise: {np.median(more):.2f} s [{more.min():.2f}, {more.max():.2f}]")
    record(options.data, "ray_start", {"repeats": options.repeats, "workers": options.workers, "seconds": found})


if __name__ == "__main__":
    main()
