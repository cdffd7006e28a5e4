"""Evaluates a few trials in the fork server, which leaves the memory that this changes to all its workers.

The first run of code changes much of it: Python specializes bytecode and fills caches. A worker that runs it first gets its
own copy of each page that holds the code.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray.data import embedded
from rbt_ray.data.bundle import Bundle, FileRef
from rbt_ray.pool.frames import READY, WorkerEnd
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.main_loop import answer_messages
from rbt_ray.pool.pool import Batch
from rbt_ray.pool.worker import Worker
from rbt_ray.study.primitives import choice, randint, uniform
from rbt_ray.study.space import Space
from rbt_ray.types import Config

_SPACE = Space.of({"whole": randint(0, 4), "real": uniform(0.0, 1.0), "option": choice(["a", "b"])})
_N_TRIALS = 8


def evaluate_trials(*, prices: bool) -> None:
    """Evaluates trials in this process as a worker does; errors are answers, which nobody reads.

    Args:
        prices: whether the objective reads prices, those of an embedded bundle.
    """

    def objective(config: Config, data: Any) -> float:  # sent by value, like a function of the user's script
        return config["real"] if data is None else float(data["close"][:, config["whole"]].mean())

    bundle = Bundle.open(Path(embedded.__file__).with_name("sample.arrow")) if prices else None
    reference = None if bundle is None or bundle.path is None else FileRef(bundle.path, bundle.version)
    job = Task(objective, _SPACE, "metric", 0, reference, 0 if bundle is None else bundle.n_bars).pack({})
    batch = Batch(0, job, np.arange(_N_TRIALS), _SPACE.from_unit(np.full((_N_TRIALS, 3), 0.5)))
    driver_end, worker_end = multiprocessing.Pipe()
    with driver_end, worker_end:
        for message in (job, batch.message()):
            driver_end.send((READY, message))
        with socket.socket(fileno=os.dup(driver_end.fileno())) as end:
            end.shutdown(socket.SHUT_WR)
        with suppress(EOFError):
            answer_messages(WorkerEnd(worker_end), Worker("fork server"))
    random.seed()  # trials seed both with their own numbers, and workers inherit them
    np.random.seed()  # noqa: NPY002 - it is the global state
