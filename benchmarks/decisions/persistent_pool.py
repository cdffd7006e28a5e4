"""Persistent workers compared with a new pool for every batch."""

from benchmarks.decisions.page import Decision, case
from benchmarks.workload import N_CONFIGS, measure

ABOUT = """\
The old evaluation's workload: a moving-average crossover in numpy on 8 symbols x 5,124 days (40,992 rows), batches of {n}
configs, two workers. Without: a `multiprocessing.Pool` of the standard library, new for each batch, whose workers map
the same bundle. With: rbt_ray's local workers, a study with a journal for each batch. Every run is a process of its own; timed
is from the first batch to the end of the last one's workers. `spawn` is how macOS and Windows start processes; `fork`, how
Linux did until Python 3.13, copies a process that has loaded everything."""
CASES = [("spawn", 20, True), ("forkserver", 10, True), ("fork", 20, False), ("spawn", 1, False)]
OLD = "The old evaluation: 14.685 s to 3.675 s, a gain of 75.0 %."


def decide(quick):
    shared, both = ("shared_bundle",), ("shared_bundle", "persistent_pool")
    page = Decision("persistent_pool", "Persistent workers", ABOUT.format(n=N_CONFIGS), notes=[OLD])
    for method, n_batches, meant in CASES[:1] if quick else CASES:
        n = 2 if quick else n_batches

        def run(on, method=method, n=n):
            return measure(on, "persistent_pool", n_batches=n, start_method=method)

        name = f"{n} batch{'es' if n > 1 else ''}, a pool by {method}"
        page.cases.append(
            case(name, lambda run=run: run(shared), lambda run=run: run(both), meant=meant, runs=2 if quick else 10)
        )
    return page
