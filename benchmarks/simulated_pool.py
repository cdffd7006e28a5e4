"""A pool of simulated workers on a virtual clock, with the interface of the real pools.

The engine itself is real. The clock advances by the processor time of the engine and of the transport in the driver, and
from event to event while the engine waits. A slow driver shows as idle workers.
"""

import heapq
import itertools
import math
import pickle
import time
from array import array
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rbt_ray.pool.pool import Returned


class VirtualClock:
    """Seconds since the start. It advances with the processor time of this thread, except while it is held.

    Args:
        charge: whether the time of the driver counts; if not, events depend on the seeds alone.
    """

    def __init__(self, *, charge=True):
        self.now = 0.0
        self.engine_s = self.engine_wall_s = self.transport_s = 0.0
        self._charge = charge
        self.run()

    def __call__(self):
        return self.now + (time.thread_time() - self._cpu if self._charge else 0.0)

    def hold(self):
        """Stops the clock during work of the simulator."""
        spent = time.thread_time() - self._cpu
        self.engine_s += spent
        self.engine_wall_s += time.perf_counter() - self._wall
        self.now += spent if self._charge else 0.0

    def run(self):
        """Restarts the clock."""
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def spend(self, seconds):
        """Adds time that the transport takes in the driver."""
        self.transport_s += seconds
        self.now += seconds if self._charge else 0.0


@dataclass(frozen=True)
class Transport:
    """Costs of the transport of batches in seconds; by default those of Ray 2.60 on a machine of 2 cores.

    Args:
        submit_s: the driver's processor time to send a batch.
        take_s: its processor time to take an answer in.
        look_s: its processor time to look for answers, for each worker.
        latency_s: there and back.
        calls_per_s: batches that can go there and back in a second.
        batch_seconds: what a batch should take at least.
        brief_s: batches shorter than this wait in line on a worker, one each.
        start_s: from a worker's death until another is ready.
    """

    submit_s: float = 1e-4
    take_s: float = 1e-4
    look_s: float = 9e-7
    latency_s: float = 8e-4
    calls_per_s: float = 2_500.0
    batch_seconds: float = 0.3
    brief_s: float = 0.5
    start_s: float = 1.5


@dataclass(frozen=True)
class Faults:
    """Random losses of workers.

    Args:
        worker_s: mean life of a worker, in seconds.
        host_s: mean life of a host with all its workers.
        back_s: from a host's loss until it is back.
        workers_per_host: how many share one.
    """

    worker_s: float = math.inf
    host_s: float = math.inf
    back_s: float = 30.0
    workers_per_host: int = 16


@dataclass(slots=True, eq=False)
class _Worker:
    name: str
    slowness: float
    sent: dict[int, Any] = field(default_factory=dict)  # batches that are on their way to it or with it
    line: deque[Any] = field(default_factory=deque)  # those with it, the first of them at work
    began: float | None = None  # when it began with the first; None: it has not
    held: int = 0  # batches the driver has had no answer to
    life: int = 0  # a death ends one, and its return begins one
    dead: bool = False
    gone: bool = False  # the driver knows


class SimulatedPool:
    """Workers with given evaluation times and times of death.

    Args:
        n_workers: how many.
        clock: the engine's.
        seconds: ``(n,)`` what trial i takes on a worker of speed 1 is entry i modulo n.
        evaluate: from a batch to its `Outcomes`.
        spread: the standard deviation of the logarithm of workers' speeds.
        transport: what carrying batches costs.
        faults: how workers are lost.
        seed: of speeds and deaths.
    """

    def __init__(self, n_workers, clock, seconds, evaluate, *, spread=0.1, transport=None, faults=None, seed=0):
        self.n_workers = n_workers
        self.capacity = 2 * n_workers
        self.transport = transport or Transport()
        self.begun, self.ended, self.trials = array("d"), array("d"), array("q")  # of every batch that came back
        self.n_lost = 0
        self._clock, self._seconds, self._evaluate = clock, seconds, evaluate
        self._faults = faults or Faults()
        self._rng = np.random.default_rng(seed)
        slowness = np.exp(self._rng.normal(0, spread, n_workers)).tolist()
        self._workers = [_Worker(f"sim-{number}", slow) for number, slow in enumerate(slowness)]
        self._room = [deque(self._workers), deque()]  # workers that hold no batch, and those that hold one
        self._brief = True
        self._backlog: deque[Any] = deque()
        self._holder: dict[int, _Worker] = {}
        self._arrived: list[tuple[_Worker | None, int, bytes, float]] = []
        self._events: list[Any] = []
        self._order = itertools.count()
        self._channel_free = 0.0
        for worker in self._workers:
            self._draw_death(worker)
        each = self._faults.workers_per_host
        self._hosts = [self._workers[first : first + each] for first in range(0, n_workers, each)]
        self._draw_host_loss()

    @property
    def batch_seconds(self):
        """Returns a batch time that is long compared with a call, and long enough for the transport to serve all workers."""
        return max(self.transport.batch_seconds, 2 * self.n_workers / self.transport.calls_per_s)

    def share(self, bundle):
        raise NotImplementedError("simulated workers read no prices")

    def submit(self, batch):
        pickle.dumps((batch.number, batch.trials, batch.points, batch.fidelity), protocol=5)  # the driver's own work
        self._clock.hold()
        self._clock.spend(self.transport.submit_s)
        self._backlog.append(batch)
        self._hand_out()
        self._clock.run()

    def wait(self, timeout=None):
        self._clock.hold()
        self._clock.spend(self.transport.look_s * self.n_workers)
        end = self._clock.now + (math.inf if timeout is None else timeout)
        self._play(self._clock.now)
        while not self._arrived and self._events and self._events[0][0] <= end:
            self._clock.now = self._events[0][0]
            self._play(self._clock.now)
        if not self._arrived:
            assert end < math.inf, "nothing is under way, and the engine waits for ever"
            self._clock.now = end
        arrived, self._arrived = self._arrived, []
        for worker, number, _, wall_s in arrived:
            self._clock.spend(self.transport.take_s)
            self._holder.pop(number, None)
            if worker is not None:
                self._brief = wall_s < self.transport.brief_s
                self._has_room(worker)
        self._hand_out()
        self._clock.run()
        return [pickle.loads(packed) for _, _, packed, _ in arrived]  # the driver's own work

    def taken_at(self, number):
        worker = self._holder.get(number)
        return worker.began if worker is not None and worker.line and worker.line[0].number == number else None

    def cancel(self, number, reason):
        self._clock.hold()
        worker = self._holder.get(number)
        if worker is None:
            for batch in [batch for batch in self._backlog if batch.number == number]:
                self._backlog.remove(batch)
                self._lose(batch, "none", reason)
        elif not worker.dead and number in worker.sent:
            self._die(worker, reason, notice=0.0, back=self.transport.start_s, guilty=number)
        self._clock.run()

    def recall(self):
        numbers = [batch.number for batch in self._backlog]
        self._backlog.clear()
        return numbers

    def close(self):
        pass

    def _hand_out(self):
        """Sends waiting batches to idle workers, and short ones also to workers with one batch."""
        while self._backlog and (worker := self._next_with_room()) is not None:
            batch = self._backlog.popleft()
            worker.held += 1
            worker.sent[batch.number] = batch
            self._holder[batch.number] = worker
            if worker.held == 1:
                self._room[1].append(worker)
            self._channel_free = max(self._clock.now, self._channel_free) + 1 / self.transport.calls_per_s
            self._at(self._channel_free + self.transport.latency_s / 2, self._deliver, worker, worker.life, batch)

    def _next_with_room(self):
        for held in (0, 1) if self._brief else (0,):
            room = self._room[held]
            while room:
                worker = room.popleft()
                if worker.held == held and not worker.gone:
                    return worker
        return None

    def _has_room(self, worker):
        worker.held -= 1
        if worker.held < 2 and not worker.gone:
            self._room[worker.held].append(worker)

    def _at(self, when, what, *args):
        heapq.heappush(self._events, (when, next(self._order), what, args))

    def _play(self, until):
        """Runs all events until then."""
        while self._events and self._events[0][0] <= until:
            when, _, what, args = heapq.heappop(self._events)
            what(when, *args)

    def _deliver(self, now, worker, life, batch):
        if worker.life == life and not worker.dead:
            worker.line.append(batch)
            if worker.began is None:
                self._begin(now, worker)

    def _begin(self, now, worker):
        worker.began = now
        seconds = self._seconds[worker.line[0].trials % len(self._seconds)] * worker.slowness
        self._at(now + seconds.sum(), self._end, worker, worker.life, seconds)

    def _end(self, now, worker, life, seconds):
        if worker.life != life:
            return
        batch, began = worker.line.popleft(), worker.began
        del worker.sent[batch.number]
        worker.began = None
        outcomes = replace(self._evaluate(batch), duration_s=seconds)
        wall_s = now - began
        self.begun.append(began)
        self.ended.append(now)
        self.trials.append(len(seconds))
        returned = Returned(batch.number, worker.name, outcomes, None, wall_s, began, wall_s)
        self._at(now + self.transport.latency_s / 2, self._arrive, worker, life, returned)
        if worker.line:
            self._begin(now, worker)

    def _arrive(self, now, worker, life, returned):
        alive = worker if worker is not None and worker.life == life else None
        self._arrived.append((alive, returned.number, pickle.dumps(returned, protocol=5), returned.wall_s))

    def _draw_death(self, worker):
        if self._faults.worker_s < math.inf:
            self._at(
                self._clock.now + self._rng.exponential(self._faults.worker_s), self._die_by_chance, worker, worker.life
            )

    def _die_by_chance(self, now, worker, life):
        if worker.life == life:
            self._die(worker, "killed by signal 11 (SIGSEGV)", notice=0.01, back=self.transport.start_s, now=now)

    def _draw_host_loss(self, now=0.0):
        if self._faults.host_s < math.inf:
            self._at(now + self._rng.exponential(self._faults.host_s / len(self._hosts)), self._lose_host)

    def _lose_host(self, now):
        for worker in self._hosts[self._rng.integers(len(self._hosts))]:
            if not worker.dead:
                self._die(worker, "its node was lost", notice=1.7, back=self._faults.back_s, now=now)
        self._draw_host_loss(now)

    def _die(self, worker, reason, *, notice, back, guilty=None, now=None):
        now = self._clock.now if now is None else now
        worker.dead, worker.began = True, None
        worker.life += 1
        self._at(now + notice, self._notice, worker, reason, guilty)
        self._at(now + max(back, notice), self._rise, worker)

    def _notice(self, now, worker, reason, guilty):
        """Loses the running batch of a worker; a queued one goes to another worker."""
        worker.gone = True
        if worker.line and guilty is None:
            guilty = worker.line[0].number
        for batch in reversed(worker.sent.values()):
            self._holder.pop(batch.number, None)
            if batch.number == guilty:
                self._lose(batch, worker.name, reason)
            else:
                self._backlog.appendleft(batch)
        worker.sent.clear()
        worker.line.clear()

    def _lose(self, batch, name, reason):
        self.n_lost += 1
        self._arrive(self._clock.now, None, 0, Returned(batch.number, name, lost=reason))

    def _rise(self, now, worker):
        worker.dead = worker.gone = False
        worker.life += 1  # what was sent to it before the driver knew of its death is not its own any more
        worker.held = 0
        self._room[0].append(worker)
        self._draw_death(worker)
