"""Number of workers that one driver keeps busy: the real engine, strategies and journal with simulated workers.

    python benchmarks/scale.py [--quick] [--cases 1000:0.1:32 10000:1:32] [--search random auto bohb] [--trials 1000000]
        [--processes 2] [--write docs/scaling.md]

A case is WORKERS:SECONDS:PENDING: the number of workers, how long an evaluation takes on average, and the open trials for each
worker of a searcher that learns. Others have at least 131,072 open trials.

Evaluation times have the shape of measured ones, scaled to a mean; some of the trials are stragglers or fail, workers
and hosts die. The driver's own processor time moves the clock, as does what Ray's calls cost it, so that a driver too
slow shows as idle workers. "busy" is worker-seconds of evaluations that came back / (seconds x workers) over the middle
half of a study's time; "whole" is that from its first second to its last. "CPU" is the share of that time that the driver's
thread computes. Each case runs in a process of its own.

`--write PAGE` replaces the table between the page's lines `<!-- scale.py -->` and `<!-- end of scale.py -->`.
"""

import argparse
import functools
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks.page_text import length, replace_part, table
from benchmarks.simulated_pool import Faults, SimulatedPool, Transport, VirtualClock
from rbt_ray.columns import Outcomes, Proposals
from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.stop_conditions import Interrupt, StopConditions
from rbt_ray.metric_columns import Column
from rbt_ray.objectives.address import address_of
from rbt_ray.pool.pool import Job
from rbt_ray.search.encoding import MOST_RESULTS
from rbt_ray.search.registry import AUTO, make_searcher
from rbt_ray.store.journal import FILE_NAME, Journal
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study

SPACE = {"fast": rbt.randint(2, 2000), "slow": rbt.randint(2, 2000), "exit": rbt.choice(["open", "close", "stop"])}
METRICS = ("sharpe", "total_return", "max_drawdown", "turnover")
STRAGGLERS, TIMES_AS_LONG = 0.01, 5.0
FAILED = 0.01
FAULTS = Faults(worker_s=3_600.0, host_s=6 * 3_600.0)
MOST_TRIALS = 1_200_000
PENDING = 2**17
CASES = (
    *("1000:0.1:2", "1000:0.1:32", "1000:0.5:2"),
    *("1000:1:2", "1000:1:8", "1000:1:24", "10000:1:2", "10000:1:24"),
)


class Learning:
    """A cheap searcher that learns: draws near the best result so far, and gets results one by one in order."""

    def __init__(self, space, n, seed):
        self._space, self._left = space, n
        self._random = random.Random(seed)
        self._best, self._loss = None, float("inf")

    @property
    def done(self):
        return self._left == 0

    def ask(self, n):
        n = min(n, self._left)
        self._left -= n
        points = np.array([self._draw() for _ in range(n)])
        return Proposals.at_full_fidelity(points, self._space)

    def tell(self, results):
        loss = float(results.loss[0])
        if loss < self._loss:
            self._best, self._loss = results.proposals.points[0].tolist(), loss

    def _draw(self):
        r = self._random
        if self._best is None or r.random() < 0.3:
            return [2.0 + int(1998 * r.random()), 2.0 + int(1998 * r.random()), float(int(3 * r.random()))]
        near = [min(1999.0, max(2.0, value + int(100 * r.random()) - 50)) for value in self._best[:2]]
        return [*near, float(int(3 * r.random()))]


SEARCHERS = {
    "random": make_searcher,
    "grid": make_searcher,
    "auto": make_searcher,
    "bohb": make_searcher,
    "learning": lambda study: Learning(study.space, study.num_samples, study.seed),
}


@dataclass(frozen=True)
class Case:
    search: str
    workers: int
    seconds: float
    trials: int
    pending: int
    faults: bool = True


def measured_times(n=200):
    """``(2 n,)`` seconds that evaluations of two strategies on `sample` took here, each relative to its strategy's mean."""
    data = rbt.load_bundle("sample").view()
    rng = np.random.default_rng(0)

    def crossing(fast, slow):
        rbt.backtest(data, weights=(data.sma("close", fast) > data.sma("close", slow)) / data.n_symbols)

    def reverting(window, percent):
        low = data.rolling_mean("close", window) - percent / 100 * data.rolling_std("close", window)
        rbt.backtest(data, weights=(data.close < low) / data.n_symbols)

    took = []
    for strategy, low, high in ((crossing, 5, 250), (reverting, 5, 250)):
        strategy(low, high)  # loads the kernels
        mine = []
        for first, second in rng.integers(low, high, (n, 2)).tolist():
            began = time.thread_time()
            strategy(first, second)
            mine.append(time.thread_time() - began)
        took.append(np.array(mine) / np.mean(mine))
    return np.concatenate(took)


def times_of_trials(case, shape):
    rng = np.random.default_rng(1)
    seconds = case.seconds * rng.choice(shape, 2**17)
    seconds[rng.random(len(seconds)) < STRAGGLERS] *= TIMES_AS_LONG
    return seconds


def evaluate(batch):
    """Returns made-up metrics; one trial in a hundred fails."""
    n = len(batch.trials)
    status = (batch.points[:, 0] * 7919 + batch.points[:, 1] * 104_729) % 100 < 100 * FAILED
    score = -np.hypot(batch.points[:, 0] - 700, batch.points[:, 1] - 300)
    errors = dict.fromkeys(np.flatnonzero(status).tolist(), "ValueError: no trades")
    return Outcomes(
        status.astype(np.uint8), {name: Column("float", score, ~status) for name in METRICS}, errors, np.zeros(n)
    )


def study_of(case):
    return Study(
        name="scale",
        space=Space.of(SPACE),
        metric="sharpe",
        mode="max",
        search_alg={"learning": "custom", "auto": "bohb"}.get(case.search, case.search),
        search_options=asdict(AUTO) if case.search == "auto" else {},
        most_results=MOST_RESULTS,
        num_samples=case.trials,
        seed=1,
        max_pending=case.pending,
        deterministic=True,
        objective=address_of(study_of),
    )


def run(case, shape, folder):
    """Runs a case and returns its figures."""
    study = study_of(case)
    searcher = SEARCHERS[case.search](study)
    before = peak_memory()
    clock = VirtualClock()
    faults = FAULTS if case.faults else Faults()
    pool = SimulatedPool(case.workers, clock, times_of_trials(case, shape), evaluate, faults=faults)
    dispatcher = Dispatcher(pool, Job("scale", b""), trial_timeout_s=100 * case.seconds, max_retries=3, clock=clock)
    with closing(Journal.create(folder, study.to_json())) as journal:
        progress = Progress(study, clock=clock)
        reason = loop.run(
            study, searcher, dispatcher, journal, StopConditions(None, None, Interrupt()), progress, lambda event: None
        )
        clock.hold()
        assert reason == "done"
        assert progress.n_done == case.trials, (progress.n_done, case.trials)
    begun, ended = np.array(pool.begun), np.array(pool.ended)
    middle = 0.25 * clock.now, 0.75 * clock.now
    return {
        **asdict(case),
        "busy": busy(begun, ended, *middle) / case.workers,
        "whole": busy(begun, ended, 0.0, clock.now) / case.workers,
        "per_s": np.array(pool.trials)[(ended >= middle[0]) & (ended < middle[1])].sum() / (middle[1] - middle[0]),
        "virtual_s": clock.now,
        "engine_us": 1e6 * clock.engine_s / case.trials,
        "driver_us": 1e6 * (clock.engine_s + clock.transport_s) / case.trials,
        "load": (clock.engine_s + clock.transport_s) / clock.now,
        "batch": float(np.mean(pool.trials)),
        "lost": pool.n_lost,
        "memory_mib": peak_memory(),
        "bytes_a_trial": 2**20 * (peak_memory() - before) / case.trials,
        "journal_bytes": (folder / FILE_NAME).stat().st_size / case.trials,
    }


def busy(begun, ended, start, end):
    """Returns the average number of busy workers between two times."""
    return float(np.clip(np.minimum(ended, end) - np.maximum(begun, start), 0, None).sum() / (end - start))


def peak_memory():
    """Returns MiB. A process inherits `ru_maxrss` from its parent on Linux, so /proc is read first."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def cases_of(options):
    """Returns the cases; those that differ in nothing count once."""
    cases = []
    for text in options.cases:
        workers, seconds, pending = text.split(":")
        workers, seconds, pending = int(workers), float(seconds), int(pending) * int(workers)
        n = max(3 * pending, int(workers * max(10, 3 / seconds)))
        trials = min(n, options.trials) // (100 if options.quick else 1)
        cases += [
            Case(search, workers, seconds, trials, pending)
            if search in ("auto", "bohb", "learning")
            else Case(
                search, workers, seconds, min(3 * PENDING, options.trials) // (100 if options.quick else 1), PENDING
            )
            for search in options.search
        ]
    return list(dict.fromkeys(cases))


def in_a_process(case, shape):
    """Returns a case and its figures."""
    command = [sys.executable, __file__, "--case", json.dumps([asdict(case), shape.tolist()])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return case, json.loads(done.stdout)


def write(page, found):
    """Replaces the table of a page by these cases."""
    head = (
        "searcher", "workers", "time per evaluation", "`max_pending`", "trials", "busy", "whole", "trials/s",
        "engine, µs of CPU per trial", "CPU", "trials per batch", "peak memory",
    )  # fmt: skip
    rows = [
        (
            f"`{f['search']}`", f"{f['workers']:,}", length(f["seconds"]), f"{f['pending']:,}", f"{f['trials']:,}",
            f"{f['busy']:.2f}", f"{f['whole']:.2f}", f"{f['per_s']:,.0f}", f"{f['engine_us']:.0f}",
            f"{f['load']:.2f}", f"{f['batch']:.1f}", f"{f['memory_mib']:.0f} MiB",
        )
        for f in found
    ]  # fmt: skip
    replace_part(page, "scale.py", table(head, rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the trials")
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="WORKERS:SECONDS:PENDING")
    parser.add_argument("--search", nargs="+", default=list(SEARCHERS), choices=list(SEARCHERS))
    parser.add_argument("--trials", type=int, default=MOST_TRIALS, help="at most so many in a case")
    parser.add_argument("--processes", type=int, default=1, help="how many cases run at once")
    parser.add_argument("--write", type=Path, help="a page whose table to replace")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        case, shape = json.loads(options.case)
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run(Case(**case), np.array(shape), Path(folder))))
        return
    shape = measured_times(20 if options.quick else 200)
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, rbt_ray {rbt.__version__}; "
        f"evaluations: deviation {shape.std():.2f} of the mean, {STRAGGLERS:.0%} stragglers take {TIMES_AS_LONG:g} times "
        f"as long, {FAILED:.0%} fail;\na worker lives {FAULTS.worker_s / 3600:g} h and a host of "
        f"{FAULTS.workers_per_host} {FAULTS.host_s / 3600:g} h on average; calls as Ray's: {Transport()}"
    )
    print(
        "search    workers seconds max_pending     trials |  busy whole  trials/s | engine driver us/trial  load | batch "
        "lost |   MiB  bytes/trial  journal bytes/trial"
    )
    found = []
    with ThreadPoolExecutor(options.processes) as pool:
        for case, f in pool.map(functools.partial(in_a_process, shape=shape), cases_of(options)):
            print(
                f"{case.search:<9} {case.workers:>7,} {case.seconds:>7g} {case.pending:>11,} {case.trials:>10,} | "
                f"{f['busy']:.3f} {f['whole']:.3f} {f['per_s']:>9,.0f} | {f['engine_us']:6.1f} {f['driver_us']:6.1f} "
                f"{f['load']:14.3f} | {f['batch']:5.1f} {f['lost']:>4,} | {f['memory_mib']:5.0f} {f['bytes_a_trial']:12.0f} "
                f"{f['journal_bytes']:20.0f}",
                flush=True,
            )
            found.append(f)
    if options.write is not None:
        write(options.write, found)


if __name__ == "__main__":
    main()
