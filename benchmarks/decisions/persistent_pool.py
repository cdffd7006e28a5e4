"""Persistent workers against a new pool for each batch."""

from benchmarks.decisions.page import Decision, case
from benchmarks.workload import N_CONFIGS, Plain, Size, measure

ABOUT = """\
The old evaluation's workload: a moving-average crossover in numpy on 8 symbols x 5,124 days (40,992 rows), batches of {n}
configs, two workers. Without: a new `multiprocessing.Pool` of the standard library for each batch, whose workers map the same
bundle. With: rbt_ray's local workers, and a study with a journal for each batch. Each run is a new process and is timed from the
first batch until the workers of the last batch have ended. macOS and Windows start processes by `spawn`. `fork`, Linux's method
until Python 3.13, copies a process that has loaded everything."""
CASES = [("spawn", 20, True), ("forkserver", 10, True), ("fork", 20, False), ("spawn", 1, False)]
OLD = "The old evaluation: 14.685 s to 3.675 s, a gain of 75.0 %."


def decide(quick):
    shared, both = ("shared_bundle",), ("shared_bundle", "persistent_pool")
    page = Decision("persistent_pool", "Persistent workers", ABOUT.format(n=N_CONFIGS), notes=[OLD])
    for method, n_batches, meant in CASES[:1] if quick else CASES:
        n = 2 if quick else n_batches

        def run(on, method=method, n=n):
            return measure(on, "persistent_pool", size=Size(n), plain=Plain(method))

        name = f"{n} batch{'es' if n > 1 else ''}, a pool by {method}"
        page.cases.append(case(name, lambda run=run: run(shared), lambda run=run: run(both), meant=meant, quick=quick))
    return page
