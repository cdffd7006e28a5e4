"""Evaluates a few trials in the fork server, so that workers share the memory that Python writes when code first runs.

The first calls of a function change it: Python counts them, specializes the bytecode and fills caches. A worker that makes
these calls gets its own copy of each page that they change.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rbt_ray.data import embedded
from rbt_ray.data.bundle import Bundle
from rbt_ray.pool.frames import READY, WorkerEnd
from rbt_ray.pool.job import Task
from rbt_ray.pool.local.main_loop import answer_messages
from rbt_ray.pool.pool import Batch
from rbt_ray.pool.worker import Worker
from rbt_ray.study.primitives import choice, randint, uniform
from rbt_ray.study.space import Space
from rbt_ray.types import Config

_N_TRIALS, _N_BARS = 8, 32


@dataclass(frozen=True, slots=True)
class _Prices:
    """A reference to an embedded bundle. A worker opens it, whose errors do not end the process."""

    version: str = ""

    def open(self) -> Bundle:
        return Bundle.open(Path(embedded.__file__).with_name("sample.arrow"))


def evaluate_trials(*, prices: bool) -> None:
    """Evaluates trials in this process as a worker does; errors become answers, which nobody reads.

    Args:
        prices: whether the trials read prices.
    """

    def objective(config: Config, data: Any) -> float:  # pickled by value, like a function of a script
        return config["real"] if data is None else float(data["close"][config["whole"], 0])

    space = Space.of({"whole": randint(0, 4), "real": uniform(0.0, 1.0), "option": choice(["a", "b"])})
    bundle, benchmark = (_Prices(), np.zeros(_N_BARS)) if prices else (None, None)
    task = Task(
        objective, space, "metric", seed=0, bundle=bundle, train_bars=_N_BARS, benchmark=benchmark, n_planned=_N_TRIALS
    )
    job = replace(task.pack({}), state=None)  # with all variables, it could exceed what a pipe holds
    batch = Batch(0, job, np.arange(_N_TRIALS), space.from_unit(np.full((_N_TRIALS, space.n_params), 0.5)))
    driver_end, worker_end = multiprocessing.Pipe()
    with driver_end, worker_end:
        driver_end.send((READY, job))
        driver_end.send((READY, batch.message()))
        with socket.socket(fileno=os.dup(driver_end.fileno())) as stream:
            stream.shutdown(socket.SHUT_WR)  # the worker finds the end of the messages, and can still answer
        with suppress(EOFError):
            answer_messages(WorkerEnd(worker_end), Worker("fork-server"))
    random.seed()  # the trials seeded both states with fixed numbers, and workers inherit them
    np.random.seed()  # noqa: NPY002
