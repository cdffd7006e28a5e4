"""Re-runs the best trials in detail after the search, on the same workers."""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import cast

import numpy as np

from rbt_ray.data.bundle import Bundle
from rbt_ray.engine.stop_conditions import Interrupt
from rbt_ray.objectives.review import Review, buy_and_hold
from rbt_ray.pool.pool import Answer, Batch, Job, WorkerPool
from rbt_ray.store.journal import Reviewed
from rbt_ray.store.table import TrialTable
from rbt_ray.types import FloatArray

_TICK_SECONDS = 0.1
_TIMEOUTS = 20
batch_numbers = itertools.count(-1, -1)
"""Numbers of batches that hold no trials of the search; negative, so that they differ from the dispatcher's."""


def review_best(
    table: TrialTable, bundle: Bundle | None, pool: WorkerPool, job: Job, interrupt: Interrupt, timeout_s: float | None
) -> Reviewed:
    """Re-runs the best `study.recheck` trials; a review that times out or kills its worker is recorded as an error.

    Args:
        table: all trials.
        bundle: the prices, training and hold-out bars.
        pool: idle workers.
        job: the study's job.
        interrupt: set to stop the study.
        timeout_s: the time-out of a trial in seconds; a review may take 20 times as long. None: no limit.
    """
    best = table.ranking(table.study.recheck)
    batches = [
        Batch(next(batch_numbers), job, table.trials[[row]], table.points[[row]], purpose="review") for row in best
    ]
    found = _reviews(batches[:1], pool, interrupt, timeout_s)
    if any(review.has_findings for review in found):  # otherwise the other reviews would not either
        found += _reviews(batches[1:], pool, interrupt, timeout_s)
    results = table.results()
    rows = [
        {
            "trial": result.trial_id,
            "config": result.config,
            "sweep": result.metrics,
            "order_level": review.order_level,
            "holdout": review.holdout,
            "holdout_order_level": review.holdout_order_level,
            "error": review.error,
            "note": review.note,
        }
        for result, review in zip((results[int(row)] for row in best), found, strict=False)
        if review.has_findings
    ]
    curves: dict[str, FloatArray] = {}
    lengths = () if bundle is None or table.study.bundle is None else (bundle.n_bars, table.study.bundle.train_bars)
    if found and bundle is not None and (equity := found[0].equity) is not None and len(equity) in lengths:
        n_bars = len(equity)  # only the training bars if the objective raised on all of them
        curves = {"time_ms": bundle.index[:n_bars].astype("datetime64[ms]").astype(np.float64), "equity": equity}
        if "close" in bundle.fields:
            curves["buy_and_hold"] = buy_and_hold(bundle)[:n_bars]
    return Reviewed(rows, curves)


def _reviews(batches: list[Batch], pool: WorkerPool, interrupt: Interrupt, timeout_s: float | None) -> list[Review]:
    found = run_alone(batches, pool, interrupt, timeout_s)
    return [Review(error=answer) if isinstance(answer, str) else cast("Review", answer) for answer in found]


def run_alone(
    batches: list[Batch], pool: WorkerPool, interrupt: Interrupt, timeout_s: float | None
) -> list[Answer | str]:
    """Returns the answer to each batch, in the order of the batches, or why there is none.

    Args:
        batches: of one trial each; none is retried.
        pool: idle workers.
        interrupt: set to stop the study.
        timeout_s: the time-out of a trial in seconds, of which a batch may take 20; None: no limit.
    """
    found: dict[int, Answer | str] = {}
    waiting, sent = deque(batches), set[int]()
    while waiting or sent:
        if interrupt.is_set():
            unbegun = [*pool.recall(), *(batch.number for batch in waiting)]
            found.update(dict.fromkeys(unbegun, "the study was interrupted."))
            sent.difference_update(unbegun)
            waiting.clear()
        while waiting and len(sent) < pool.capacity:
            batch = waiting.popleft()
            sent.add(batch.number)
            pool.submit(batch)
        for returned in pool.wait(_TICK_SECONDS):
            sent.discard(returned.number)
            lost = f"its worker was lost: {returned.lost}."
            found[returned.number] = returned.answer if returned.lost is None else lost
        for number in sent:
            taken = pool.taken_at(number)
            timed_out = timeout_s and taken is not None and time.monotonic() - taken > _TIMEOUTS * timeout_s
            if timed_out or interrupt.is_set():
                pool.cancel(number, "timed out" if timed_out else "interrupted")
    return [found[batch.number] for batch in batches]
