"""Wall time of 100 evaluations by searches as they come, with 2 and 8 workers: the real engine with simulated workers.

    python benchmarks/search_wall.py [--seeds 5] [--write docs/decisions]

Each search finds the best of 100,000 pairs of `sma_cross` on fx at full fidelity. An evaluation takes 1 ms, 100 ms or 10 s on a
worker; the processor time of the driver moves the clock. Optuna runs one trial at a time by default (`n_jobs=1`). With `--write`,
the figures are saved in search_quality.json, and search_quality.py shows them on its page.
"""

import argparse
import json
import sys
import tempfile
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import problems
from benchmarks.search_quality import AUTO, study_of
from benchmarks.simulated_pool import SimulatedPool, VirtualClock
from rbt_ray.columns import Outcomes
from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.stop_conditions import Interrupt, StopConditions
from rbt_ray.metric_columns import Column
from rbt_ray.pool.pool import Job
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Journal

SECONDS, WORKERS, N = (0.001, 0.1, 10.0), (2, 8), 100
SEARCHES = {
    "auto": ("bohb", AUTO, lambda workers: None),
    "auto with max_pending twice the workers": ("bohb", AUTO, lambda workers: 2 * workers),
    "auto, one at a time": ("bohb", AUTO, lambda workers: 1),
    "auto before, with 32 open": ("bohb", {"model": "tpe"}, lambda workers: 32),
    "Optuna TPE as it comes": ("custom", {}, lambda workers: 1),
    "random": ("random", {}, lambda workers: 2**17),
}


def run(problem, search, n_workers, seconds, seed, n=N):
    """Returns the virtual seconds of a study and the regret of its best config."""
    name, options, most_open = SEARCHES[search]
    study = replace(
        study_of(problem, name, seed, **options), num_samples=n, max_pending=most_open(n_workers), lowest_fidelity=1.0
    )
    found = []

    def evaluate(batch):
        loss = problem.loss(batch.points, 1.0, None)
        found.append(problem.regret(batch.points).min())
        status = np.isnan(loss).astype(np.uint8)
        errors = dict.fromkeys(np.flatnonzero(status).tolist(), "failed")
        return Outcomes(status, {"loss": Column("float", loss, status == 0)}, errors, np.zeros(len(loss)))

    given = None
    if name == "custom":
        import optuna

        given = optuna.samplers.TPESampler(seed=seed)
    searcher, clock = make_searcher(study, given), VirtualClock()
    pool = SimulatedPool(n_workers, clock, np.full(1, seconds), evaluate, spread=0.0)
    dispatcher = Dispatcher(pool, Job("wall", b""), trial_timeout_s=None, max_retries=1, clock=clock)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Journal.create(Path(folder), study.to_json())) as journal,
    ):
        progress = Progress(study, clock=clock)
        reason = loop.run(
            study, searcher, dispatcher, journal, StopConditions(None, None, Interrupt()), progress, lambda event: None
        )
        clock.hold()
    assert reason == "done"
    assert progress.n_done == n
    return clock.now, min(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="the folder with search_quality.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    problem, rows = problems.crossover("fx", 1.0), {}
    for search in SEARCHES:
        for n_workers in WORKERS:
            for seconds in SECONDS:
                runs = [run(problem, search, n_workers, seconds, seed) for seed in range(options.seeds)]
                took, regret = np.median(runs, axis=0).tolist()
                rows.setdefault(search, []).append([n_workers, seconds, took, regret])
                print(f"{search:<42} {n_workers} workers {seconds:>6} s: {took:9.3f} s, {regret:.3g}", flush=True)
    if options.write:
        kept = options.write / "search_quality.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"wall": rows}) + "\n")


if __name__ == "__main__":
    main()
