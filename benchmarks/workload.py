"""The old evaluation's workload with each of the four optimizations on or off: `python -m benchmarks.workload`.

Batches of 40 configs of a moving-average crossover on 8 symbols x 5,124 days, two workers. What is on, and else:

- ``shared_bundle``: workers map one bundle; else each loads the prices from a Parquet file by pandas, once in its life;
- ``persistent_pool``: rbt_ray's workers stay; else a new `multiprocessing.Pool` for each batch;
- ``bohb``: BOHB with Hyperband proposes as many configs as the grid has; else the whole grid is evaluated;
- ``ray``: Ray actors; else worker processes of this machine.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import rbt_ray
from benchmarks.crossover import crossover, old_bundle
from rbt_ray.bench.measurement import Sample, fresh
from rbt_ray.errors import BenchError
from rbt_ray.types import FloatArray

Table = list[tuple[float, ...]]
OPTIMIZATIONS = ("shared_bundle", "persistent_pool", "bohb", "ray")
N_WORKERS, N_CONFIGS, N_BATCHES = 2, 40, 20
NEAR = 0.01  # a search has found a batch's best where it is this near


def on_shared(params: Mapping[str, Any], data: Any) -> dict[str, float]:
    """The crossover on the bundle that all workers share."""
    return crossover(data.close, params["fast"], params["slow"])


@dataclass(frozen=True)
class OnOwn:
    """The crossover on a file that each worker loads itself.

    Args:
        path: of a Parquet file with a column a symbol.
    """

    path: str

    def __call__(self, params: Mapping[str, Any], data: Any) -> dict[str, float]:
        """Metrics of one config."""
        del data
        return crossover(_loaded(self.path), params["fast"], params["slow"])


@dataclass(frozen=True)
class OnMapped:
    """The crossover on the file of a bundle that each worker maps: what the shared bundle is outside rbt_ray's workers.

    Args:
        path: of the bundle's file.
    """

    path: str

    def __call__(self, params: Mapping[str, Any], data: Any) -> dict[str, float]:
        """Metrics of one config."""
        del data
        return crossover(_mapped(self.path).close, params["fast"], params["slow"])


@functools.cache
def _mapped(path: str) -> Any:
    from rbt_ray.data.bundle import open_bundle

    return open_bundle(path)


@functools.cache
def _loaded(path: str) -> FloatArray:
    import pandas as pd

    return np.ascontiguousarray(pd.read_parquet(path).to_numpy())


def write_parquet(close: FloatArray, path: Path) -> None:
    """Prices ``(n_bars, n_symbols)`` as a file for `OnOwn`, a column a symbol."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({f"S{i}": column for i, column in enumerate(close.T)}), path)


def grid_of(batch: int) -> dict[str, list[int]]:
    """The 5 x 8 configs of a batch: of each batch others."""
    return {"fast": [n + batch % 5 for n in range(5, 55, 10)], "slow": [n + batch for n in range(60, 220, 20)]}


def run(on: Sequence[str], n_batches: int, start_method: str, place: Path) -> dict[str, Any]:
    """One run of the workload.

    Args:
        on: names of `OPTIMIZATIONS`.
        n_batches: one after another.
        start_method: of the processes of a `multiprocessing.Pool`.
        place: a folder for prices and studies.

    Returns:
        ``seconds`` from the first batch's start to the last one's end, workers included; ``table``, a digest of all configs
        with their metrics; and ``best``, the highest Sharpe ratio of each batch.
    """
    bundle = old_bundle()
    shares = "shared_bundle" in on
    path = place / ("prices.arrow" if shares else "prices.parquet")
    if shares:
        bundle.save(path)
    else:
        import pandas  # noqa: F401 - as a script does at its top, so that forked workers have it

        write_parquet(bundle.close, path)
    by_studies = bool({"persistent_pool", "bohb", "ray"} & set(on))
    if by_studies:
        of_batch = _with_studies(on, path, place)
    else:
        of_batch = _with_pools(OnMapped(str(path)) if shares else OnOwn(str(path)), start_method)
    began = time.perf_counter()
    tables = [of_batch(batch) for batch in range(n_batches)]
    if by_studies:
        rbt_ray.shutdown()
    seconds = time.perf_counter() - began
    digest = hashlib.sha256(json.dumps([sorted(table) for table in tables]).encode()).hexdigest()[:16]
    return {"seconds": seconds, "table": digest, "best": [max(row[2] for row in table) for table in tables]}


def _with_pools(objective: OnOwn | OnMapped, start_method: str) -> Callable[[int], Table]:
    """Rows of (fast, slow, sharpe, total return) of a batch, by a pool of its own."""
    score = functools.partial(objective, data=None)

    def of_batch(batch: int) -> Table:
        configs = [dict(zip(grid_of(batch), values, strict=True)) for values in product(*grid_of(batch).values())]
        with multiprocessing.get_context(start_method).Pool(N_WORKERS) as pool:
            found = pool.map(score, configs)
        return [(*config.values(), *metrics.values()) for config, metrics in zip(configs, found, strict=True)]

    return of_batch


def _with_studies(on: Sequence[str], path: Path, place: Path) -> Callable[[int], Table]:
    """The same by a study a batch."""
    from rbt_ray.data.bundle import open_bundle
    from rbt_ray.study.space import choice
    from rbt_ray.tuner.config import RunConfig, TuneConfig
    from rbt_ray.tuner.tuner import Tuner

    shares = "shared_bundle" in on
    bundle = open_bundle(path) if shares else None
    backend: Any = "ray" if "ray" in on else "local"

    def of_batch(batch: int) -> Table:
        search = (
            {"search_alg": "bohb", "num_samples": N_CONFIGS, "seed": batch} if "bohb" in on else {"search_alg": "grid"}
        )
        results = Tuner(
            on_shared if shares else OnOwn(str(path)),
            param_space={name: choice(values) for name, values in grid_of(batch).items()},
            bundle=bundle,
            tune_config=TuneConfig(metric="sharpe", **search),
            run_config=RunConfig(f"batch-{batch}", place, backend=backend, num_workers=N_WORKERS, verbose=0),
        ).fit()
        if results.num_errors:
            raise BenchError(f"a trial of the workload failed: {results.errors[0]}")
        if "persistent_pool" not in on:
            rbt_ray.shutdown()
        whole = [result for result in results if result.fidelity == 1]
        return [(*result.config.values(), *result.metrics.values()) for result in whole]

    return of_batch


def measure(on: Sequence[str], judged: str, *, n_batches: int = N_BATCHES, start_method: str = "spawn") -> Sample:
    """One run of the workload in a fresh process.

    Args:
        on: names of `OPTIMIZATIONS`.
        judged: the one that is being judged. Its sides must give the same trial table; but for ``bohb``, which evaluates
            other configs than a grid: there both must come within 1 % of the best of every batch.
        n_batches: one after another.
        start_method: of the processes of a `multiprocessing.Pool`: "spawn", "forkserver" or "fork".

    Raises:
        BenchError: the run failed.
    """
    options = ["--batches", str(n_batches), "--start-method", start_method, "--on", *on]
    sample = fresh([sys.executable, "-m", "benchmarks.workload", *options])
    digest = sample.result["table"]
    if judged == "bohb":
        found = zip(sample.result["best"], known_best(n_batches), strict=True)
        n_near = sum(value >= best - NEAR * abs(best) for value, best in found)
        digest = f"{n_near} of {n_batches} batches within {NEAR:.0%} of their best"
    return replace(sample, result={**sample.result, "digest": digest})


@functools.cache
def known_best(n_batches: int) -> list[float]:
    """The best Sharpe ratio of each batch, by looking at every config of it."""
    close = old_bundle().close
    grids = [product(*grid_of(batch).values()) for batch in range(n_batches)]
    return [max(crossover(close, fast, slow)["sharpe"] for fast, slow in grid) for grid in grids]


def main() -> None:
    """Runs it once and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", nargs="*", default=[], choices=OPTIMIZATIONS)
    parser.add_argument("--batches", type=int, default=N_BATCHES)
    parser.add_argument("--start-method", default="spawn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(run(options.on, options.batches, options.start_method, Path(place))))


if __name__ == "__main__":
    from benchmarks.workload import main as named  # so that workers find the objectives by their module's name

    named()
