"""Checks at the end of a run that the prices in the workers' memory still match the bundle's checksums."""

from __future__ import annotations

from threading import Event

import numpy as np

from rbt_ray.engine.review import batch_numbers
from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.pool import Batch, Job, WorkerPool

_TICK_SECONDS = 0.1
_MAX_LOSSES = 3
_NO_TRIALS, _NO_POINTS = np.empty(0, np.int64), np.empty((0, 0))


def check_prices(pool: WorkerPool, job: Job, interrupt: Event) -> bool:
    """Runs `pool.n_checks` checks; returns False if the study is interrupted before all have passed.

    An idle pool gives each worker at most one check. The workers of a host share the memory pages of the prices, so one check
    per host is enough.

    Args:
        pool: idle workers.
        job: the study's job.
        interrupt: set to stop the study.

    Raises:
        PricesChangedError: a worker's prices are not those that the study began with.
        WorkerStartError: workers died during the check.
    """
    waiting, sent, losses = pool.n_checks, set[int](), 0
    while waiting or sent:
        if interrupt.is_set():
            waiting = 0
            sent.difference_update(pool.recall())
            for number in sent:
                pool.cancel(number, "interrupted")
        while waiting and len(sent) < pool.capacity:
            batch = Batch(next(batch_numbers), job, _NO_TRIALS, _NO_POINTS, purpose="check")
            pool.submit(batch)
            sent.add(batch.number)
            waiting -= 1
        for returned in pool.wait(_TICK_SECONDS):
            sent.discard(returned.number)
            if returned.lost is not None and not interrupt.is_set():
                losses += 1
                if losses > _MAX_LOSSES:
                    raise WorkerStartError(f"{losses} workers died while they checked the prices ({returned.lost}).")
                waiting += 1
    return not interrupt.is_set()
