"""Runs studies on a Dask cluster: `RunConfig(backend="dask")`.

Each Dask worker holds an actor with one worker process of the local pool, and Dask transfers batches to it. The local pool
thus ends late trials, limits memory and reports how a process ended. Dask workers must be able to start processes: set
`distributed.worker.daemon` to False, as below. All hosts must see bundles by the same path, as on a shared file system.
"""

import asyncio
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dask
from distributed import Client, LocalCluster

from rbt_ray.data.bundle import FileRef
from rbt_ray.errors import RbtError, SettingError
from rbt_ray.pool.local.pool import LocalPool, usable_cpus
from rbt_ray.pool.memory import default_memory_limit
from rbt_ray.pool.pool import Batch, Returned


class Host:
    """A Dask actor. Its methods are coroutines, so that `cancel` is not queued behind `run`."""

    def __init__(self, recycle_after, memory_limit):
        self.pool = LocalPool(1, recycle_after=recycle_after, memory_limit=memory_limit)
        self.job = None

    async def run(self, message, job):
        self.job = job or self.job
        self.pool.submit(Batch.received(self.job, message))
        return (await asyncio.to_thread(self.pool.wait))[0]

    async def cancel(self, number, reason):
        self.pool.cancel(number, reason)

    async def running_for(self, number):
        began = self.pool.taken_at(number)
        return None if began is None else time.monotonic() - began

    async def pids(self):
        return self.pool.pids()

    async def close(self):
        await asyncio.to_thread(self.pool.close)


class DaskPool:
    """A `WorkerPool` on the Dask cluster at `address`, that of this process's client, or a new one on this machine."""

    batch_seconds = 0.3

    def __init__(self, n_workers=None, *, address=None, recycle_after=None, memory_limit=None):
        self.client, self.own = _client(n_workers, address)
        self.n_workers = self.capacity = self.n_checks = n_workers or len(self.client.nthreads())
        self.settings = recycle_after, memory_limit or default_memory_limit(self.n_workers)
        self.returned = queue.Queue()
        self.hosts, self.idle, self.busy, self.jobs = {}, [], {}, {}
        for number in range(self.n_workers):
            self.start_host(f"dask-{number}")
        self.threads = ThreadPoolExecutor(self.n_workers, thread_name_prefix="dask-pool")

    @property
    def is_alive(self):
        return self.client.status == "running"

    def start_host(self, name):
        """Starts an actor on the Dask worker that has the fewest of this pool's."""
        used = [address for address, _ in self.hosts.values()]
        address = min(self.client.nthreads(), key=used.count)
        actor = self.client.submit(Host, *self.settings, actor=True, pure=False, workers=[address]).result()
        self.hosts[name] = address, actor
        self.jobs[name] = None
        self.idle.append(name)

    def share(self, bundle):
        if bundle.path is None:
            raise SettingError("a Dask pool shares a bundle by its file: save it first with `bundle.save(path)`.")
        return FileRef(bundle.path, bundle.version)

    def share_files(self, files):
        return files

    def submit(self, batch):
        name = self.idle.pop()
        self.busy[batch.number] = name
        self.threads.submit(self.carry, name, batch)

    def carry(self, name, batch):
        """Runs in a thread: puts what the actor returns into the queue, or why the study cannot continue."""
        try:
            job = None if self.jobs[name] == batch.job.key else batch.job  # it is sent once, not with every batch
            returned = replace(self.hosts[name][1].run(batch.message(), job).result(), worker=name)
            self.jobs[name] = batch.job.key
        except RbtError as error:
            returned = error
        except (OSError, ValueError) as error:  # Dask's, for an actor that is lost
            returned = Returned(batch.number, name, lost=f"the Dask worker was lost: {error}")
        self.returned.put((name, batch.number, returned))

    def wait(self, timeout=None):
        arrived = []
        try:
            while True:
                name, number, returned = self.returned.get(timeout=0 if arrived else timeout)
                if isinstance(returned, RbtError):
                    raise returned
                del self.busy[number]
                if (returned.lost or "").startswith("the Dask worker was lost"):
                    del self.hosts[name]
                    self.start_host(name)
                else:
                    self.idle.append(name)
                arrived.append(returned)
        except queue.Empty:
            return arrived

    def taken_at(self, number):
        seconds = self.ask(number, "running_for", number)
        return None if seconds is None else time.monotonic() - seconds

    def cancel(self, number, reason):
        self.ask(number, "cancel", number, reason)

    def ask(self, number, method, *arguments):
        """Calls a method of the actor that holds a batch; returns None if there is none."""
        try:
            return getattr(self.hosts[self.busy[number]][1], method)(*arguments).result()
        except (KeyError, OSError, ValueError):  # returned by now, or lost with its Dask worker
            return None

    def recall(self):
        return []  # no batch waits in the driver

    def rest(self):
        return True  # an idle actor holds no thread of its Dask worker

    def close(self):
        if not self.is_alive:
            return
        for _, actor in self.hosts.values():
            try:
                actor.close().result()
            except (OSError, ValueError):  # its Dask worker is gone
                continue
        self.threads.shutdown()
        self.hosts.clear()
        if self.own:
            self.client.close()
            self.client.cluster.close()

    def pids(self):
        return [pid for _, actor in self.hosts.values() for pid in actor.pids().result()]


def _client(n_workers, address):
    if address is not None:
        return Client(address), True
    try:
        return Client.current(), False
    except ValueError:  # this process has none
        with dask.config.set({"distributed.worker.daemon": False}):
            return Client(LocalCluster(n_workers or usable_cpus(), threads_per_worker=1, dashboard_address=None)), True


def start(settings):
    """The entry point: starts the workers of a study."""
    return DaskPool(
        settings.num_workers,
        address=settings.address,
        recycle_after=settings.recycle_after,
        memory_limit=settings.worker_memory_limit,
    )
