"""What a worker needs for prices, half a second of imports: loaded before its first trial, by the fork server if it can.

An objective that is given no bundle, and reads prices by itself, loads it in the first trial of each worker.
"""

import numba  # noqa: F401
import pyarrow.ipc  # noqa: F401

import rbt_ray.objectives.sweep.crossing
import rbt_ray.objectives.sweep.drifting
import rbt_ray.objectives.sweep.run
import rbt_ray.simulate.backtest  # noqa: F401
