"""Turns open trials into batches that keep the workers fed, and lost batches into verdicts."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rbt_ray.columns import Outcomes
from rbt_ray.pool.pool import Batch, Job, Returned, WorkerPool
from rbt_ray.recordable import seconds
from rbt_ray.store.journal import Finished
from rbt_ray.types import CRASHED, TIMED_OUT, Checkpoint, FloatArray, IntArray, StatusCode

_CAPACITY = 256 * 2**20


class Checkpoints:
    """The latest checkpoint of each config; the least recently used are forgotten when they take more than 256 MiB.

    A config whose checkpoint is gone, as after a resume, begins at its start again: that costs time and changes nothing.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Checkpoint] = OrderedDict()
        self._bytes = 0

    def keep(self, points: FloatArray, checkpoints: Mapping[int, Checkpoint]) -> None:
        """Takes in what the trials of a batch left, by row of its points."""
        for row, checkpoint in checkpoints.items():
            self._forget(points[row].tobytes())
            self._kept[points[row].tobytes()] = checkpoint
            self._bytes += len(checkpoint.payload)
        while self._bytes > _CAPACITY:
            self._forget(next(iter(self._kept)))

    def of(self, points: FloatArray) -> dict[int, Checkpoint]:
        """Those there are, by row."""
        if not self._kept:
            return {}
        found = {row: self._kept.get(point.tobytes()) for row, point in enumerate(points)}
        return {row: checkpoint for row, checkpoint in found.items() if checkpoint is not None}

    def _forget(self, key: bytes) -> None:
        old = self._kept.pop(key, None)
        self._bytes -= 0 if old is None else len(old.payload)


_LEAST_SECONDS = 0.002
"""What a batch should take even at the end of a study, so that sending it still pays."""
_GROWTH = 8
_MOST_TRIALS = 2**15

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Trials that wait, or that have to be sent as they are because a worker was lost with them."""

    trials: IntArray
    points: FloatArray
    fidelity: float
    deaths: int = 0


@dataclass(slots=True, eq=False)
class _Queue:
    """What waits at one fidelity."""

    pieces: deque[_Piece] = field(default_factory=deque)
    n: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    piece: _Piece
    sent: float
    allowance: float
    """Seconds it may take once a worker has begun with it."""


class Dispatcher:
    """Keeps `pool.capacity` batches under way while there are trials.

    Args:
        pool: where batches go.
        job: whose trials they are.
        trial_timeout_s: what one trial may take; None: any time.
        max_retries: how often a trial whose worker died is tried again.
        max_batch: the most trials a batch may hold; None: no such limit.
        clock: seconds from any start; the one by which the pool says when a batch was taken.
    """

    def __init__(
        self,
        pool: WorkerPool,
        job: Job,
        *,
        trial_timeout_s: float | None = None,
        max_retries: int = 1,
        max_batch: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._job = job
        self._timeout = trial_timeout_s
        self._max_retries = max_retries
        self._most = min(max_batch or _MOST_TRIALS, _MOST_TRIALS)
        self._checkpoints = Checkpoints()
        self._clock = clock
        self._waiting: dict[float, _Queue] = {}
        self._n_waiting = 0
        self._suspects: deque[_Piece] = deque()
        self._flights: dict[int, _Flight] = {}
        self._late: set[int] = set()
        self._look_at: list[tuple[float, int]] = []  # a heap: no batch can be late before its time to be looked at
        self._seconds: dict[float, float] = {}
        self._size: dict[float, int] = {}

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not (self._n_waiting or self._suspects or self._flights)

    def add(self, trials: IntArray, points: FloatArray, fidelity: FloatArray) -> None:
        """Trials to run, in the order in which their results are wanted."""
        edges = np.flatnonzero(np.diff(fidelity)) + 1
        for rows in np.split(np.arange(len(trials)), edges):
            if len(rows):
                piece = _Piece(trials[rows], points[rows], float(fidelity[rows[0]]))
                queue = self._waiting.setdefault(piece.fidelity, _Queue())
                queue.pieces.append(piece)
                queue.n += len(rows)
                self._n_waiting += len(rows)

    def step(self, timeout: float) -> list[Finished]:
        """Sends what can be sent, waits up to `timeout` seconds and returns what was decided meanwhile."""
        self._send()
        decided: list[Finished] = []
        for returned in self._pool.wait(self._until_deadline(timeout)):
            decided += self._settle(returned)
        self._cancel_late()
        self._send()
        return decided

    def drain(self, seconds: float) -> list[Finished]:
        """Begins nothing more; what comes back within `seconds`. Workers still busy then are killed."""
        self._waiting.clear()
        self._n_waiting = 0
        self._suspects.clear()
        for number in self._pool.recall():
            del self._flights[number]
        decided: list[Finished] = []
        end = self._clock() + seconds
        while self._flights and (left := end - self._clock()) > 0:
            for returned in self._pool.wait(left):
                decided += self._settle(returned)
            self._suspects.clear()
        for number in self._flights:
            self._pool.cancel(number, "the study was stopped")
        while self._flights:
            for returned in self._pool.wait():
                del self._flights[returned.number]
        return decided

    def _send(self) -> None:
        while len(self._flights) < self._pool.capacity:
            piece = self._suspects.popleft() if self._suspects else self._next_piece()
            if piece is None:
                return
            starts = self._checkpoints.of(piece.points)
            batch = Batch(next(_numbers), self._job, piece.trials, piece.points, piece.fidelity, starts=starts)
            expected = self._seconds.get(piece.fidelity, 0.0) * len(piece.trials)
            allowance = math.inf if self._timeout is None else self._timeout + 2 * expected
            now = self._clock()
            self._flights[batch.number] = _Flight(piece, now, allowance)
            if allowance < math.inf:
                heapq.heappush(self._look_at, (now + allowance, batch.number))
            self._pool.submit(batch)

    def _next_piece(self) -> _Piece | None:
        if not self._n_waiting:
            return None
        fidelity = min((q.pieces[0].trials[0], f) for f, q in self._waiting.items() if q.n)[1]
        queue = self._waiting[fidelity]
        wanted = self._batch_size(fidelity, queue.n)
        parts: list[_Piece] = []
        while queue.pieces and wanted:
            piece = queue.pieces.popleft()
            if len(piece.trials) > wanted:
                queue.pieces.appendleft(_Piece(piece.trials[wanted:], piece.points[wanted:], fidelity))
                piece = _Piece(piece.trials[:wanted], piece.points[:wanted], fidelity)
            parts.append(piece)
            wanted -= len(piece.trials)
        whole = parts[0]
        if len(parts) > 1:
            trials = np.concatenate([part.trials for part in parts])
            whole = _Piece(trials, np.concatenate([part.points for part in parts]), fidelity)
        queue.n -= len(whole.trials)
        self._n_waiting -= len(whole.trials)
        return whole

    def _batch_size(self, fidelity: float, waiting: int) -> int:
        """Grows until a batch takes about `pool.batch_seconds`; shrinks to an even share of what is left."""
        seconds = self._seconds.get(fidelity)
        if seconds is None:
            return 1
        aim = min(self._pool.batch_seconds / seconds, _GROWTH * self._size[fidelity], self._most)
        share = max(waiting / (2 * self._pool.n_workers), _LEAST_SECONDS / seconds)
        return max(1, math.ceil(min(aim, share)))

    def _settle(self, returned: Returned) -> list[Finished]:
        flight = self._flights.pop(returned.number)
        late = returned.number in self._late
        self._late.discard(returned.number)
        if returned.lost is not None:
            return self._judge(flight, returned, late)
        away = self._clock() - flight.sent
        # A worker's clock may stand still or run backwards; then the batch took as long as it was away.
        self._learn_pace(flight.piece, returned.wall_s if 0 < returned.wall_s < away else away)
        self._checkpoints.keep(flight.piece.points, returned.outcomes.checkpoints)
        return [
            Finished(
                flight.piece.trials,
                flight.piece.points,
                flight.piece.fidelity,
                returned.outcomes,
                returned.worker,
                returned.started,
                returned.cpu_s,
                returned.wall_s,
            )
        ]

    def _learn_pace(self, piece: _Piece, wall_s: float) -> None:
        n = len(piece.trials)
        seconds = max(wall_s / n, 1e-9)
        before = self._seconds.get(piece.fidelity)
        # A larger batch than ever before tells more than all the smaller ones, whose fixed costs weigh on each trial.
        larger = n > self._size.get(piece.fidelity, 0)
        self._seconds[piece.fidelity] = seconds if before is None or larger else 0.7 * before + 0.3 * seconds
        self._size[piece.fidelity] = max(n, self._size.get(piece.fidelity, 0))

    def _judge(self, flight: _Flight, returned: Returned, late: bool) -> list[Finished]:
        """A lost batch is sent again in halves; only one that held a single trial tells who was to blame."""
        piece, n = flight.piece, len(flight.piece.trials)
        if n > 1:
            for rows in (slice(0, n // 2), slice(n // 2, n)):
                self._suspects.append(_Piece(piece.trials[rows], piece.points[rows], piece.fidelity))
            return []
        took = returned.wall_s or self._clock() - flight.sent
        if late:
            return [
                self._verdict(piece, TIMED_OUT, f"not done after {took:.1f} s (`trial_timeout_s`).", returned, took)
            ]
        deaths = piece.deaths + 1
        if deaths <= self._max_retries:
            self._suspects.append(_Piece(piece.trials, piece.points, piece.fidelity, deaths))
            return []
        times = "" if deaths == 1 else f", {deaths} times"
        return [self._verdict(piece, CRASHED, f"its worker was lost: {returned.lost}{times}.", returned, took)]

    def _verdict(self, piece: _Piece, status: StatusCode, reason: str, returned: Returned, took: float) -> Finished:
        outcomes = Outcomes.all_failed(1, status, reason, took)
        started = seconds(time.time()) - took
        return Finished(piece.trials, piece.points, piece.fidelity, outcomes, returned.worker, started, 0.0, took)

    def _until_deadline(self, timeout: float) -> float:
        return min(timeout, max(0.001, self._look_at[0][0] - self._clock())) if self._look_at else timeout

    def _cancel_late(self) -> None:
        while self._look_at and self._look_at[0][0] < (now := self._clock()):
            number = heapq.heappop(self._look_at)[1]
            flight = self._flights.get(number)
            if flight is None:
                continue
            taken = self._pool.taken_at(number)  # until then its time has not begun
            deadline = flight.allowance + (now if taken is None else taken)
            if deadline < now:
                self._late.add(number)
                self._pool.cancel(number, "late")
            else:
                heapq.heappush(self._look_at, (deadline, number))
