"""Starts or resumes a study in its own process: `python driver.py FOLDER KIND BACKEND`. Prints one JSON object.

Exit codes are those of the command line: 0 done, 1 and 2 with a message on stderr, 130 interrupted.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

import psutil

import rbt_ray as rbt

HURRY = "RBT_CHAOS_HURRY"
"""The variable that names a file: from when it exists trials are no longer slow."""
SECONDS = 0.02


def pace():
    if not Path(os.environ[HURRY]).exists():
        time.sleep(SECONDS)


def guilty(params, data):
    """Returns values of every kind; some trials raise, and one always ends its worker."""
    pace()
    n = params["n"]
    if n % 37 == 5:
        raise ValueError(f"{n} is unlucky")
    if n == 77:
        os._exit(9)
    if n % 41 == 7:
        return {"score": math.nan}
    return {"score": math.sin(n) / 3, "n": n, "even": n % 2 == 0, "name": f"n{n}", "big": 7**n if n < 60 else None}


def priced(params, data):
    """Prices and random numbers of the trial's own."""
    pace()
    start = params["start"] % (data.n_bars - 200)
    window = data.close[start : start + 200]
    return {"score": float(window.mean() * params["scale"]), "noise": float(data.rng.random())}


def fitted(params, data):
    """Returns a score that a model can learn, at any fidelity."""
    pace()
    shift = float(data.close[-1, 0] / data.close[0, 0])
    return -((params["x"] - 0.3) ** 2) - abs(params["y"]) * 0.1 + 0.01 * shift


KINDS = {
    "guilty": {
        "objective": guilty,
        "param_space": {"n": rbt.randint(0, 160)},
        "tune": {"metric": "score", "search_alg": "grid"},
        "run": {"max_retries": 12},
    },
    "random": {
        "objective": priced,
        "param_space": {"start": rbt.randint(0, 4000), "scale": rbt.loguniform(0.1, 10)},
        "bundle": "fx",
        "tune": {"metric": "score", "search_alg": "random", "num_samples": 160, "holdout": 0.1},
        "run": {},
    },
    "recycled": {
        "objective": priced,
        "param_space": {"start": rbt.randint(0, 4000), "scale": rbt.choice([0.5, 1.0, 2.0])},
        "bundle": "fx",
        "tune": {"metric": "score", "search_alg": "sobol", "num_samples": 160},
        "run": {"recycle_after": 20},
    },
    "bohb": {
        "objective": fitted,
        "param_space": {"x": rbt.uniform(-1, 1), "y": rbt.uniform(-1, 1)},
        "bundle": "sample",
        "tune": {"metric": "score", "search_alg": "bohb", "num_samples": 100, "max_pending": 8},
        "run": {},
    },
    "tpe": {
        "objective": fitted,
        "param_space": {"x": rbt.uniform(-1, 1), "y": rbt.uniform(-1, 1)},
        "bundle": "sample",
        "tune": {"metric": "score", "search_alg": "tpe", "num_samples": 120, "max_pending": 6},
        "run": {},
    },
}


def open_files(backend):
    """Returns the targets of the process's descriptors, except the one used here and, on Ray, connections that have ended.

    Ray closes its connections in threads, and keeps the descriptors of some that have ended.
    """
    connected = {one.fd for one in psutil.Process().net_connections("all")}
    found = []
    for link in Path("/proc/self/fd").iterdir():
        if link.is_symlink():
            target = str(link.readlink())
            if backend != "ray" or not target.startswith("socket:") or int(link.name) in connected:
                found.append(target)
    return sorted(found)


def fewest_open_files(backend):
    """Returns the shortest list, on Ray within five seconds."""
    found = [open_files(backend)]
    end = time.monotonic() + (5 if backend == "ray" else 0)
    while time.monotonic() < end:
        time.sleep(0.1)
        found.append(open_files(backend))
    return min(found, key=len)


def run(folder, kind, backend):
    chosen = {"max_retries": 12, **KINDS[kind]["run"]}  # other trials never die this often
    config = rbt.RunConfig("study", folder, backend=backend, num_workers=2, verbose=0, **chosen)
    objective = KINDS[kind]["objective"]
    if (folder / "study" / "journal.sqlite").exists():
        tuner = rbt.Tuner.restore(folder / "study", objective, run_config=config)
    else:
        tuner = rbt.Tuner(
            objective,
            param_space=KINDS[kind]["param_space"],
            bundle=KINDS[kind].get("bundle"),
            tune_config=rbt.TuneConfig(mode="max", seed=11, **KINDS[kind]["tune"]),
            run_config=config,
        )
    results = tuner.fit()
    answer = {"hash": results.table_hash(), "n": len(results), "status": results.status_counts()}
    rbt.shutdown()
    return {**answer, "files": fewest_open_files(backend)}


def main():
    folder, kind, backend = sys.argv[1:]
    try:
        print(json.dumps(run(Path(folder), kind, backend)))
    except rbt.errors.StudyInterrupted as stop:
        print(f"rbt-ray: {stop}", file=sys.stderr)
        return 130
    except rbt.errors.RbtError as error:
        print(f"rbt-ray: {error}", file=sys.stderr)
        return 2 if isinstance(error, rbt.errors.InputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
