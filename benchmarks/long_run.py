"""A study of a million trials: does the driver's memory stay flat, and does its journal still answer?

    python benchmarks/long_run.py [--trials 1000000] [--quick]

Three studies on two workers whose trials take no time, so that only the driver is measured: `random` over numbers, `finite`
over 4 million distinct configs, and `told`, a custom searcher that handles one trial at a time, as learning searchers do.
Growth is the driver's resident memory at the end of the search, less that at a
tenth of its trials. Then `rbt-ray show` and `rbt-ray report` on that journal, each a process of its own.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

import rbt_ray as rbt
from rbt_ray.types import Proposal

RBT_RAY = Path(sys.executable).with_name("rbt-ray")


@rbt.batched
def objective(params, data):
    return [{"score": p["a"] * 0.5 - p["b"], "cost": float(p["a"]), "n": 3} for p in params]


class Told:
    """Proposes new configs without end; they depend on the last result, so that the order of results matters."""

    learns = True

    def __init__(self, n):
        self._left = n
        self._state = 0.5

    @property
    def done(self):
        return self._left == 0

    def ask(self, n):
        n = min(n, self._left)
        self._left -= n
        return [
            Proposal({"a": (self._left * 0.6180339887 + self._state) % 1.0, "b": self._left / 1e9}) for _ in range(n)
        ]

    def tell(self, results):
        for result in results:
            self._state = (self._state + (result.loss or 0.0)) % 1.0


def cases(n):
    numbers = {"a": rbt.uniform(0, 1), "b": rbt.uniform(0, 1)}
    whole = {"a": rbt.randint(0, 2000), "b": rbt.randint(0, 2000)}
    return {"random": (numbers, "random"), "finite": (whole, "random"), "told": (numbers, Told(n))}


class Memory:
    """Resident memory of the driver in MB, after each tenth of the trials."""

    def __init__(self, n):
        self._each, self._done = n // 10, 0
        self.mb = []

    def on_trial_complete(self, result):
        self._done += 1
        if self._done % self._each == 0:
            self.mb.append(psutil.Process().memory_info().rss / 1e6)


def seconds(*words):
    began = time.perf_counter()
    subprocess.run([RBT_RAY, *words], check=True, capture_output=True)
    return time.perf_counter() - began


def run(name, n, folder):
    space, search_alg = cases(n)[name]
    memory = Memory(n)
    began = time.perf_counter()
    results = rbt.Tuner(
        objective,
        param_space=space,
        tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg=search_alg, num_samples=n, seed=1),
        run_config=rbt.RunConfig(name, folder, num_workers=2, backend="local", verbose=0, callbacks=[memory]),
    ).fit()
    took = time.perf_counter() - began
    path = folder / name
    assert len(results) == n
    del results
    size = (path / "journal.sqlite").stat().st_size / 1e6
    show, report = seconds("show", path), seconds("report", path)
    print(
        f"{name:8} {n:>9,} trials in {took:6.1f} s ({n / took:>9,.0f}/s), journal {size:5.0f} MB, driver "
        f"{memory.mb[0]:4.0f} MB at a tenth, {memory.mb[-1]:4.0f} MB at the end: grew {memory.mb[-1] - memory.mb[0]:5.1f} MB; "
        f"show {show:4.1f} s, report {report:4.1f} s",
        flush=True,
    )
    shutil.rmtree(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--only", choices=list(cases(1)))
    parser.add_argument("--quick", action="store_true", help="few trials: does it run?")
    options = parser.parse_args()
    n = 5_000 if options.quick else options.trials
    with tempfile.TemporaryDirectory() as folder:
        for name in [options.only] if options.only else cases(1):
            run(name, n, Path(folder))


if __name__ == "__main__":
    main()
