"""From the start of the process to the first result on disk: `rbt-ray run` on an ingested bundle, local backend.

    python benchmarks/first_result.py [--repeats 10] [--data docs/benchmarks.json]

The end is the modification time of the first finished event, read from the journal: the batch's start on the worker
plus its duration. Every run is a fresh process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks.record import add_data_option, record
from rbt_ray.store.journal import Journal

STUDIES = {
    "built-in `sma_cross`, grid of 11,250": """
objective = "sma_cross"
bundle = "mine"
[space]
fast = { randint = [5, 50] }
slow = { randint = [50, 300] }
[search]
search_alg = "grid"
""",
    "own function with `rbt.backtest`, 500 random configs": """
objective = "mine:objective"
bundle = "mine"
[space]
fast = { randint = [5, 50] }
slow = { randint = [50, 300] }
[search]
search_alg = "random"
num_samples = 500
""",
}
OBJECTIVE = """
import rbt_ray as rbt

def objective(params, data):
    weights = (data.sma("close", params["fast"]) > data.sma("close", params["slow"])) / data.n_symbols
    return rbt.backtest(data, weights, costs=rbt.Costs(turnover_bps=5))
"""


def first_result(place, name):
    """Seconds from the start of the process to the first finished batch."""
    began = time.time()
    subprocess.run(
        [Path(sys.executable).with_name("rbt-ray"), "run", "study.toml"],
        cwd=place,
        check=True,
        capture_output=True,
        env={**os.environ, "RBT_RAY_HOME": str(place / "home")},
    )
    whole = time.time() - began
    journal = Journal(place / "studies" / "study")
    first = min(event.started + event.wall_s for event in journal.read("finished"))
    journal.close()
    (place / "studies" / "study").rename(place / "studies" / f"{name.split()[0]}{time.monotonic_ns()}")
    return first - began, whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    add_data_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "mine.py").write_text(OBJECTIVE)
        os.environ["RBT_RAY_HOME"] = str(place / "home")
        sample = rbt.load_bundle("sample")
        import pandas as pd

        frame = pd.concat(
            pd.DataFrame({"date": sample.index, "symbol": symbol, **{f: sample[f][:, i] for f in sample.fields}})
            for i, symbol in enumerate(sample.symbols)
        ).dropna()
        rbt.ingest("mine", frame)
        found = {name: [] for name in STUDIES}
        for repeat in range(options.repeats + 1):
            for name, text in STUDIES.items():
                (place / "study.toml").write_text(text)
                times = first_result(place, name)
                if repeat:  # the first warms the disk cache
                    found[name].append(times)
    for name, times in found.items():
        first, whole = np.median(times, axis=0)
        low, high = np.percentile([t[0] for t in times], [0, 100])
        print(f"{name:<52} first result after {first:.2f} s [{low:.2f}, {high:.2f}]; the whole study {whole:.2f} s")
    record(options.data, "first_result", {"repeats": options.repeats, "seconds": found})


if __name__ == "__main__":
    main()
