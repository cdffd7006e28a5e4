"""A bundle that all workers map against prices that each worker loads."""

import argparse
import functools
import hashlib
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks.decisions.page import Decision, case
from benchmarks.workload import measure
from rbt_ray.bench import fresh

ABOUT = """\
Without: each of two workers loads the prices itself, once, from an uncompressed Parquet file with pandas; or each worker of a
spawned `multiprocessing.Pool` maps the prices by `np.load(mmap_mode="r")`. With: the workers map the bundle's file. Both sides are
rbt_ray's local workers, except for the pool. The synthetic bundles are random walks with five fields of 50 symbols. An
objective reads every value of every field, eight times in total. Each run is a new process and is timed from the start of the
study until the workers end; the files are in the page cache, and each
side runs once uncounted after the other, since one may evict pages of the other. The first row is the old evaluation's workload, 20 batches of 40
configs on 41,000 rows. Workers of a study with a bundle load numba and the kernels first, which these numpy objectives do not
need. Workers that read their own files load neither, and thus start faster. In the second row of 10 MB,
both sides load numba, as objectives with kernels must: a bundle with one price makes workers that read their own files load it."""
SIZES_MB = (10, 100, 500, 2_000)
MEANT_FROM_MB = 10
FIELDS = ("open", "high", "low", "close", "volume")
N_SYMBOLS, N_EVALUATIONS = 50, 8
ROOT = Path(__file__).resolve().parents[2]


def prices(megabytes):
    """Columns of a random walk, field by field, ``(n_bars, N_SYMBOLS)`` each."""
    n_bars = round(megabytes * 1e6 / 8 / N_SYMBOLS / len(FIELDS))
    rng = np.random.default_rng(megabytes)
    close = rng.normal(0, 1e-4, (n_bars, N_SYMBOLS))
    np.cumsum(close, axis=0, out=close)
    np.exp(close, out=close)
    return {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": close * 1e6}


def prepare(megabytes, place):
    """Both files."""
    import pandas as pd

    fields = prices(megabytes)
    n_bars = len(fields["close"])
    index = np.datetime64("2000-01-03", "ns") + np.arange(n_bars) * np.timedelta64(60, "s")
    symbols = [f"S{i:02d}" for i in range(N_SYMBOLS)]
    bundle = rbt.Bundle.from_arrays(fields, index, symbols, periods_per_year=252 * 390)
    bundle.save(place / "prices.arrow")
    for name, values in fields.items():
        pd.DataFrame(values, columns=symbols).to_parquet(place / f"{name}.parquet", compression=None)
        np.save(place / f"{name}.npy", values)


def total(fields):
    return sum(float(values.sum()) for values in fields)


def on_shared(params, data):
    return total(data[name] for name in FIELDS)


class OnOwn:
    """Reads a folder's Parquet files, once a process."""

    def __init__(self, place):
        self.place = place

    def __call__(self, params, data):
        return total(_loaded(self.place))


@functools.cache
def _loaded(place):
    import pandas as pd

    return [np.ascontiguousarray(pd.read_parquet(f"{place}/{name}.parquet").to_numpy()) for name in FIELDS]


def on_array(place):
    """What a worker of a pool computes on the arrays that it maps."""
    return total(_mapped(place))


@functools.cache
def _mapped(place):
    return [np.load(f"{place}/{name}.npy", mmap_mode="r") for name in FIELDS]


def run_pool(place):
    """The same by a spawned pool, and what it took."""
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        totals = pool.map(on_array, [str(place)] * N_EVALUATIONS, chunksize=1)
    return {"seconds": time.perf_counter() - began, "digest": digest_of(totals)}


def digest_of(totals):
    return hashlib.sha256(json.dumps(totals).encode()).hexdigest()[:16]


def run(place, shared, numba):
    """One study, and what it took."""
    bundle = rbt.Bundle.open(place / "prices.arrow") if shared else one_price() if numba else None
    with tempfile.TemporaryDirectory() as studies:
        began = time.perf_counter()
        results = rbt.Tuner(
            on_shared if shared else OnOwn(str(place)),
            param_space={"reading": rbt.grid_search(list(range(N_EVALUATIONS)))},
            bundle=bundle,
            tune_config=rbt.TuneConfig(metric="total", search_alg="grid"),
            run_config=rbt.RunConfig("load", studies, backend="local", num_workers=2, verbose=0),
        ).fit()
        rbt.shutdown()
        seconds = time.perf_counter() - began
        if results.num_errors:
            raise SystemExit(str(results.errors[0]))
        metrics = [result.metrics["total"] for result in results]
    return {"seconds": seconds, "digest": digest_of(metrics)}


def one_price():
    """A bundle that costs nothing, for a study that reads prices of its own."""
    return rbt.Bundle.from_arrays({"close": np.ones((1, 1))}, np.array(["2000-01-03"], "datetime64[ns]"), ["S00"])


def decide(quick):
    page = Decision("shared_bundle", "A bundle that all workers share", ABOUT)
    for megabytes in (1,) if quick else SIZES_MB:
        with tempfile.TemporaryDirectory() as place:
            prepare(megabytes, Path(place))
            command = [sys.executable, "-m", __name__, place]

            def one(*more, command=command):
                return fresh([*command, *more], cwd=ROOT)

            regimes = [
                (f"{megabytes:,} MB", (), megabytes >= MEANT_FROM_MB),
                (f"{megabytes:,} MB, against np.load", ("--array",), megabytes >= MEANT_FROM_MB),
            ]
            if megabytes == MEANT_FROM_MB:
                regimes.append((f"{megabytes:,} MB, workers that need numba", ("--numba",), False))
            for name, flags, meant in regimes:
                sides = functools.partial(one, *flags), functools.partial(one, "--shared")
                page.cases.append(case(name, *sides, meant=meant, quick=quick, discard=1))
    if not quick:
        own, shared = ("persistent_pool",), ("persistent_pool", "shared_bundle")
        page.cases.insert(
            0, case("the old workload", lambda: measure(own, "old"), lambda: measure(shared, "old"), meant=False)
        )
    return page


if __name__ == "__main__":
    from benchmarks.decisions import shared_bundle  # so that workers find the objectives by their module's name

    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--numba", action="store_true", help="in workers that read files of their own too")
    parser.add_argument("--array", action="store_true", help="a pool that maps arrays, without rbt_ray")
    options = parser.parse_args()
    if options.array:
        found = shared_bundle.run_pool(options.place)
    else:
        found = shared_bundle.run(options.place, options.shared, options.numba)
    print(json.dumps(found))
