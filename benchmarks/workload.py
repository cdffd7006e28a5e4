"""The old evaluation's workload with each of the four optimizations on or off: `python -m benchmarks.workload`.

Batches of 40 configs of a moving-average crossover on 8 symbols x 5,124 days, two workers. What is on, and else:

- ``shared_bundle``: workers map one bundle; else each loads the prices from a Parquet file by pandas, once in its life;
- ``persistent_pool``: rbt_ray's workers stay; else a new `multiprocessing.Pool` for each batch;
- ``bohb``: BOHB with Hyperband proposes as many configs as the grid has; else the whole grid is evaluated;
- ``ray``: Ray actors; else worker processes of this machine.

Without rbt_ray, `Plain` says how the prices are read and which processes evaluate; an evaluation may be made longer.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
METHODS = ("spawn", "forkserver", "fork", "kept", "serial")
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


@dataclass(frozen=True)
class OnArray:
    """The crossover on a file of numpy that each worker maps: the plainest way to share prices.

    Args:
        path: of the array ``(n_bars, n_symbols)``.
    """

    path: str

    def __call__(self, params: Mapping[str, Any], data: Any) -> dict[str, float]:
        """Metrics of one config."""
        del data
        return crossover(_array(self.path), params["fast"], params["slow"])


@dataclass(frozen=True)
class Longer:
    """An objective whose evaluation takes longer.

    Args:
        objective: what it evaluates.
        seconds: of processor time, in addition.
    """

    objective: Callable[[Mapping[str, Any], Any], dict[str, float]]
    seconds: float

    def __call__(self, params: Mapping[str, Any], data: Any) -> dict[str, float]:
        """Metrics of one config."""
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return self.objective(params, data)


@dataclass(frozen=True)
class Plain:
    """How the workload runs without rbt_ray's workers.

    Args:
        method: "spawn", "forkserver" or "fork": how the processes of a new pool for each batch start; "kept": one forked pool
            for all batches; "serial": a loop in this process.
        prices: "parquet", read by pandas; or "array", mapped by `np.load`. The shared bundle is mapped in place of either.
    """

    method: str = "spawn"
    prices: str = "parquet"


@dataclass(frozen=True)
class Size:
    """How much the workload does.

    Args:
        n_batches: one after another.
        of_each: values of each parameter in a batch's grid, at most.
        longer_s: processor time added to each evaluation, in seconds.
    """

    n_batches: int = N_BATCHES
    of_each: int = 8
    longer_s: float = 0.0


@functools.cache
def _array(path: str) -> FloatArray:
    array: FloatArray = np.load(path, mmap_mode="r")
    return array


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


def grid_of(batch: int, of_each: int = 8) -> dict[str, list[int]]:
    """The 5 x 8 configs of a batch, of each batch others, or fewer values of each parameter."""
    fast, slow = [n + batch % 5 for n in range(5, 55, 10)], [n + batch for n in range(60, 220, 20)]
    return {"fast": fast[:of_each], "slow": slow[:of_each]}


def run(on: Sequence[str], size: Size, plain: Plain, place: Path) -> dict[str, Any]:
    """One run of the workload.

    Args:
        on: names of `OPTIMIZATIONS`.
        size: how much it does.
        plain: what runs it where no optimization does.
        place: a folder for prices and studies.

    Returns:
        ``seconds`` from the first batch's start to the last one's end, workers included; ``table``, a digest of all configs
        with their metrics; and ``best``, the highest Sharpe ratio of each batch.
    """
    bundle = old_bundle()
    shares = "shared_bundle" in on
    path = place / ("prices.arrow" if shares else f"prices.{plain.prices}")
    if shares:
        bundle.save(path)
    elif plain.prices == "array":
        with path.open("wb") as file:
            np.save(file, bundle.close)
    else:
        import pandas  # noqa: F401 - as a script does at its top, so that forked workers have it

        write_parquet(bundle.close, path)
    by_studies = bool({"persistent_pool", "bohb", "ray"} & set(on))
    own = OnArray(str(path)) if plain.prices == "array" else OnOwn(str(path))
    objective: Any = own if not shares else on_shared if by_studies else OnMapped(str(path))
    if size.longer_s:
        objective = Longer(objective, size.longer_s)
    evaluator = _studies(on, objective, path, place) if by_studies else _plain(objective, plain.method)
    began = time.perf_counter()
    with evaluator as of_batch:
        tables = [of_batch(batch, grid_of(batch, size.of_each)) for batch in range(size.n_batches)]
    seconds = time.perf_counter() - began
    digest = hashlib.sha256(json.dumps([sorted(table) for table in tables]).encode()).hexdigest()[:16]
    return {"seconds": seconds, "table": digest, "best": [max(row[2] for row in table) for table in tables]}


OfBatch = Callable[[int, dict[str, list[int]]], Table]
"""Rows of (fast, slow, sharpe, total return) of a batch and its grid."""


@contextlib.contextmanager
def _plain(objective: Callable[..., dict[str, float]], method: str) -> Iterator[OfBatch]:
    """By pools of the standard library, or in this process."""
    score = functools.partial(objective, data=None)
    kept = multiprocessing.get_context("fork").Pool(N_WORKERS) if method == "kept" else None

    def scores(configs: list[dict[str, int]]) -> list[dict[str, float]]:
        if method == "serial":
            return list(map(score, configs))
        if kept is not None:
            return kept.map(score, configs)
        with multiprocessing.get_context(method).Pool(N_WORKERS) as pool:
            return pool.map(score, configs)

    def of_batch(batch: int, grid: dict[str, list[int]]) -> Table:
        del batch
        configs = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        return [(*config.values(), *found.values()) for config, found in zip(configs, scores(configs), strict=True)]

    try:
        yield of_batch
    finally:
        if kept is not None:
            kept.terminate()
            kept.join()


@contextlib.contextmanager
def _studies(on: Sequence[str], objective: Any, path: Path, place: Path) -> Iterator[OfBatch]:
    """By a study a batch."""
    from rbt_ray.data.bundle import open_bundle
    from rbt_ray.study.space import choice
    from rbt_ray.tuner.config import RunConfig, TuneConfig
    from rbt_ray.tuner.tuner import Tuner

    bundle = open_bundle(path) if "shared_bundle" in on else None
    backend: Any = "ray" if "ray" in on else "local"

    def of_batch(batch: int, grid: dict[str, list[int]]) -> Table:
        n = math.prod(map(len, grid.values()))
        search = {"search_alg": "bohb", "num_samples": n, "seed": batch} if "bohb" in on else {"search_alg": "grid"}
        results = Tuner(
            objective,
            param_space={name: choice(values) for name, values in grid.items()},
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

    try:
        yield of_batch
    finally:
        rbt_ray.shutdown()


def measure(on: Sequence[str], judged: str, *, size: Size | None = None, plain: Plain | None = None) -> Sample:
    """One run of the workload in a fresh process.

    Args:
        on: names of `OPTIMIZATIONS`.
        judged: the one that is being judged. Its sides must give the same trial table; but for ``bohb``, which evaluates
            other configs than a grid: there both must come within 1 % of the best of every batch.
        size: how much it does; None: all.
        plain: what runs it where no optimization does; None: spawned pools that read the prices with pandas.

    Raises:
        BenchError: the run failed.
    """
    size, plain = size or Size(), plain or Plain()
    options = ["--batches", str(size.n_batches), "--of-each", str(size.of_each), "--longer-s", str(size.longer_s)]
    options += ["--method", plain.method, "--prices", plain.prices, "--on", *on]
    sample = fresh([sys.executable, "-m", "benchmarks.workload", *options])
    digest = sample.result["table"]
    if judged == "bohb":
        found = zip(sample.result["best"], known_best(size.n_batches), strict=True)
        n_near = sum(value >= best - NEAR * abs(best) for value, best in found)
        digest = f"{n_near} of {size.n_batches} batches within {NEAR:.0%} of their best"
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
    parser.add_argument("--of-each", type=int, default=Size.of_each)
    parser.add_argument("--longer-s", type=float, default=Size.longer_s)
    parser.add_argument("--method", default=Plain.method, choices=METHODS)
    parser.add_argument("--prices", default=Plain.prices, choices=("parquet", "array"))
    options = parser.parse_args()
    size, plain = Size(options.batches, options.of_each, options.longer_s), Plain(options.method, options.prices)
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(run(options.on, size, plain, Path(place))))


if __name__ == "__main__":
    from benchmarks.workload import main as named  # so that workers find the objectives by their module's name

    named()
