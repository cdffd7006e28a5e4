"""After the search: the best trials again, in detail, on the same workers."""

from __future__ import annotations

import itertools
import time
from threading import Event

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.objectives.review import Review, buy_and_hold
from rbt_ray.pool.pool import Batch, Job, WorkerPool
from rbt_ray.store.journal import Reviewed
from rbt_ray.store.table import TrialTable
from rbt_ray.types import FloatArray

_TICK_SECONDS = 0.1
_PATIENCE = 20
_numbers = itertools.count(-1, -1)  # never a number of the dispatcher's


def second_look(
    table: TrialTable, bundle: Bundle | None, pool: WorkerPool, job: Job, interrupt: Event, timeout_s: float | None
) -> Reviewed:
    """Re-runs the best `study.recheck` trials; a review that is late or kills its worker says so and is left.

    Args:
        table: all trials.
        bundle: the prices, training and hold-out bars.
        pool: idle workers.
        job: the study's.
        interrupt: set: review no more.
        timeout_s: what a review may take at most, in trials' time-outs; None: any time.
    """
    best = table.ranking(table.study.recheck)
    waiting = [Batch(next(_numbers), job, table.trials[[row]], table.points[[row]], purpose="review") for row in best]
    waiting.reverse()
    rows = {batch.number: place for place, batch in enumerate(reversed(waiting))}
    found: dict[int, Review] = {}
    sent: dict[int, float] = {}
    while (waiting or sent) and not (interrupt.is_set() and not sent):
        while waiting and len(sent) < pool.capacity and not interrupt.is_set():
            batch = waiting.pop()
            sent[batch.number] = time.monotonic()
            pool.submit(batch)
        for returned in pool.wait(_TICK_SECONDS):
            del sent[returned.number]
            lost = Review(error=f"its worker was lost: {returned.lost}.")
            found[rows[returned.number]] = returned.answer if returned.lost is None else lost
        late = [n for n, since in sent.items() if timeout_s and time.monotonic() - since > _PATIENCE * timeout_s]
        for number in late:
            pool.cancel(number, "late")
    results = table.results()
    told = [
        {
            "trial": results[int(row)].trial_id,
            "config": results[int(row)].config,
            "sweep": results[int(row)].metrics,
            "order_level": found[place].order_level,
            "holdout": found[place].holdout,
            "holdout_order_level": found[place].holdout_order_level,
            "error": found[place].error,
        }
        for place, row in enumerate(best)
        if place in found
    ]
    curves: dict[str, FloatArray] = {}
    if 0 in found and bundle is not None and (equity := found[0].equity) is not None:
        curves = {"time_ms": bundle.index.astype("datetime64[ms]").astype(np.float64), "equity": equity}
        if "close" in bundle.fields:
            curves["buy_and_hold"] = buy_and_hold(bundle)
    return Reviewed(told, curves)
