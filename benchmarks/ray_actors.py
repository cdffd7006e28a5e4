"""What real Ray actors cost a driver, beside the model of `simulated_pool.py`, at a batch of one.

    python benchmarks/ray_actors.py [--workers 40] [--seconds 0.2 0.1] [--trials 8000] [--quick] [--write docs/scaling.md]

The actors share this machine's cores, so evaluations sleep. Two trials are open for each worker, so that a batch holds one.
The model has as many workers, equal evaluation times and no faults. "busy" is as in `scale.py`, over the middle half of the
trials after each actor has begun one; "driver" is the processor time of the driver's process per trial in that half, all threads included, in which Ray's
take part. For the model it is the engine's measured time and the model's cost of a call. `--write PAGE` replaces the table
between the page's lines `<!-- ray_actors.py -->` and `<!-- end of ray_actors.py -->`.
"""

import argparse
import functools
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks.page_text import length, replace_part, table
from benchmarks.scale import busy, evaluate
from benchmarks.simulated_pool import SimulatedPool, VirtualClock
from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.stop_conditions import Interrupt, StopConditions
from rbt_ray.objectives.address import address_of
from rbt_ray.pool.pool import Job
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Journal
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study

SPACE = {"x": rbt.uniform(0, 2000), "y": rbt.uniform(0, 2000)}
OPEN_PER_WORKER = 2


def sleeps(params, data, seconds):
    time.sleep(seconds)
    return {"score": params["x"]}


class Meter:
    """Records the driver's wall and processor time at each trial."""

    def __init__(self):
        self.wall, self.cpu = [], []

    def on_trial_complete(self, result):
        self.wall.append(time.time())
        self.cpu.append(time.process_time())


def on_ray(workers, seconds, n, folder):
    """Returns the figures of a study on real actors: busy share, trials/s, driver's seconds per trial, trials per batch."""
    meter = Meter()
    results = rbt.Tuner(
        functools.partial(sleeps, seconds=seconds),
        param_space=SPACE,
        tune_config=rbt.TuneConfig(
            metric="score", mode="min", search_alg="random", num_samples=n, seed=1, max_pending=OPEN_PER_WORKER * workers
        ),
        run_config=rbt.RunConfig(
            "actors", folder, backend="ray", num_workers=workers, num_cpus_per_worker=os.cpu_count() / workers,
            verbose=0, recheck=0, callbacks=[meter],
        ),
    ).fit()  # fmt: skip
    who, begun, wall = results.table.batches[:, :3].T
    all_began = max(begun[who == worker].min() for worker in range(workers))
    first = int(np.searchsorted(meter.wall, all_began))
    start, stop = first + (n - first) // 4, first + 3 * (n - first) // 4
    return {
        "busy": busy(begun, begun + wall, meter.wall[start], meter.wall[stop]) / workers,
        "per_s": (stop - start) / (meter.wall[stop] - meter.wall[start]),
        "driver_s": (meter.cpu[stop] - meter.cpu[start]) / (stop - start),
        "batch": n / len(begun),
    }


def by_model(workers, seconds, n, folder):
    """Returns the same figures of simulated workers."""
    study = Study(
        "model", Space.of(SPACE), "sharpe", "max", "random", n, 1, OPEN_PER_WORKER * workers, True, address_of(by_model)
    )
    clock = VirtualClock()
    pool = SimulatedPool(workers, clock, np.full(1, seconds), evaluate, spread=0.0)
    dispatcher = Dispatcher(pool, Job("model", b""), trial_timeout_s=None, max_retries=0, clock=clock)
    with closing(Journal.create(Path(folder), study.to_json())) as journal:
        progress = Progress(study, clock=clock)
        stop_conditions = StopConditions(None, None, Interrupt())
        loop.run(study, make_searcher(study), dispatcher, journal, stop_conditions, progress, lambda event: None)
        clock.hold()
    begun, ended, middle = np.array(pool.begun), np.array(pool.ended), (0.25 * clock.now, 0.75 * clock.now)
    return {
        "busy": busy(begun, ended, *middle) / workers,
        "per_s": np.array(pool.trials)[(ended >= middle[0]) & (ended < middle[1])].sum() / (middle[1] - middle[0]),
        "driver_s": (clock.engine_s + clock.transport_s) / n,
        "batch": float(np.mean(pool.trials)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=40)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.2, 0.1], help="what an evaluation takes")
    parser.add_argument("--trials", type=int, default=8_000)
    parser.add_argument("--quick", action="store_true", help="two workers and few trials")
    parser.add_argument("--write", type=Path, help="a page whose table to replace")
    options = parser.parse_args()
    if options.quick:
        options.workers, options.trials, options.seconds = 2, 40, [0.02]
    rows = []
    for seconds in options.seconds:
        for name, measure in (("Ray's actors", on_ray), ("the model", by_model)):
            with tempfile.TemporaryDirectory() as folder:
                f = measure(options.workers, seconds, options.trials, folder)
            rows.append(
                (
                    name, str(options.workers), length(seconds), f"{f['busy']:.2f}", f"{f['per_s']:,.0f}",
                    f"{1e3 * f['driver_s']:.2f} ms", f"{f['batch']:.1f}",
                )
            )  # fmt: skip
            print(*rows[-1], sep=" | ", flush=True)
    if options.write is not None:
        head = ("", "workers", "time per evaluation", "busy", "trials/s", "driver, per trial", "trials per batch")
        replace_part(options.write, "ray_actors.py", table(head, rows))


if __name__ == "__main__":
    main()
