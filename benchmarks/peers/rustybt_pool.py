"""RustyBT's `PersistentWorkerPool`, used directly: `run_batch`."""

import logging

import structlog
import work
from rustybt.optimization.persistent_worker_pool import PersistentWorkerPool


def quiet():
    """Its log goes to stdout, a line a batch."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def ready(workers):
    quiet()
    pool = PersistentWorkerPool(processes=workers)

    def run(seconds, n):
        scores = pool.run_batch(work.objective(seconds), work.grid(n), work.chunk(n, workers))
        return max(scores), work.numbered(scores)

    return run, pool.terminate


if __name__ == "__main__":
    work.serve(ready)
