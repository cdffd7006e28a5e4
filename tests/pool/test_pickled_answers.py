"""Answers of workers are the same after the way from a worker to the driver."""

import pickle

import numpy as np

from rbt_ray.block_sums import N_SUMS, BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.metric_columns import Column
from rbt_ray.pool.pool import Returned
from rbt_ray.types import COMPLETED, FAILED, Checkpoint


def values(found):
    """All fields, as values that can be compared."""
    if isinstance(found, np.ndarray):
        return str(found.dtype), found.tolist()
    if isinstance(found, dict):
        return {key: values(part) for key, part in found.items()}
    if hasattr(found, "__dataclass_fields__"):
        return type(found), {name: values(getattr(found, name)) for name in found.__dataclass_fields__}
    return found


def test_every_field_arrives():
    outcomes = Outcomes(
        status=np.array([COMPLETED, FAILED, COMPLETED], np.uint8),
        metrics={
            "score": Column("float", np.array([0.5, 0.0, 2.5]), np.array([True, False, True])),
            "kind": Column("json", np.array(["a", None, "b"], object), np.array([True, False, True])),
        },
        errors={1: "ValueError: no trades"},
        duration_s=np.array([0.1, 0.2, 0.3]),
        checkpoints={0: Checkpoint(3, b"left")},
        shares={2: 0.5},
        block_sums=BlockRows(np.array([0]), np.ones((1, N_SUMS))),
    )
    for answer in (outcomes, outcomes.recordable(3)):
        returned = Returned(7, "worker-1", answer, None, cpu_s=0.25, started=1.5, wall_s=0.75, unfit=True)
        assert values(pickle.loads(pickle.dumps(returned, protocol=5))) == values(returned)
    lost = Returned(8, "worker-2", lost="killed", wall_s=2.0)
    assert values(pickle.loads(pickle.dumps(lost, protocol=5))) == values(lost)
