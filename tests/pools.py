"""Helpers for tests of worker pools: a space, and batches of its configs."""

import os

import numpy as np

import rbt_ray as rbt
from rbt_ray.pool.job import Task
from rbt_ray.pool.pool import Batch
from rbt_ray.study.space import Space

SPACE = Space.of({"x": rbt.uniform(-1, 1), "n": rbt.randint(0, 100)})


def task(objective, pool=None, bundle=None):
    ref = pool.share(bundle) if bundle is not None else None
    return Task(objective, SPACE, "score", 7, ref, bundle.n_bars if bundle is not None else 0).pack()


def points(n, seed=0):
    return SPACE.from_unit(np.random.default_rng(seed).random((n, 2)))


def batch(number, job, rows, first=0):
    return Batch(number, job, np.arange(first, first + len(rows)), rows)


def collect(pool, n):
    returned = []
    while len(returned) < n:
        arrived = pool.wait(120)
        assert arrived, "a batch was never returned"
        returned += arrived
    return {one.number: one for one in returned}


def polynomial(params, data):
    return {"score": params["x"] ** 2 + params["n"], "pid": os.getpid()}
