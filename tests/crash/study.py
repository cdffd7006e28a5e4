"""A short study in one process, with a thread as its worker and the usual Tuner."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback

import rbt_ray as rbt
from rbt_ray.engine import journal_retry
from rbt_ray.pool.worker import Worker
from rbt_ray.store import connection, flusher
from rbt_ray.tuner import tuner as front

N_TRIALS = 12


def objective(params, data):
    if params["x"] > 0.95:
        raise ValueError("too much")
    time.sleep(0.0005)
    return {"score": params["x"] ** 2, "text": "b" * int(100 * params["x"])}


class InlinePool:
    """A pool without processes, which evaluates batches inside `wait`."""

    is_alive, capacity, n_workers, batch_seconds = True, 1, 1, 0.001

    def __init__(self):
        self._worker, self._job, self._batches = Worker("inline"), None, []

    def submit(self, batch):
        if self._job != batch.job.key:
            self._worker.load(batch.job)
            self._job = batch.job.key
        self._batches.append(batch)

    def wait(self, timeout=None):
        return [self._worker.run(self._batches.pop())] if self._batches else []

    def taken_at(self, number):
        return time.monotonic()

    def recall(self):
        return []

    def cancel(self, number, reason):
        raise AssertionError("no batch is late")

    def close(self):
        self._batches.clear()


@contextlib.contextmanager
def inline_pool(run_config):
    yield InlinePool()


def make_quick():
    """Flushes continuously, and waits milliseconds instead of seconds."""
    front.pool_for = inline_pool
    flusher._FLUSH_SECONDS = 0.004
    journal_retry._RETRY_SECONDS, journal_retry._FAULT_SECONDS = 0.002, 0.02
    connection._WRITER_SECONDS = connection._READER_SECONDS = 0.02


def tuner(storage):
    """The study below that folder, restored where there is one."""
    run_config = rbt.RunConfig("study", storage, num_workers=1, verbose=0)
    if (storage / "study" / "journal.sqlite").exists():
        return rbt.Tuner.restore(storage / "study", objective, run_config=run_config)
    return rbt.Tuner(
        objective,
        param_space={"x": rbt.uniform(0, 1)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="random", num_samples=N_TRIALS, seed=4),
        run_config=run_config,
    )


def run(storage, seconds=0.0):
    """Runs it, with Ctrl-C after so many seconds, if any, and returns the exit code as the command line does.

    A traceback on stderr is of an error that nothing handles.
    """
    ctrl_c = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))  # trials run here, and lose other timers
    if seconds:
        ctrl_c.start()
    try:
        print(tuner(storage).fit().table_hash())
    except rbt.errors.RbtError as error:
        print(f"rbt-ray: {error}", file=sys.stderr)
        interrupted = isinstance(error, rbt.errors.StudyInterrupted)
        return 130 if interrupted else 2 if isinstance(error, rbt.errors.InputError) else 1
    except OSError as error:
        if error.filename is None:
            traceback.print_exc()
        print(f"rbt-ray: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 3
    finally:
        ctrl_c.cancel()
    return 0
