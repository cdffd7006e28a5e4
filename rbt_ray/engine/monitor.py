"""Reads the metrics of a running study from what its engine, pool and journal know."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Mapping

from rbt_ray.engine.progress import Progress
from rbt_ray.monitoring import BATCH_SECONDS, FAMILIES, MetricFamily, Sample
from rbt_ray.pool.pool import WorkerPool
from rbt_ray.store.journal import Journal
from rbt_ray.types import STATUSES


class Monitor:
    """The metrics of one run of a study. Any thread may read them; the engine does nothing for it.

    Args:
        name: the study's name, which each sample has as label `study`.
        progress: of the run.
        pool: the workers.
        journal: of the study.
    """

    def __init__(self, name: str, progress: Progress, pool: WorkerPool, journal: Journal) -> None:
        self._label = {"study": name}
        self._progress, self._pool, self._journal = progress, pool, journal
        self._lock = threading.Lock()
        self._worker_s = 0.0
        self._read_at = progress.clock()

    def read(self, *, running: bool = True) -> Iterator[tuple[MetricFamily, list[Sample]]]:
        """Yields each family of the table with its current samples.

        Args:
            running: False after the run, which then has no workers.
        """
        values: dict[str, list[tuple[dict[str, str], float]]] = {
            "rbt_ray_trials_total": self._trials(),
            "rbt_ray_planned_trials": [] if self._progress.total is None else [({}, self._progress.total)],
            "rbt_ray_workers": [({}, self._pool.n_workers if running else 0)],
            "rbt_ray_busy_ratio": [({}, self._busy_ratio())],
            "rbt_ray_journal_lag_seconds": [({}, self._journal.lag_s)],
            "rbt_ray_best_value": [({"metric": name}, value) for name, value in self._progress.best_values().items()],
        }
        for family in FAMILIES:
            if family.kind == "histogram":
                yield family, list(self._batch_seconds(family.name))
            else:
                yield family, [self._sample(family.name, labels, value) for labels, value in values[family.name]]

    def _sample(self, name: str, labels: Mapping[str, str], value: float) -> Sample:
        return Sample(name, {**self._label, **labels}, float(value))

    def _trials(self) -> list[tuple[dict[str, str], float]]:
        counts = self._progress.n_by_status.tolist()
        return [({"status": status}, n) for status, n in zip(STATUSES, counts, strict=True)]

    def _busy_ratio(self) -> float:
        """Returns the busy share; the number of workers since the last call counts for the time since then."""
        with self._lock:
            now = self._progress.clock()
            self._worker_s += self._pool.n_workers * (now - self._read_at)
            self._read_at = now
            return min(1.0, self._progress.batch_s / self._worker_s) if self._worker_s > 0 else 0.0

    def _batch_seconds(self, name: str) -> Iterator[Sample]:
        total, counts = self._progress.batch_s, list(self._progress.n_batches)
        for limit, n in zip((*BATCH_SECONDS, math.inf), itertools.accumulate(counts), strict=True):
            yield self._sample(f"{name}_bucket", {"le": "+Inf" if math.isinf(limit) else repr(limit)}, n)
        yield self._sample(f"{name}_sum", {}, total)
        yield self._sample(f"{name}_count", {}, sum(counts))
