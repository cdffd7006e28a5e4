"""Groups open trials into batches that keep all workers busy, and retries or fails the trials of lost batches."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rbt_ray.columns import Outcomes
from rbt_ray.pool.pool import Batch, Job, Returned, WorkerPool
from rbt_ray.recordable import seconds
from rbt_ray.store.journal import Finished
from rbt_ray.types import CRASHED, TIMED_OUT, Checkpoint, FloatArray, IntArray, StatusCode

_CAPACITY = 256 * 2**20


class Checkpoints:
    """The latest checkpoint of each config, at most 256 MiB in all; the least recently used are dropped first.

    A config without a checkpoint, as after a resume, starts from the beginning. That takes longer and gives the same result.
    """

    def __init__(self) -> None:
        self._by_config: OrderedDict[bytes, Checkpoint] = OrderedDict()
        self._bytes = 0

    def keep(self, points: FloatArray, checkpoints: Mapping[int, Checkpoint]) -> None:
        """Stores the checkpoints of a batch, by row of its points."""
        for row, checkpoint in checkpoints.items():
            self._forget(points[row].tobytes())
            self._by_config[points[row].tobytes()] = checkpoint
            self._bytes += len(checkpoint.payload)
        while self._bytes > _CAPACITY:
            self._forget(next(iter(self._by_config)))

    def of(self, points: FloatArray) -> dict[int, Checkpoint]:
        """Returns the stored checkpoints of these configs, by row."""
        if not self._by_config:
            return {}
        found = {row: self._by_config.get(point.tobytes()) for row, point in enumerate(points)}
        return {row: checkpoint for row, checkpoint in found.items() if checkpoint is not None}

    def _forget(self, key: bytes) -> None:
        old = self._by_config.pop(key, None)
        self._bytes -= 0 if old is None else len(old.payload)


_MIN_SECONDS = 0.003
"""The shortest batch to aim for at the end of a study; a shorter one would cost more to send than to run."""
_BATCHES_PER_S = 1000
"""More batches than this per second take most of the driver's time."""
_GROWTH = 8
_MAX_TRIALS = 2**15

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """Trials at one fidelity, queued together or to be retried as one batch."""

    trials: IntArray
    points: FloatArray
    fidelity: float
    deaths: int = 0


@dataclass(slots=True, eq=False)
class _Queue:
    """The queued trials of one fidelity."""

    queued: deque[_Trials] = field(default_factory=deque)
    n: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _InFlightBatch:
    group: _Trials
    sent: float
    allowance: float
    """Seconds the batch may take after a worker has started it."""


class Dispatcher:
    """Keeps `pool.capacity` batches in flight while there are trials.

    Args:
        pool: runs the batches.
        job: the job of the trials.
        trial_timeout_s: seconds one trial may take; None: no limit.
        max_retries: how often a trial is retried after its worker died.
        max_batch: the largest number of trials in a batch; None: 32,768.
        purpose: of the batches: "score" or "sums"; see `Batch`.
        clock: a monotonic clock in seconds; the pool's `taken_at` uses the same one.

    Attributes:
        more_to_come: whether trials will be added when others finish, as the caller says.
    """

    def __init__(
        self,
        pool: WorkerPool,
        job: Job,
        *,
        trial_timeout_s: float | None = None,
        max_retries: int = 1,
        max_batch: int | None = None,
        purpose: Literal["score", "sums"] = "score",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._job = job
        self._timeout = trial_timeout_s
        self._max_retries = max_retries
        self._max_batch = min(max_batch or _MAX_TRIALS, _MAX_TRIALS)
        self._purpose = purpose
        self._checkpoints = Checkpoints()
        self._clock = clock
        self._queues: dict[float, _Queue] = {}
        self._n_queued = 0
        self._retries: deque[_Trials] = deque()
        self._in_flight: dict[int, _InFlightBatch] = {}
        self._timed_out: set[int] = set()
        self.more_to_come = False
        self._deadlines: list[tuple[float, int]] = []  # a heap of (earliest deadline, batch number)
        self._seconds: dict[float, float] = {}
        self._size: dict[float, int] = {}

    @property
    def idle(self) -> bool:
        """Whether no trial is queued, to be retried or in flight."""
        return not (self._n_queued or self._retries or self._in_flight)

    def add(self, trials: IntArray, points: FloatArray, fidelity: FloatArray) -> None:
        """Queues trials; the earliest trials are sent first."""
        edges = np.flatnonzero(np.diff(fidelity)) + 1
        for rows in np.split(np.arange(len(trials)), edges):
            if len(rows):
                group = _Trials(trials[rows], points[rows], float(fidelity[rows[0]]))
                queue = self._queues.setdefault(group.fidelity, _Queue())
                queue.queued.append(group)
                queue.n += len(rows)
                self._n_queued += len(rows)

    def add_first(self, trials: IntArray, points: FloatArray) -> None:
        """Queues trials at full fidelity that are sent before all others, as one batch."""
        self._retries.appendleft(_Trials(trials, points, 1.0))

    def step(self, timeout: float) -> list[Finished]:
        """Sends batches, waits up to `timeout` seconds for results and returns the trials that finished."""
        self._send()
        finished: list[Finished] = []
        for returned in self._pool.wait(self._wait_seconds(timeout)):
            finished += self._on_returned(returned)
        self._cancel_timed_out()
        self._send()
        return finished

    def drain(self, seconds: float) -> list[Finished]:
        """Cancels queued trials, returns those that finish within `seconds` and kills the workers that are still busy."""
        self._queues.clear()
        self._n_queued = 0
        self._retries.clear()
        for number in self._pool.recall():
            del self._in_flight[number]
        finished: list[Finished] = []
        end = self._clock() + seconds
        while self._in_flight and (left := end - self._clock()) > 0:
            for returned in self._pool.wait(left):
                finished += self._on_returned(returned)
            self._retries.clear()
        for number in self._in_flight:
            self._pool.cancel(number, "the study was stopped")
        while self._in_flight:
            for returned in self._pool.wait():
                del self._in_flight[returned.number]
        return finished

    def _send(self) -> None:
        while len(self._in_flight) < self._pool.capacity:
            group = self._retries.popleft() if self._retries else self._next_trials()
            if group is None:
                return
            starts = self._checkpoints.of(group.points)
            batch = Batch(
                next(_numbers), self._job, group.trials, group.points, group.fidelity, self._purpose, starts=starts
            )
            expected = self._seconds.get(group.fidelity, 0.0) * len(group.trials)
            allowance = math.inf if self._timeout is None else self._timeout + 2 * expected
            now = self._clock()
            self._in_flight[batch.number] = _InFlightBatch(group, now, allowance)
            if allowance < math.inf:
                heapq.heappush(self._deadlines, (now + allowance, batch.number))
            self._pool.submit(batch)

    def _next_trials(self) -> _Trials | None:
        if not self._n_queued:
            return None
        fidelity = min((q.queued[0].trials[0], f) for f, q in self._queues.items() if q.n)[1]
        queue = self._queues[fidelity]
        left = self._batch_size(fidelity, queue.n)
        parts: list[_Trials] = []
        while queue.queued and left:
            group = queue.queued.popleft()
            if len(group.trials) > left:
                queue.queued.appendleft(_Trials(group.trials[left:], group.points[left:], fidelity))
                group = _Trials(group.trials[:left], group.points[:left], fidelity)
            parts.append(group)
            left -= len(group.trials)
        whole = parts[0]
        if len(parts) > 1:
            trials = np.concatenate([part.trials for part in parts])
            whole = _Trials(trials, np.concatenate([part.points for part in parts]), fidelity)
        queue.n -= len(whole.trials)
        self._n_queued -= len(whole.trials)
        return whole

    def _batch_size(self, fidelity: float, waiting: int) -> int:
        """Returns the size of a batch that takes about `pool.batch_seconds`, or an even share of the queued trials if less.

        While the search still proposes, a share is at least so large that the driver can keep up.
        """
        seconds = self._seconds.get(fidelity)
        if seconds is None:
            return 1
        aim = min(self._pool.batch_seconds / seconds, _GROWTH * self._size[fidelity], self._max_batch)
        n_workers, free = self._pool.n_workers, self._pool.capacity - len(self._in_flight)
        least = _MIN_SECONDS / seconds
        if self.more_to_come:  # few are queued then, although many are open; all free places get as many
            least = max(least, min(waiting / free, n_workers / (_BATCHES_PER_S * seconds)))
        return max(1, math.ceil(min(aim, max(waiting / (2 * n_workers), least))))

    def _on_returned(self, returned: Returned) -> list[Finished]:
        sent_batch = self._in_flight.pop(returned.number)
        late = returned.number in self._timed_out
        self._timed_out.discard(returned.number)
        if returned.lost is not None:
            return self._on_lost(sent_batch, returned, late)
        elapsed = self._clock() - sent_batch.sent
        # A worker's clock may stand still or run backwards; then use the time from sending to receiving.
        self._update_pace(sent_batch.group, returned.wall_s if 0 < returned.wall_s < elapsed else elapsed)
        self._checkpoints.keep(sent_batch.group.points, returned.outcomes.checkpoints)
        return [
            Finished(
                sent_batch.group.trials,
                sent_batch.group.points,
                sent_batch.group.fidelity,
                returned.outcomes,
                returned.worker,
                returned.started,
                returned.cpu_s,
                returned.wall_s,
            )
        ]

    def _update_pace(self, group: _Trials, wall_s: float) -> None:
        n = len(group.trials)
        seconds = max(wall_s / n, 1e-9)
        before = self._seconds.get(group.fidelity)
        # The largest batch so far gives the best estimate: in smaller ones the fixed cost weighs more on each trial.
        larger = n > self._size.get(group.fidelity, 0)
        self._seconds[group.fidelity] = seconds if before is None or larger else 0.7 * before + 0.3 * seconds
        self._size[group.fidelity] = max(n, self._size.get(group.fidelity, 0))

    def _on_lost(self, sent_batch: _InFlightBatch, returned: Returned, late: bool) -> list[Finished]:
        """Retries a lost batch in halves; a batch of one trial is retried up to `max_retries` times and then fails."""
        group, n = sent_batch.group, len(sent_batch.group.trials)
        if n > 1:
            for rows in (slice(0, n // 2), slice(n // 2, n)):
                self._retries.append(_Trials(group.trials[rows], group.points[rows], group.fidelity))
            return []
        took = returned.wall_s or self._clock() - sent_batch.sent
        if late:
            return [self._failed(group, TIMED_OUT, f"not done after {took:.1f} s (`trial_timeout_s`).", returned, took)]
        deaths = group.deaths + 1
        if deaths <= self._max_retries:
            self._retries.append(_Trials(group.trials, group.points, group.fidelity, deaths))
            return []
        times = "" if deaths == 1 else f", {deaths} times"
        return [self._failed(group, CRASHED, f"its worker was lost: {returned.lost}{times}.", returned, took)]

    def _failed(self, group: _Trials, status: StatusCode, reason: str, returned: Returned, took: float) -> Finished:
        outcomes = Outcomes.all_failed(1, status, reason, took)
        started = seconds(time.time()) - took
        return Finished(group.trials, group.points, group.fidelity, outcomes, returned.worker, started, 0.0, took)

    def _wait_seconds(self, timeout: float) -> float:
        return min(timeout, max(0.001, self._deadlines[0][0] - self._clock())) if self._deadlines else timeout

    def _cancel_timed_out(self) -> None:
        while self._deadlines and self._deadlines[0][0] < (now := self._clock()):
            number = heapq.heappop(self._deadlines)[1]
            sent_batch = self._in_flight.get(number)
            if sent_batch is None:
                continue
            taken = self._pool.taken_at(number)  # None while it waits for a worker: its time has not started
            deadline = sent_batch.allowance + (now if taken is None else taken)
            if deadline < now:
                self._timed_out.add(number)
                self._pool.cancel(number, "timed out")
            else:
                heapq.heappush(self._deadlines, (deadline, number))
